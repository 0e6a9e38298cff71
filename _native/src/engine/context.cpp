#include "engine/context.h"

#include "base/asserts.h"
#include "base/error.h"
#include "log/log_ring.h"

#include "borrowed_memory.h"
#include "common.h"
#include "ggml-backend.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <thread>

#if defined(__linux__)
#    include <sched.h>
#endif

namespace la {

namespace {

// By name, since a build with loadable backends does not link the CPU backend.
template <typename F> F cpu_function(const char * name) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (!cpu) {
        throw Error(LA_ERR_LOAD, "this build of ggml has no CPU backend");
    }
    return reinterpret_cast<F>(ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name));
}

// Of a recurrent state.
constexpr int32_t k_max_steps_back = 8;

// What the cgroup grants, in whole cores; unlimited when unknown.
int32_t cgroup_cores() {
    std::ifstream file("/sys/fs/cgroup/cpu.max");
    double quota = 0;
    double period = 0;
    if (file >> quota >> period && quota > 0 && period > 0) {
        return std::max(1, static_cast<int32_t>(quota / period + 0.5));
    }
    return std::numeric_limits<int32_t>::max();
}

std::string gib(double bytes) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.1f GiB", bytes / (1024.0 * 1024.0 * 1024.0));
    return text;
}

// Linux grants memory it does not have and kills whoever uses it: so the sum is done first. Only for caches in main
// memory; a device refuses by itself.
void check_memory(const Model & model, const EngineConfig & config, ContextShape shape) {
    const double n_cells = double(shape.n_cells);
    if (n_cells > double(std::numeric_limits<int32_t>::max())) {
        throw Error(LA_ERR_MEMORY,
                    "n_ctx " + std::to_string(shape.n_ctx) + " with n_parallel " + std::to_string(shape.n_parallel) +
                        " is more than llama.cpp can count",
                    "n_ctx");
    }
    if (llama_model_is_recurrent(model.weights()) || uses_device(config)) {
        return;
    }
    double bytes = n_cells * double(model.kv_token_bytes(cache_type(config.type_k, "type_k"),
                                                         cache_type(config.type_v, "type_v")));
    if (forgets_window(model, config) || llama_model_is_hybrid(model.weights())) {
        bytes /= 8; // only some layers keep the whole context; no model known has fewer than one in eight
    }
    const double available = double(available_memory_bytes());
    if (bytes > available) {
        throw Error(LA_ERR_MEMORY,
                    "n_ctx " + std::to_string(shape.n_ctx) + " with n_parallel " + std::to_string(shape.n_parallel) +
                        " needs " + gib(bytes) + " for the KV cache, " + gib(available) + " of memory are available",
                    "n_ctx");
    }
}

} // namespace

std::shared_ptr<ggml_threadpool> make_threadpool(int32_t n_threads, int32_t poll) {
    auto params = ggml_threadpool_params_default(n_threads);
    params.poll = static_cast<uint32_t>(poll);
    const auto create = cpu_function<ggml_threadpool * (*)(ggml_threadpool_params *)>("ggml_threadpool_new");
    const auto free = cpu_function<void (*)(ggml_threadpool *)>("ggml_threadpool_free");
    ggml_threadpool * pool = create ? create(&params) : nullptr;
    return pool ? std::shared_ptr<ggml_threadpool>(pool, free) : nullptr;
}

bool uses_device(const EngineConfig & config) {
    return config.raw.n_gpu_layers != 0 && llama_supports_gpu_offload();
}

int32_t usable_cores() {
    int32_t n = common_cpu_get_num_math();
    n = n > 0 ? n : static_cast<int32_t>(std::thread::hardware_concurrency());
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        n = std::min(n, static_cast<int32_t>(CPU_COUNT(&set)));
    }
#endif
    return std::max(1, std::min(n, cgroup_cores()));
}

ContextShape context_shape(const Model & model, const EngineConfig & config) {
    int32_t n_ctx = config.raw.n_ctx;
    if (n_ctx == 0) {
        n_ctx = model.n_ctx_train() > 0 ? std::min(4096, model.n_ctx_train()) : 4096;
    }
    const int64_t n_cells = config.raw.n_kv > 0 ? std::max(config.raw.n_kv, n_ctx) : int64_t(n_ctx) * config.raw.n_parallel;
    return { n_ctx, config.raw.n_parallel, n_cells };
}

int32_t max_scored(const Model & model) {
    constexpr int64_t k_bytes = int64_t(16) << 20;
    return static_cast<int32_t>(std::clamp<int64_t>(k_bytes / (4 * int64_t(model.n_vocab())), 8, 128));
}

bool forgets_window(const Model & model, const EngineConfig & config) {
    return model.n_swa() > 0 && config.raw.swa_full == 0 && config.raw.kv_unified == 0;
}

Threads make_threads(const EngineConfig & config) {
    Threads threads;
    threads.n_decode = config.raw.n_threads > 0 ? config.raw.n_threads : usable_cores();
    threads.n_batch = config.raw.n_threads_batch > 0 ? config.raw.n_threads_batch : threads.n_decode;
    threads.decode = make_threadpool(threads.n_decode, config.raw.poll);
    if (threads.n_batch != threads.n_decode) {
        threads.batch = make_threadpool(threads.n_batch, config.raw.poll);
    }
    return threads;
}

// Steps of 16 streams took 6% longer where the rows of logits were no multiple of 16 (docs/design.md): it is about where
// upstream's buffers come to lie.
static int32_t whole_rows(int32_t n_outputs) {
    return (n_outputs + 15) / 16 * 16;
}

// What both kinds of context have in common.
static llama_context_params common_params(const EngineConfig & config, const Threads & threads) {
    llama_context_params params = llama_context_default_params();
    params.n_threads = threads.n_decode;
    params.n_threads_batch = threads.n_batch;
    params.offload_kqv = config.raw.offload_kqv != 0;
    params.rope_freq_base = config.raw.rope_freq_base;
    params.rope_freq_scale = config.raw.rope_freq_scale;
    params.type_k = cache_type(config.type_k, "type_k");
    params.type_v = cache_type(config.type_v, "type_v");
    params.flash_attn_type = static_cast<llama_flash_attn_type>(config.raw.flash_attention);
    params.no_perf = true;
    if (ggml_is_quantized(params.type_v) && config.raw.flash_attention == 0) {
        throw Error(LA_ERR_INVALID, "type_v " + config.type_v + " needs flash_attention", "type_v");
    }
    return params;
}

static Context create(const Model & model, const llama_context_params & params, Threads threads,
                      const std::string & what) {
    Context context;
    context.threads = std::move(threads);
    const ErrorTap tap;
    const AssertsThrow asserts_throw;
    std::string reason;
    try {
        context.llama.reset(llama_init_from_model(model.weights(), params));
    } catch (const std::exception & e) {
        reason = e.what();
    }
    if (!context.llama) {
        reason = reason.empty() ? tap.text() : reason;
        throw Error(LA_ERR_MEMORY, "cannot create " + what + (reason.empty() ? "" : ": " + reason));
    }
    if (context.threads.decode) {
        llama_attach_threadpool(context.llama.get(), context.threads.decode.get(), context.threads.batch.get());
    }
    return context;
}

Context make_context(const Model & model, const EngineConfig & config, ContextShape shape, Threads threads, bool dry) {
    if (!dry) {
        check_memory(model, config, shape);
    }
    llama_context_params params = common_params(config, threads);
    params.n_ctx = static_cast<uint32_t>(shape.n_cells);
    params.n_seq_max = static_cast<uint32_t>(shape.n_parallel);
    params.n_batch = static_cast<uint32_t>(config.raw.n_batch);
    params.n_ubatch = static_cast<uint32_t>(config.raw.n_ubatch);
    // One row of logits per sequence and step, and those of prompts that are scored.
    params.n_outputs_max = static_cast<uint32_t>(whole_rows(shape.n_parallel + max_scored(model)));
    if (model.is_recurrent() && !config.speculation.kinds.empty()) {
        // So far it can step back, at the price of as many copies of its state; 0 remains where the architecture cannot.
        params.n_rs_seq = static_cast<uint32_t>(std::min(config.speculation.n_max, k_max_steps_back));
    }
    params.kv_unified = config.raw.kv_unified != 0;
    params.swa_full = !forgets_window(model, config);
    Context context = create(model, params, std::move(threads),
                             "a context of n_ctx " + std::to_string(shape.n_ctx) + ", n_parallel " +
                                 std::to_string(shape.n_parallel));
    context.n_ctx = shape.n_ctx;
    context.n_cells = shape.n_cells;
    return context;
}

Context make_heads_context(const Model & model, const EngineConfig & config, const Context & target, Threads threads) {
    llama_context_params params = common_params(config, threads);
    params.ctx_type = LLAMA_CONTEXT_TYPE_MTP;
    params.ctx_other = target.llama.get();
    params.n_ctx = llama_n_ctx(target.llama.get());
    params.n_seq_max = static_cast<uint32_t>(config.raw.n_parallel);
    params.n_batch = static_cast<uint32_t>(config.raw.n_batch);
    params.n_ubatch = static_cast<uint32_t>(config.raw.n_ubatch);
    params.n_outputs_max = params.n_seq_max;
    params.kv_unified = config.raw.kv_unified != 0;
    params.swa_full = true;
    return create(model, params, std::move(threads), "a context for the layers that predict more tokens");
}

Context make_beside_context(const Model & model, const EngineConfig & config, const Context & target, int32_t n_tokens,
                            ggml_backend_sched_eval_callback on_node, void * data) {
    llama_context_params params = common_params(config, target.threads);
    params.n_ctx = 256; // of a memory that it does not keep
    params.n_seq_max = 1;
    params.kv_unified = true;
    params.n_batch = static_cast<uint32_t>(n_tokens);
    params.n_ubatch = params.n_batch;
    params.n_outputs_max = llama_n_seq_max(target.llama.get());
    params.swa_full = !forgets_window(model, config);
    params.cb_eval = on_node;
    params.cb_eval_user_data = data;
    Context context = create(model, params, target.threads, "a context for prompts beside those who decode");
    try {
        la_borrow_memory(context.llama.get(), target.llama.get());
    } catch (const std::exception & e) {
        throw Error(LA_ERR_MEMORY, std::string("cannot create a context for prompts beside those who decode: ") + e.what());
    }
    context.n_ctx = target.n_ctx;
    context.n_cells = target.n_cells;
    return context;
}

Context make_embedding_context(const Model & model, const EngineConfig & config, EmbeddingShape shape, Threads threads) {
    check_memory(model, config, { shape.n_ctx, 1, shape.n_ctx });
    llama_context_params params = common_params(config, threads);
    params.n_ctx = static_cast<uint32_t>(shape.n_ctx);
    params.n_seq_max = static_cast<uint32_t>(shape.n_sequences);
    // One graph for a whole batch: upstream pools what it computes at a time, and asserts that an input which sees
    // itself whole is computed at a time.
    params.n_batch = static_cast<uint32_t>(shape.n_tokens);
    params.n_ubatch = params.n_batch;
    params.embeddings = true;
    params.pooling_type = shape.pooling;
    // In a partitioned cache sequences of different lengths are computed in several graphs.
    params.kv_unified = true;
    params.swa_full = true;
    Context context = create(model, params, std::move(threads),
                             "a context for embeddings of " + std::to_string(shape.n_tokens) + " tokens at a time");
    context.n_ctx = shape.n_ctx;
    return context;
}

} // namespace la
