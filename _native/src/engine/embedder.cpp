#include "engine/embedder.h"

#include "base/asserts.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread_name.h"
#include "embedding/vector.h"
#include "engine/compute_gate.h"
#include "engine/timed_step.h"

#include <algorithm>

namespace la {

namespace {

constexpr int32_t k_max_sequences = 64;
// Upstream keeps, and with a language model's head computes, a row of logits for every token that is embedded.
constexpr size_t k_max_logits_bytes = size_t(256) << 20;
// While others compute too, a step takes at most so many times as long as one of theirs.
constexpr double k_share = 1.5;
constexpr int32_t k_min_tokens = 16;
constexpr int32_t k_first_guess = 64;
// Results wait for the end of their request or for so many: a wake-up costs the event loop as much as reading thirty.
constexpr size_t k_wake_after = 256;

int32_t pack_tokens(const Model & model, const EngineConfig & config) {
    const size_t n = k_max_logits_bytes / (sizeof(float) * static_cast<size_t>(model.n_vocab()));
    return std::max(k_min_tokens, std::min(config.raw.n_ubatch, static_cast<int32_t>(n)));
}

} // namespace

Embedder::Embedder(std::shared_ptr<const Model> model, const EngineConfig & config, Threads threads,
                   EmbeddingTraits traits, Requests & requests, Channel & channel, const std::atomic<bool> & closing)
    : model_(std::move(model)),
      config_(config),
      threads_(std::move(threads)),
      traits_(traits),
      pools_itself_(traits.in_pieces &&
                    (traits.pooling == LLAMA_POOLING_TYPE_MEAN || traits.pooling == LLAMA_POOLING_TYPE_CLS)),
      n_pack_(pack_tokens(*model_, config)),
      // A recurrent model has a state per sequence, as large as a long context of others; and upstream wants room for a
      // row of each in a step.
      n_sequences_(std::min(n_pack_, model_->is_recurrent() ? config.raw.n_parallel : k_max_sequences)),
      requests_(requests),
      channel_(channel),
      closing_(closing) {}

Embedder::~Embedder() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Embedder::push(RequestPtr request) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        inbox_.push_back(std::move(request));
        if (!thread_.joinable()) {
            thread_ = std::thread([this] { run(); });
        }
    }
    changed_.notify_one();
}

// -- the embedder thread ----------------------------------------------------------------------------------------------

void Embedder::run() {
    name_this_thread("llama-embed");
    for (;;) {
        std::vector<RequestPtr> arrived;
        {
            std::unique_lock<std::mutex> lock(mutex_);
            // Once the engine closes, all that is left is to wait for the destructor.
            changed_.wait(lock, [this] { return stopping_ || (!closing_ && (!inbox_.empty() || !jobs_.empty())); });
            if (stopping_) {
                break;
            }
            arrived.swap(inbox_);
        }
        accept(std::move(arrived));
        drop_unwanted();
        if (!jobs_.empty() && (context_.llama || open())) {
            step();
        }
    }
    llama_batch_free(batch_);
    context_.llama.reset();
    stats_.n_running = 0;
}

void Embedder::accept(std::vector<RequestPtr> arrived) {
    for (auto & request : arrived) {
        Job job;
        for (const auto & input : request->inputs) {
            job.lengths.push_back(static_cast<int32_t>(input.size()));
        }
        job.request = std::move(request);
        jobs_.push_back(std::move(job));
    }
}

// Makes the context. When that fails, so do those who wait; the next request tries again.
bool Embedder::open() {
    la_status status = LA_OK;
    std::string message;
    try {
        EmbeddingShape shape = {};
        shape.pooling = pools_itself_ ? LLAMA_POOLING_TYPE_NONE : traits_.pooling;
        shape.n_tokens = traits_.in_pieces ? n_pack_ : std::max(n_pack_, traits_.n_input_max);
        shape.n_sequences = n_sequences_;
        shape.n_ctx = std::max(shape.n_tokens, traits_.n_input_max);
        context_ = make_embedding_context(*model_, config_, shape, threads_);
        llama_batch_free(batch_);
        batch_ = llama_batch_init(shape.n_tokens, 0, 1);
        warm_up();
        return true;
    } catch (const Error & e) {
        status = e.status;
        message = e.what();
    } catch (const std::bad_alloc &) {
        status = LA_ERR_MEMORY;
        message = "out of memory for a context for embeddings";
    } catch (const std::exception & e) {
        status = LA_ERR_INTERNAL;
        message = e.what();
    }
    context_.llama.reset();
    while (!jobs_.empty()) {
        end(jobs_.front().request, status, message);
    }
    channel_.wake();
    return false;
}

// First on this thread alone: what a malformed model trips is then an exception.
void Embedder::warm_up() {
    llama_context * ctx = context_.llama.get();
    {
        const ComputeGate::Turn turn(turns_);
        const AssertsThrow asserts_throw;
        llama_set_n_threads(ctx, 1, 1);
        llama_token token = std::max(0, llama_vocab_bos(model_->vocab()));
        const llama_batch one = llama_batch_get_one(&token, 1);
        if ((llama_model_has_encoder(model_->weights()) ? llama_encode(ctx, one) : llama_decode(ctx, one)) != 0) {
            throw Error(LA_ERR_INTERNAL, "the model cannot embed a single token");
        }
        llama_set_n_threads(ctx, threads_.n_decode, threads_.n_batch);
    }
    llama_memory_clear(llama_get_memory(ctx), true);
    llama_set_abort_callback(
        ctx,
        [](void * self) {
            const auto * embedder = static_cast<const Embedder *>(self);
            const double deadline_s = embedder->deadline_s_;
            const bool abort = embedder->closing_.load(std::memory_order_relaxed) || !embedder->watch_.is_wanted() ||
                               (deadline_s > 0 && now_s() > deadline_s);
            if (abort) {
                embedder->aborted_.store(true, std::memory_order_relaxed);
            }
            return abort;
        },
        this);
}

void Embedder::drop_unwanted() {
    const double now = now_s();
    for (auto job = jobs_.begin(); job != jobs_.end();) {
        const RequestPtr request = (job++)->request; // `end` takes it out of the list
        if (request->cancelled.load(std::memory_order_relaxed)) {
            end(request, LA_ERR_CANCELLED, "cancelled");
        } else if (request->expired(now)) {
            end(request, LA_ERR_TIMEOUT, "the request timed out");
        }
    }
    channel_.wake();
}

// By value: what it refers to may lie in the job that goes.
void Embedder::end(RequestPtr request, la_status status, const std::string & error) {
    if (request->admitted) {
        stats_.n_running.fetch_sub(1, std::memory_order_relaxed);
    }
    requests_.end(request, status, error);
    jobs_.remove_if([&](const Job & job) { return job.request == request; });
}

// -- one step ---------------------------------------------------------------------------------------------------------

void Embedder::step() {
    auto items = plan();
    ++n_steps_;
    for (const auto & item : items) {
        auto & request = *item.job->request;
        item.job->last_served = n_steps_;
        if (!request.admitted) {
            requests_.mark_admitted(request);
            stats_.n_running.fetch_add(1, std::memory_order_relaxed);
        }
    }
    const uint64_t n_ended = channel_.n_ended();
    compute(std::move(items));
    if (n_posted_ >= k_wake_after || channel_.n_ended() != n_ended) {
        channel_.wake();
        n_posted_ = 0;
    }
}

int32_t Embedder::n_step_tokens() const {
    const double others_s = ComputeGate::others_turn_s(turns_);
    if (others_s <= 0) {
        return n_pack_;
    }
    if (token_s_ <= 0) {
        return std::min(k_first_guess, n_pack_);
    }
    return std::max(k_min_tokens, static_cast<int32_t>(std::min(double(n_pack_), k_share * others_s / token_s_)));
}

std::vector<Embedder::Item> Embedder::plan() {
    const int32_t n_tokens = n_step_tokens();
    std::vector<Item> items;
    const auto piece = [&](Job & job) {
        const int32_t n = std::min(n_tokens, job.lengths[job.next] - job.n_computed);
        items.push_back({ &job, job.next, job.n_computed, n });
    };
    for (auto & job : jobs_) {
        if (job.n_computed > 0) {
            piece(job); // its state fills the cache: it goes first, alone
            return items;
        }
    }
    std::vector<PackSource> sources;
    std::vector<Job *> jobs;
    for (auto & job : jobs_) {
        sources.push_back({ job.request->spec.priority, job.last_served, &job.lengths, job.next });
        jobs.push_back(&job);
    }
    for (const auto & packed : pack_inputs(sources, n_tokens, n_sequences_)) {
        Job & job = *jobs[packed.source];
        if (traits_.in_pieces && job.lengths[packed.input] > n_tokens) {
            piece(job);
        } else {
            items.push_back({ &job, packed.input, 0, job.lengths[packed.input] });
        }
    }
    return items;
}

void Embedder::compute(std::vector<Item> items) {
    const int32_t result = decode(items);
    if (result == 0) {
        std::vector<std::vector<float>> vectors;
        for (const auto & item : items) {
            vectors.push_back(pooled(item));
        }
        // What is masked is still computed with: one input's NaN is everybody's.
        if (items.size() > 1 && !std::all_of(vectors.begin(), vectors.end(), is_finite)) {
            compute_apart(items);
            return;
        }
        for (size_t i = 0; i < items.size(); ++i) {
            take(items[i], std::move(vectors[i]));
        }
        end_done();
    } else if (result == 2) {
        return; // aborted: nobody in the batch is wanted any more; the next turn drops them
    } else if (items.size() == 1) {
        end(items[0].job->request, LA_ERR_INTERNAL, "llama_decode failed with " + std::to_string(result));
    } else {
        compute_apart(items);
    }
}

// One of them is at fault: each is tried alone, and only the guilty fails.
void Embedder::compute_apart(const std::vector<Item> & items) {
    for (const auto & item : items) {
        if (std::any_of(jobs_.begin(), jobs_.end(), [&](const Job & job) { return &job == item.job; })) {
            compute({ item });
        }
    }
}

void Embedder::end_done() {
    std::vector<std::pair<RequestPtr, bool>> done;
    for (const auto & job : jobs_) {
        if (job.failed || job.next == job.lengths.size()) {
            done.emplace_back(job.request, job.failed);
        }
    }
    for (const auto & [request, failed] : done) {
        end(request, failed ? LA_ERR_INTERNAL : LA_OK, "the model computed values that are not finite");
    }
}

// Returns llama_decode's result; an exception counts as -3.
int32_t Embedder::decode(std::vector<Item> & items) {
    llama_context * ctx = context_.llama.get();
    batch_.n_tokens = 0;
    in_batch_.clear();
    deadline_s_ = 0;
    bool endless = false;
    for (size_t sequence = 0; sequence < items.size(); ++sequence) {
        auto & item = items[sequence];
        const Request & request = *item.job->request;
        const auto & tokens = request.inputs[item.input];
        item.row = batch_.n_tokens;
        item.sequence = static_cast<llama_seq_id>(sequence);
        for (int32_t pos = item.from; pos < item.from + item.n_tokens; ++pos) {
            const int32_t row = batch_.n_tokens++;
            batch_.token[row] = tokens[static_cast<size_t>(pos)];
            batch_.pos[row] = pos;
            batch_.n_seq_id[row] = 1;
            batch_.seq_id[row][0] = item.sequence;
            batch_.logits[row] = 1;
        }
        in_batch_.push_back(item.job->request.get());
        endless = endless || request.spec.timeout_s <= 0;
        deadline_s_ = std::max(deadline_s_, request.active_s + request.spec.timeout_s);
    }
    if (endless) {
        deadline_s_ = 0;
    }
    std::sort(in_batch_.begin(), in_batch_.end());
    in_batch_.erase(std::unique(in_batch_.begin(), in_batch_.end()), in_batch_.end());
    if (items[0].from == 0) {
        llama_memory_clear(llama_get_memory(ctx), false);
    }

    requests_.enter_batch(in_batch_, watch_);
    const auto [result, seconds] = timed_step(ctx, turns_, aborted_, [&] {
        return llama_model_has_encoder(model_->weights()) ? llama_encode(ctx, batch_) : llama_decode(ctx, batch_);
    });
    requests_.leave_batch(in_batch_);
    stats_.n_steps.fetch_add(1, std::memory_order_relaxed);
    stats_.compute_s.store(stats_.compute_s.load(std::memory_order_relaxed) + seconds, std::memory_order_relaxed);
    if (result == 0) {
        const double token_s = seconds / batch_.n_tokens;
        token_s_ = token_s_ > 0 ? 0.7 * token_s_ + 0.3 * token_s : token_s;
        stats_.n_tokens.fetch_add(static_cast<uint64_t>(batch_.n_tokens), std::memory_order_relaxed);
    }
    return result;
}

// -- one input --------------------------------------------------------------------------------------------------------

void Embedder::take(const Item & item, std::vector<float> values) {
    Job & job = *item.job;
    if (!item.is_last()) {
        job.n_computed = item.from + item.n_tokens;
        return;
    }
    job.n_computed = 0;
    ++job.next;
    job.failed = values.empty() || !is_finite(values);
    if (!job.failed) {
        post(job, item.input, std::move(values));
    }
}

void Embedder::add_rows(const Item & item) {
    auto & sum = item.job->sum;
    sum.resize(static_cast<size_t>(traits_.n_out));
    const bool first_only = traits_.pooling == LLAMA_POOLING_TYPE_CLS;
    for (int32_t i = 0; i < item.n_tokens && !(first_only && item.from + i > 0); ++i) {
        const float * row = llama_get_embeddings_ith(context_.llama.get(), item.row + i);
        for (size_t k = 0; row && k < sum.size(); ++k) {
            sum[k] += row[k];
        }
    }
}

// Empty while the input is not computed whole.
std::vector<float> Embedder::pooled(const Item & item) {
    if (pools_itself_) {
        add_rows(item);
    }
    if (!item.is_last()) {
        return {};
    }
    if (pools_itself_) {
        const double n = traits_.pooling == LLAMA_POOLING_TYPE_MEAN ? item.job->lengths[item.input] : 1;
        std::vector<float> values;
        for (const double sum : item.job->sum) {
            values.push_back(static_cast<float>(sum / n));
        }
        item.job->sum.clear();
        return values;
    }
    const float * values = llama_get_embeddings_seq(context_.llama.get(), item.sequence);
    const int32_t n = traits_.pooling == LLAMA_POOLING_TYPE_RANK ? 1 : traits_.n_out;
    return values ? std::vector<float>(values, values + n) : std::vector<float>();
}

void Embedder::post(const Job & job, size_t input, std::vector<float> values) {
    const RequestPtr & request = job.request;
    if (request->spec.task == LA_TASK_EMBED) {
        finish_embedding(values, request->spec.embd_dimensions, request->spec.embd_normalize);
    }
    channel_.post_delta(request->mailbox, static_cast<int32_t>(input), {},
                        { reinterpret_cast<const char *>(values.data()), values.size() * sizeof(float) },
                        job.lengths[input], LA_FINISH_STOP);
    ++n_posted_;
    request->last_token_s = now_s();
    if (request->first_token_s == 0) {
        request->first_token_s = request->last_token_s;
    }
}

} // namespace la
