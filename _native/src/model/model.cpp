#include "model/model.h"

#include "base/asserts.h"
#include "base/error.h"
#include "log/log_ring.h"
#include "sampling/sampler.h"

#include "common.h"
#include "ggml-backend.h"
#include "gguf.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

namespace la {

// Between two steps there is some sampling only, so workers poll: a sleeping one costs more to wake than it saves.
static constexpr int32_t k_default_poll = 50;

static std::string to_string(const la_str & s) {
    return s.size > 0 ? std::string(s.data, s.size) : std::string();
}

static void require(bool ok, const char * param, int64_t value, const char * limits) {
    if (!ok) {
        throw Error(LA_ERR_INVALID, std::string(param) + " is " + std::to_string(value) + ", must be " + limits, param);
    }
}

static std::string device_names() {
    std::string names;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        names += (i > 0 ? ", " : "") + std::string(ggml_backend_dev_name(ggml_backend_dev_get(i)));
    }
    return names;
}

EngineConfig::EngineConfig(const la_engine_params & params)
    : raw(params),
      model_path(to_string(params.model_path)),
      chat_template(to_string(params.chat_template)),
      draft_model_path(to_string(params.draft_model_path)),
      speculation(params.speculation, SpeculationSpec()),
      type_k(to_string(params.type_k)),
      type_v(to_string(params.type_v)) {
    require(!model_path.empty(), "model_path", 0, "a path");
    require(raw.n_ctx >= 0, "n_ctx", raw.n_ctx, "positive, or 0 for the default");
    require(raw.n_parallel >= 1 && raw.n_parallel <= static_cast<int32_t>(llama_max_parallel_sequences()), "n_parallel",
            raw.n_parallel, "between 1 and 256");
    // Upstream allocates by them without looking whether it got the memory.
    require(raw.n_batch >= 0 && raw.n_batch <= (1 << 20), "n_batch", raw.n_batch, "at most 1048576, or 0 for the default");
    require(raw.n_ubatch >= 0 && raw.n_ubatch <= (1 << 16), "n_ubatch", raw.n_ubatch,
            "at most 65536, or 0 for the default");
    require(raw.n_threads >= 0 && raw.n_threads <= GGML_MAX_N_THREADS, "n_threads", raw.n_threads,
            "between 0 (the cores of this process) and 512");
    require(raw.n_threads_batch >= 0 && raw.n_threads_batch <= GGML_MAX_N_THREADS, "n_threads_batch",
            raw.n_threads_batch, "between 0 (n_threads) and 512");
    require(raw.max_queue >= 0, "max_queue", raw.max_queue, "positive, or 0 for the default");
    require(raw.flash_attention >= -1 && raw.flash_attention <= 1, "flash_attention", raw.flash_attention,
            "-1 (auto), 0 or 1");
    require(raw.split_mode >= LLAMA_SPLIT_MODE_NONE && raw.split_mode <= LLAMA_SPLIT_MODE_TENSOR, "split_mode",
            raw.split_mode, "one of llama.cpp's split modes");
    require(raw.pooling == -1 || (raw.pooling >= LLAMA_POOLING_TYPE_MEAN && raw.pooling <= LLAMA_POOLING_TYPE_RANK),
            "pooling", raw.pooling, "-1 (the model's own), 1 (mean), 2 (cls), 3 (last) or 4 (rank)");
    if (speculation.has(GuessKind::draft_mtp) && !draft_model_path.empty()) {
        throw Error(LA_ERR_INVALID, "speculative names draft-mtp, and there is a draft_model: one of them guesses",
                    "speculative");
    }
    if (speculation.has(GuessKind::draft_simple) && draft_model_path.empty()) {
        throw Error(LA_ERR_INVALID, "speculative names draft-simple, but there is no draft_model", "speculative");
    }
    require(raw.n_kv >= 0, "n_kv", raw.n_kv, "positive, or 0 for the default");
    if (raw.n_kv > 0) {
        require(raw.kv_unified > 0, "n_kv", raw.n_kv, "0 without kv_unified");
        const std::string limits = "at least n_ctx, which is " + std::to_string(raw.n_ctx);
        require(raw.n_ctx == 0 || raw.n_kv >= raw.n_ctx, "n_kv", raw.n_kv, limits.c_str());
    }
    if (raw.prefix_cache_bytes < -1) {
        throw Error(LA_ERR_INVALID, "prefix_cache_bytes must not be negative", "prefix_cache_bytes");
    }
    raw.prefix_cache_bytes = raw.prefix_cache_bytes >= 0 ? raw.prefix_cache_bytes : int64_t(512) << 20;
    require(raw.poll >= -1 && raw.poll <= 100, "poll", raw.poll, "between 0 and 100, or -1 for the default");
    if (!std::isfinite(raw.tune_s)) {
        throw Error(LA_ERR_INVALID, "tune_s must be finite", "tune_s");
    }
    // Upstream demands flash attention where these are set.
    open.flash_attention = raw.flash_attention < 0 && !ggml_is_quantized(cache_type(type_v, "type_v")) &&
                           raw.split_mode != LLAMA_SPLIT_MODE_TENSOR;
    open.kv_unified = raw.kv_unified < 0;
    open.n_threads = raw.n_threads == 0;
    open.n_threads_batch = raw.n_threads_batch == 0 && open.n_threads;
    open.n_ubatch = raw.n_ubatch == 0;
    open.poll = raw.poll < 0;
    raw.kv_unified = raw.kv_unified > 0 ? 1 : 0;
    raw.poll = open.poll ? k_default_poll : raw.poll;
    raw.max_queue = raw.max_queue > 0 ? raw.max_queue : 1024;
    raw.n_ubatch = raw.n_ubatch > 0 ? raw.n_ubatch : 512;
    // A step is at most all sequences decoding and one full graph of prefill.
    raw.n_batch = std::max({ raw.n_batch > 0 ? raw.n_batch : 2048, raw.n_ubatch, raw.n_parallel });
    cache_type(type_k, "type_k");
    std::istringstream names(to_string(params.devices));
    for (std::string name; std::getline(names, name, ',');) {
        if (!ggml_backend_dev_by_name(name.c_str())) {
            throw Error(LA_ERR_INVALID, "devices names \"" + name + "\", must be among " + device_names(), "devices");
        }
        devices.push_back(name);
    }
    if (params.n_tensor_split > llama_max_devices()) {
        throw Error(LA_ERR_INVALID,
                    "tensor_split has " + std::to_string(params.n_tensor_split) + " shares, must be at most " +
                        std::to_string(llama_max_devices()) + " shares",
                    "tensor_split");
    }
    if (params.n_tensor_split > 0) {
        tensor_split.assign(params.tensor_split, params.tensor_split + params.n_tensor_split);
        tensor_split.resize(llama_max_devices(), 0.0f);
    }
    if (!std::isfinite(raw.rope_freq_base) || raw.rope_freq_base < 0) {
        throw Error(LA_ERR_INVALID, "rope_freq_base must be finite and not negative", "rope_freq_base");
    }
    if (!std::isfinite(raw.rope_freq_scale) || raw.rope_freq_scale < 0) {
        throw Error(LA_ERR_INVALID, "rope_freq_scale must be finite and not negative", "rope_freq_scale");
    }
}

ggml_type cache_type(const std::string & name, const char * param) {
    static const ggml_type usable[] = { GGML_TYPE_F32,  GGML_TYPE_F16,    GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
                                        GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1 };
    if (name.empty()) {
        return GGML_TYPE_F16;
    }
    for (const ggml_type type : usable) {
        if (name == ggml_type_name(type)) {
            return type;
        }
    }
    throw Error(LA_ERR_INVALID,
                std::string(param) + " is \"" + name +
                    "\", must be one of f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1",
                param);
}

// What upstream would answer with a null pointer, said in words before it tries.
static void check_file(const std::string & path) {
    const std::string what = "cannot load model '" + path + "': ";
    std::error_code ec;
    // The path is UTF-8 on every system.
    const auto status = std::filesystem::status(std::filesystem::u8path(path), ec);
    if (!std::filesystem::exists(status)) {
        throw Error(LA_ERR_LOAD, what + "no such file");
    }
    if (!std::filesystem::is_regular_file(status)) {
        throw Error(LA_ERR_LOAD, what + "not a regular file");
    }
    std::ifstream file(std::filesystem::u8path(path), std::ios::binary);
    if (!file) {
        throw Error(LA_ERR_LOAD, what + std::strerror(errno));
    }
    char magic[4] = {};
    file.read(magic, sizeof(magic));
    if (file.gcount() == 0) {
        throw Error(LA_ERR_LOAD, what + "the file is empty");
    }
    if (file.gcount() < 4 || std::memcmp(magic, "GGUF", 4) != 0) {
        throw Error(LA_ERR_LOAD, what + "not a GGUF file");
    }
}

// Tensors of types that upstream has no arithmetic for crash in the first compute, not at load. Returns whether there is a
// rank head among them: a model without one would be ranked by whatever its first feature is.
static bool check_tensor_types(const std::string & path) {
    bool rank_head = false;
    gguf_init_params params = { /* no_alloc */ true, /* ctx */ nullptr };
    const std::unique_ptr<gguf_context, decltype(&gguf_free)> file(gguf_init_from_file(path.c_str(), params), gguf_free);
    if (!file) {
        return false; // the loader says why
    }
    const auto ends_with = [](const std::string & text, const char * end) {
        const size_t n = std::strlen(end);
        return text.size() >= n && text.compare(text.size() - n, n, end) == 0;
    };
    for (int64_t i = 0; i < gguf_get_n_tensors(file.get()); ++i) {
        const std::string name = gguf_get_tensor_name(file.get(), i);
        const ggml_type type = gguf_get_tensor_type(file.get(), i);
        rank_head = rank_head || name.compare(0, 4, "cls.") == 0;
        const bool vector = ends_with(name, "norm.weight") || ends_with(name, ".bias") || ends_with(name, "conv1d.weight") ||
                            ends_with(name, "conv.weight") || ends_with(name, "ssm_a");
        const bool integer = type == GGML_TYPE_I8 || type == GGML_TYPE_I16 || type == GGML_TYPE_I32 ||
                             type == GGML_TYPE_I64 || type == GGML_TYPE_F64;
        if ((vector && type != GGML_TYPE_F32) || (integer && ends_with(name, ".weight"))) {
            throw Error(LA_ERR_LOAD, "cannot load model '" + path + "': tensor " + name + " has type " +
                                         ggml_type_name(type) + ", which llama.cpp cannot compute with there");
        }
    }
    return rank_head;
}

std::shared_ptr<Model> Model::load(const EngineConfig & config, const std::function<bool(float)> & progress, bool dry) {
    check_file(config.model_path);
    const bool rank_head = check_tensor_types(config.model_path);
    llama_model_params params = llama_model_default_params();
    std::vector<ggml_backend_dev_t> devices;
    for (const auto & name : config.devices) {
        devices.push_back(ggml_backend_dev_by_name(name.c_str()));
    }
    devices.push_back(nullptr);
    if (devices.size() > 1) {
        params.devices = devices.data();
    }
    params.n_gpu_layers = config.raw.n_gpu_layers;
    params.split_mode = static_cast<llama_split_mode>(config.raw.split_mode);
    params.main_gpu = config.raw.main_gpu;
    params.tensor_split = config.tensor_split.empty() ? nullptr : config.tensor_split.data();
    params.load_mode = config.raw.use_mmap ? (config.raw.use_mlock ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_MMAP)
                                           : (config.raw.use_mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE);
    params.use_extra_bufts = config.raw.use_extra_buffers != 0;
    params.check_tensors = config.raw.check_tensors != 0 && !dry;
    params.no_alloc = dry;
    params.load_mtp = config.speculation.has(GuessKind::draft_mtp);
    if (dry) {
        params.load_mode = LLAMA_LOAD_MODE_NONE; // upstream maps the file otherwise
    }
    struct Progress {
        const std::function<bool(float)> & report;
        bool stopped = false;
    } state{ progress };
    params.progress_callback_user_data = &state;
    params.progress_callback = [](float fraction, void * user_data) {
        auto & s = *static_cast<Progress *>(user_data);
        s.stopped = !s.report(fraction);
        return !s.stopped;
    };

    const ErrorTap tap;
    const AssertsThrow asserts_throw;
    std::shared_ptr<Model> model(new Model);
    model->path_ = config.model_path;
    std::string reason;
    try {
        model->weights_.reset(llama_model_load_from_file(config.model_path.c_str(), params));
    } catch (const std::exception & e) {
        reason = e.what();
    }
    if (!model->weights_) {
        if (state.stopped) {
            throw Error(LA_ERR_CLOSED, "loading was cancelled");
        }
        reason = reason.empty() ? tap.text() : reason;
        throw Error(LA_ERR_LOAD, "cannot load model '" + config.model_path +
                                     "': " + (reason.empty() ? "llama.cpp gives no reason" : reason));
    }
    llama_model * weights = model->weights_.get();
    model->vocab_ = llama_model_get_vocab(weights);
    if (llama_vocab_type(model->vocab_) == LLAMA_VOCAB_TYPE_NONE || llama_vocab_n_tokens(model->vocab_) == 0) {
        throw Error(LA_ERR_LOAD, "cannot load model '" + config.model_path + "': it has no vocabulary");
    }
    model->n_ctx_train_ = llama_model_n_ctx_train(weights);
    model->rank_head_ = rank_head;
    model->n_swa_ = llama_model_n_swa(weights);
    model->recurrent_ = llama_model_is_recurrent(weights) || llama_model_is_hybrid(weights);
    if (dry) {
        model->pieces_.resize(llama_vocab_n_tokens(model->vocab_)); // for n_vocab()
        return model;
    }
    model->index_vocab();
    model->init_sampling_defaults();
    try {
        model->template_ = compile_template(weights, config.chat_template);
    } catch (const std::exception & e) {
        model->template_error_ = e.what(); // completions still work; chat requests get this
    }
    return model;
}

std::vector<llama_token> Model::tokens_of(std::string_view bytes, const std::string & param) const {
    std::vector<llama_token> tokens(bytes.size() / sizeof(llama_token));
    if (!tokens.empty()) {
        std::memcpy(tokens.data(), bytes.data(), tokens.size() * sizeof(llama_token));
    }
    for (const llama_token token : tokens) {
        if (token < 0 || token >= n_vocab()) {
            throw Error(LA_ERR_INVALID,
                        param + " has token " + std::to_string(token) + ", the vocabulary has 0.." +
                            std::to_string(n_vocab() - 1),
                        param);
        }
    }
    return tokens;
}

void Model::index_vocab() {
    const int32_t n = llama_vocab_n_tokens(vocab_);
    pieces_.resize(n);
    is_end_.resize(n);
    for (llama_token token = 0; token < n; ++token) {
        pieces_[token] = common_token_to_piece(vocab_, token, false);
        max_piece_bytes_ = std::max(max_piece_bytes_, pieces_[token].size());
        is_end_[token] = llama_vocab_is_eog(vocab_, token);
        if (llama_vocab_get_attr(vocab_, token) & LLAMA_TOKEN_ATTR_CONTROL) {
            const char * text = llama_vocab_get_text(vocab_, token);
            if (text && std::strlen(text) > 1) {
                control_texts_.emplace_back(text);
                max_piece_bytes_ = std::max(max_piece_bytes_, control_texts_.back().size());
            }
        }
    }
}

std::string Model::meta(const char * key) const {
    std::vector<char> buffer(256);
    int32_t n = llama_model_meta_val_str(weights_.get(), key, buffer.data(), buffer.size());
    if (n < 0) {
        return {};
    }
    if (static_cast<size_t>(n) >= buffer.size()) {
        buffer.resize(static_cast<size_t>(n) + 1);
        n = llama_model_meta_val_str(weights_.get(), key, buffer.data(), buffer.size());
    }
    return { buffer.data(), static_cast<size_t>(n) };
}

void Model::init_sampling_defaults() {
    init_sampling(sampling_defaults_);
    const auto read = [&](llama_model_meta_key key, auto & field) {
        const std::string text = meta(llama_model_meta_key_str(key));
        char * end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        if (end == text.c_str() || !std::isfinite(value)) {
            return;
        }
        const auto before = field;
        field = static_cast<std::decay_t<decltype(field)>>(value);
        try {
            SamplingSpec{ sampling_defaults_ };
        } catch (const Error &) {
            field = before; // out of range: no caller asked for it, so no caller shall get an error for it
        }
    };
    auto & s = sampling_defaults_;
    read(LLAMA_MODEL_META_KEY_SAMPLING_TOP_K, s.top_k);
    read(LLAMA_MODEL_META_KEY_SAMPLING_TOP_P, s.top_p);
    read(LLAMA_MODEL_META_KEY_SAMPLING_MIN_P, s.min_p);
    read(LLAMA_MODEL_META_KEY_SAMPLING_XTC_PROBABILITY, s.xtc_probability);
    read(LLAMA_MODEL_META_KEY_SAMPLING_XTC_THRESHOLD, s.xtc_threshold);
    read(LLAMA_MODEL_META_KEY_SAMPLING_TEMP, s.temperature);
    read(LLAMA_MODEL_META_KEY_SAMPLING_PENALTY_LAST_N, s.penalty_last_n);
    read(LLAMA_MODEL_META_KEY_SAMPLING_PENALTY_REPEAT, s.repeat_penalty);
    read(LLAMA_MODEL_META_KEY_SAMPLING_MIROSTAT, s.mirostat);
    read(LLAMA_MODEL_META_KEY_SAMPLING_MIROSTAT_TAU, s.mirostat_tau);
    read(LLAMA_MODEL_META_KEY_SAMPLING_MIROSTAT_ETA, s.mirostat_eta);
}

size_t Model::kv_token_bytes(ggml_type k, ggml_type v) const {
    const std::string arch = meta("general.architecture");
    const int32_t n_head = std::max(1, llama_model_n_head(weights_.get()));
    const auto head_dim = [&](const char * which) {
        const int dim = std::atoi(meta((arch + ".attention." + which).c_str()).c_str());
        return static_cast<size_t>(dim > 0 ? dim : llama_model_n_embd(weights_.get()) / n_head);
    };
    const auto n_head_kv = static_cast<size_t>(llama_model_n_head_kv(weights_.get()));
    const auto bytes = [](ggml_type type, size_t n) {
        return n * ggml_type_size(type) / static_cast<size_t>(ggml_blck_size(type));
    };
    return static_cast<size_t>(llama_model_n_layer(weights_.get())) *
           (bytes(k, n_head_kv * head_dim("key_length")) + bytes(v, n_head_kv * head_dim("value_length")));
}

static size_t read_number(const char * path) {
    std::ifstream file(path);
    size_t value = 0;
    return file >> value ? value : std::numeric_limits<size_t>::max();
}

size_t available_memory_bytes() {
    constexpr size_t unknown = std::numeric_limits<size_t>::max();
    size_t available = unknown;
    std::ifstream meminfo("/proc/meminfo");
    for (std::string line; std::getline(meminfo, line);) {
        size_t kib = 0;
        if (std::sscanf(line.c_str(), "MemAvailable: %zu kB", &kib) == 1) {
            available = kib * 1024;
            break;
        }
    }
    // A container's own limit (cgroup v2, then v1); "max" does not parse as a number.
    const std::pair<const char *, const char *> limits[] = {
        { "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current" },
        { "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes" },
    };
    for (const auto & [limit_path, used_path] : limits) {
        const size_t limit = read_number(limit_path);
        const size_t used = read_number(used_path);
        if (limit != unknown && used != unknown) {
            available = std::min(available, limit > used ? limit - used : 0);
        }
    }
    return available;
}

} // namespace la
