#include "engine/engine.h"

#include "base/error.h"
#include "base/thread_name.h"
#include "log/log_ring.h"
#include "speculative/draft_model.h"
#include "speculative/next_heads.h"
#include "tasks/text_task.h"
#include "tune/tune.h"

#include <algorithm>
#include <chrono>

namespace la {

Engine::Engine(EngineConfig config)
    : config_(std::move(config)), used_(config_), requests_(channel_, config_.raw.max_queue), thread_([this] { run(); }) {}

Engine::~Engine() {
    close();
    thread_.join();
}

void Engine::close() {
    {
        // Under the mutex, so that the decode thread cannot miss it between its check and its wait.
        const std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
    }
    changed_.notify_one();
}

uint64_t Engine::submit(const la_request & request) {
    RequestSpec spec(request, config_.speculation);
    check_guesses(spec);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) {
        throw Error(LA_ERR_CLOSED, "the client was closed");
    }
    if (!preparer_) {
        throw Error(LA_ERR_NOT_READY, "the model is not loaded");
    }
    check_task(spec);
    check_size(spec);
    auto accepted = requests_.add(std::move(spec));
    const uint64_t id = accepted->id;
    preparer_->push(std::move(accepted));
    changed_.notify_one(); // the decode thread keeps an eye on what is being prepared
    return id;
}

// What guesses must have been loaded.
void Engine::check_guesses(const RequestSpec & spec) const {
    const auto & kinds = spec.speculation.kinds;
    for (const GuessKind kind : kinds) {
        if ((kind == GuessKind::draft_simple && config_.draft_model_path.empty()) ||
            (kind == GuessKind::draft_mtp && !config_.speculation.has(kind))) {
            throw Error(LA_ERR_INVALID,
                        std::string("speculative names ") + name_of(kind) + ", which the client was not opened with",
                        "speculative");
        }
    }
}

void Engine::check_task(const RequestSpec & spec) const {
    const auto refuse = [&](const std::string & why) { throw Error(LA_ERR_UNSUPPORTED, why, "model"); };
    const std::string pooling = pooling_name(embedding_.pooling);
    if (spec.task == LA_TASK_GENERATE && !limits_.can_generate) {
        refuse("this model cannot generate text");
    } else if (spec.task == LA_TASK_EMBED && !embedding_.can_embed) {
        refuse(embedding_.pooling == LLAMA_POOLING_TYPE_RANK
                   ? "this model does not embed: its pooling is \"rank\", it ranks documents by a query"
                   : "this model cannot embed: what its encoder computes is for its decoder");
    } else if (spec.task == LA_TASK_RERANK && !embedding_.can_rerank) {
        refuse(embedding_.pooling == LLAMA_POOLING_TYPE_RANK
                   ? "this model cannot rank: it has no rank head"
                   : "this model does not rank: its pooling is \"" + pooling + "\", not \"rank\"");
    }
    if (spec.task == LA_TASK_EMBED && spec.embd_dimensions > embedding_.n_out) {
        throw Error(LA_ERR_INVALID,
                    "dimensions is " + std::to_string(spec.embd_dimensions) + ", the embeddings of this model have " +
                        std::to_string(embedding_.n_out),
                    "dimensions");
    }
}

// Text that cannot fit is not even queued: a thousand requests of megabytes would take the memory of the process. JSON may
// spell a byte in six; what is left after that the preparation thread looks at more closely.
void Engine::check_size(const RequestSpec & spec) const {
    if (is_text_task(spec.task)) {
        return; // has a limit of its own, which no context moves
    }
    const bool one_prompt = spec.task == LA_TASK_GENERATE;
    size_t n_bytes = 0; // of a prompt, or of the longest of several inputs
    for (const auto & segment : spec.segments) {
        n_bytes = one_prompt ? n_bytes + segment.bytes.size() : std::max(n_bytes, segment.bytes.size());
    }
    const size_t n_most = size_t(6) * static_cast<size_t>(limits_.n_ctx) * model_->max_piece_bytes() + (size_t(1) << 20);
    if (n_bytes > n_most) {
        const char * param = !one_prompt ? "input" : spec.segments.front().kind == LA_SEGMENT_CHAT ? "messages" : "prompt";
        throw Error(LA_ERR_CONTEXT_LENGTH,
                    "the request has " + std::to_string(n_bytes) + " bytes, more than " + std::to_string(limits_.n_ctx) +
                        " tokens (n_ctx) can hold",
                    param);
    }
}

const std::string & Engine::info() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (info_.empty()) {
        throw Error(LA_ERR_NOT_READY, "the model is not loaded");
    }
    return info_;
}

const std::string & Engine::tuning() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (info_.empty()) {
        throw Error(LA_ERR_NOT_READY, "the model is not loaded");
    }
    return tuning_;
}

std::shared_ptr<const Model> Engine::model() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!model_) {
        throw Error(closing_ ? LA_ERR_CLOSED : LA_ERR_NOT_READY, "the model is not loaded");
    }
    return model_;
}

la_stats Engine::stats() const {
    la_stats out = {};
    out.struct_size = sizeof(out);
    out.n_parallel = config_.raw.n_parallel;
    out.n_queued = requests_.n_queued();
    out.n_running = stats_.n_running;
    out.n_steps = stats_.n_steps;
    out.n_prefilled = stats_.n_prefilled;
    out.decode_s = stats_.decode_s;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (embedder_) {
            const EmbedderStats & embedder = embedder_->stats();
            out.n_running += embedder.n_running;
            out.n_steps += embedder.n_steps;
            out.n_prefilled += embedder.n_tokens;
            out.decode_s += embedder.compute_s;
        }
    }
    out.n_requests = requests_.n_added();
    out.n_ended = channel_.n_ended();
    out.n_cached = stats_.n_cached;
    out.n_generated = stats_.n_generated;
    out.n_drafted = stats_.n_drafted;
    out.n_accepted = stats_.n_accepted;
    out.n_preempted = stats_.n_preempted;
    out.n_stored_bytes = stats_.stored_bytes;
    out.n_wakeups = channel_.n_wakeups();
    out.sample_s = stats_.sample_s;
    return out;
}

// -- the decode thread ------------------------------------------------------------------------------------------------

void Engine::run() {
    name_this_thread("llama-decode");
    std::unique_ptr<Decoder> decoder;
    bool loaded = false;
    try {
        decoder = load();
        loaded = true;
        channel_.post_engine(LA_RECORD_READY, LA_OK);
    } catch (const Error & e) {
        channel_.post_engine(LA_RECORD_READY, closing_ ? LA_ERR_CLOSED : e.status, e.what(), e.param);
    } catch (const std::bad_alloc &) {
        channel_.post_engine(LA_RECORD_READY, LA_ERR_MEMORY, "out of memory while loading the model");
    } catch (const std::exception & e) {
        channel_.post_engine(LA_RECORD_READY, LA_ERR_LOAD,
                             "cannot load model '" + config_.model_path + "': " + e.what());
    }
    channel_.wake();
    if (loaded) {
        decode_until_closed(decoder.get());
    }

    std::unique_ptr<Preparer> preparer;
    std::unique_ptr<Embedder> embedder;
    std::vector<SequencePtr> inbox;
    {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return closing_.load(); }); // a model that did not load waits here
        preparer = std::move(preparer_);
    }
    preparer.reset(); // joins; ends what it had not prepared
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        embedder = std::move(embedder_); // now that nobody delivers to it
    }
    embedder.reset(); // joins
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        inbox = std::move(inbox_);
        model_.reset();
    }
    requests_.end_all(LA_ERR_CLOSED, "the client was closed");
    inbox.clear();
    decoder.reset(); // sequences, context, compute threads; with the last reference, the model
    stats_.n_running = 0;
    channel_.post_engine(LA_RECORD_CLOSED, LA_OK);
    channel_.wake();
}

std::unique_ptr<Decoder> Engine::load() {
    const auto check_closing = [this] {
        if (closing_) {
            throw Error(LA_ERR_CLOSED, "loading was cancelled");
        }
    };
    const double start_s = now_s();
    int32_t last_percent = -1;
    const auto model = Model::load(config_, [&](float fraction) {
        const auto percent = static_cast<int32_t>(100 * fraction);
        if (percent != last_percent) {
            last_percent = percent;
            channel_.post_engine(LA_RECORD_LOADING, LA_OK, {}, {}, 10 * percent);
            channel_.wake();
        }
        return !closing_.load();
    });
    check_closing();
    const Tuned tuned = tune(*model, config_, now_s() - start_s, closing_); // frees what it took before the context takes its
    check_closing();
    apply(tuned.settings, used_);
    auto context = make_context(*model, used_, context_shape(*model, used_), make_threads(used_));
    check_closing();
    const Threads threads = context.threads;
    const bool has_memory = llama_get_memory(context.llama.get()) != nullptr;
    EngineLimits limits;
    limits.n_ctx = context.n_ctx;
    limits.n_threads = threads.n_decode;
    limits.n_threads_batch = threads.n_batch;
    // Without memory nothing can be continued; and upstream's decoders beside an encoder want its output first.
    limits.can_generate = has_memory && !llama_model_has_encoder(model->weights());
    const auto embedding = embedding_traits(*model, config_, has_memory, limits.n_ctx);
    std::unique_ptr<Decoder> decoder;
    if (limits.can_generate) {
        std::unique_ptr<GuessingModel> guessing_model;
        if (!config_.draft_model_path.empty()) {
            guessing_model = DraftModel::load(*model, config_, limits.n_ctx, threads, closing_);
            check_closing();
        } else if (config_.speculation.has(GuessKind::draft_mtp)) {
            guessing_model = std::make_unique<NextHeads>(model, used_, context, threads, closing_);
        }
        decoder = std::make_unique<Decoder>(model, used_, std::move(context), std::move(guessing_model), requests_, channel_,
                                            closing_, stats_);
        decoder->warm_up(/* checked */ tuned.has_checked);
    }
    const auto deliver = [this](const RequestPtr & request, std::vector<SequencePtr> sequences) {
        if (sequences.empty()) {
            embedder_->push(request); // there as long as somebody delivers
            return;
        }
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            for (auto & sequence : sequences) {
                inbox_.push_back(std::move(sequence));
            }
        }
        changed_.notify_one();
    };
    const std::lock_guard<std::mutex> lock(mutex_);
    info_ = describe(*model, used_, limits, embedding);
    tuning_ = tuned.json;
    model_ = model;
    limits_ = limits;
    embedding_ = embedding;
    embedder_ = std::make_unique<Embedder>(model, config_, threads, embedding, requests_, channel_, closing_);
    preparer_ = std::make_unique<Preparer>(requests_, channel_, model, limits.n_ctx, embedding, deliver);
    return decoder;
}

void Engine::sweep(std::unique_lock<std::mutex> & lock) {
    Preparer & preparer = *preparer_; // only this thread ever resets it
    lock.unlock();
    preparer.sweep();
    channel_.wake();
    lock.lock();
}

// Without a decoder it looks after the preparation only.
void Engine::decode_until_closed(Decoder * decoder) {
    std::vector<SequencePtr> arrived;
    while (!closing_) {
        try {
            take_turn(decoder, arrived);
        } catch (const std::bad_alloc &) {
            give_up(decoder, arrived, LA_ERR_MEMORY, "the engine ran out of memory");
        } catch (const std::exception & e) {
            give_up(decoder, arrived, LA_ERR_INTERNAL, std::string("the engine failed: ") + e.what());
        }
    }
}

void Engine::take_turn(Decoder * decoder, std::vector<SequencePtr> & arrived) {
    {
        std::unique_lock<std::mutex> lock(mutex_);
        const auto has_work = [&] { return closing_ || !inbox_.empty() || (decoder && decoder->has_work()); };
        while (!has_work()) {
            if (!preparer_->is_busy()) {
                changed_.wait(lock);
                continue;
            }
            // Somebody must see that what is being prepared is cancelled or late.
            changed_.wait_for(lock, std::chrono::milliseconds(20), has_work);
            sweep(lock);
        }
        sweep(lock);
        arrived.swap(inbox_);
    }
    if (decoder) {
        decoder->add(arrived);
    }
    if (decoder && !closing_) {
        decoder->step();
    }
}

// After an exception that no request can be blamed for: those that were being answered end with it, the engine lives.
void Engine::give_up(Decoder * decoder, std::vector<SequencePtr> & arrived, la_status status, const std::string & error) {
    if (decoder) {
        decoder->give_up_all(status, error);
    }
    for (const auto & sequence : arrived) {
        if (sequence) {
            requests_.end(sequence->request, status, error);
        }
    }
    arrived.clear();
    log_warning(error); // once there is memory again
    channel_.wake();
}

} // namespace la
