#include "tune/engine_rig.h"

#include "base/asserts.h"
#include "base/clock.h"
#include "engine/compute_gate.h"
#include "engine/timed_step.h"
#include "log/log_ring.h"
#include "tune/stretch.h"

#include <algorithm>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <thread>

namespace la {

namespace {

constexpr int32_t k_most_streams = 4;
constexpr int32_t k_most_depth = 1024;
// Computed for each context; their state is repeated up to the depth.
constexpr int32_t k_seed = 4;
// Room behind the depth.
constexpr int32_t k_room = 256;

// A step that is shorter is repeated.
constexpr double k_resolution_s = 0.02;

// What a decoder does between two steps and an event loop meanwhile: sampling and building text, chunks and what the
// application makes of them.
constexpr double k_between_s = 300e-6;

// Below this share of a core for the thread that waits for all others, somebody else computes too.
constexpr double k_quiet = 0.85;

int32_t padded(int32_t n) {
    return (n + 255) / 256 * 256;
}

// What a request has behind it on average whose context grows to a quarter of what it may.
int32_t wanted_depth(ContextShape shape) {
    return std::clamp(shape.n_ctx / 8, 64, k_most_depth);
}

// As upstream rounds. Two contexts are there at a time: together they take no more memory than the one that will be made.
int32_t wanted_cells(ContextShape shape) {
    return std::clamp(padded(wanted_depth(shape) + k_room), 256, std::max(256, shape.n_ctx / 512 * 256));
}

int32_t wanted_streams(ContextShape shape) {
    const int64_t n_possible = std::max<int64_t>(1, shape.n_cells / (2 * wanted_cells(shape)));
    return static_cast<int32_t>(std::min<int64_t>(n_possible, std::min(shape.n_parallel, k_most_streams)));
}

void spin(double seconds) {
    const double end_s = now_s() + seconds;
    while (now_s() < end_s) {
    }
}

// Of the calling thread; -1 where it cannot be had.
double thread_cpu_s() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
    timespec t = {};
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0) {
        return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
    }
#endif
    return -1;
}

// Stands for an event loop: sleeps until it is woken, and then is at work for a while.
class Loop {
  public:
    Loop() : thread_([this] { run(); }) {}
    ~Loop() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            over_ = true;
        }
        changed_.notify_one();
        thread_.join();
    }
    Loop(const Loop &) = delete;
    Loop & operator=(const Loop &) = delete;

    void wake() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            woken_ = true;
        }
        changed_.notify_one();
    }

  private:
    void run() {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return woken_ || over_; });
            if (over_) {
                return;
            }
            woken_ = false;
            lock.unlock();
            spin(k_between_s);
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    bool woken_ = false;
    bool over_ = false;
    std::thread thread_;
};

} // namespace

EngineRig::EngineRig(const Model & model, const EngineConfig & config, ContextShape shape, const std::atomic<bool> & closing)
    : model_(model),
      config_(config),
      closing_(closing),
      start_s_(now_s()),
      n_streams_(wanted_streams(shape)),
      n_cells_(wanted_cells(shape)),
      depth_(wanted_depth(shape)),
      batch_(llama_batch_init(n_cells_, 0, 1)) {}

EngineRig::~EngineRig() {
    llama_batch_free(batch_);
}

double EngineRig::now() const {
    return now_s();
}

bool EngineRig::is_busy() const {
    return step_s_ > 0.05 && step_cpu_s_ >= 0 && step_cpu_s_ < k_quiet * step_s_;
}

void EngineRig::keep_only(const Settings & settings) {
    const Kind kept = { settings.flash_attention, settings.kv_unified };
    for (auto it = benches_.begin(); it != benches_.end();) {
        it = it->first < kept || kept < it->first ? benches_.erase(it) : std::next(it);
    }
}

// -- steps ------------------------------------------------------------------------------------------------------------

double EngineRig::decode(const Settings & settings, int32_t n) {
    Bench * const bench = this->bench(settings);
    if (!bench) {
        return -1;
    }
    double seconds = 0;
    int32_t n_steps = 0;
    while (seconds < k_resolution_s) {
        for (int32_t sequence = 0; sequence < n; ++sequence) {
            add(sequence, 1, depth_, true);
        }
        const double step_s = step(bench->context.llama.get());
        if (step_s < 0) {
            return -1;
        }
        seconds += step_s;
        ++n_steps;
        for (int32_t sequence = 0; sequence < n; ++sequence) {
            if (!cut_back(*bench, sequence)) {
                return -1;
            }
        }
    }
    return seconds / n_steps;
}

double EngineRig::prefill(const Settings & settings, int32_t n) {
    Bench * const bench = this->bench(settings);
    if (!bench || n > n_cells_) {
        return -1;
    }
    llama_context * ctx = bench->context.llama.get();
    const int32_t n_before = std::min(depth_, n_cells_ - n);
    const bool shorter = n_before < depth_;
    if (shorter && !llama_memory_seq_rm(llama_get_memory(ctx), 0, n_before, -1)) {
        return -1;
    }
    double seconds = 0;
    for (int32_t n_done = 0; n_done < n;) {
        const int32_t n_now = std::min(settings.n_ubatch, n - n_done);
        add(0, n_now, n_before + n_done, false);
        batch_.logits[batch_.n_tokens - 1] = 1;
        const double step_s = step(ctx);
        if (step_s < 0) {
            return -1;
        }
        seconds += step_s;
        n_done += n_now;
    }
    if (shorter) {
        return llama_state_seq_set_data(ctx, bench->state.data(), bench->state.size(), 0) > 0 ? seconds : -1;
    }
    return cut_back(*bench, 0) ? seconds : -1;
}

double EngineRig::answer(const Settings & settings) {
    Bench * const bench = this->bench(settings);
    if (!bench) {
        return -1;
    }
    Loop loop;
    const double start_s = now_s();
    for (int32_t i = 0; i < k_answer_steps; ++i) {
        add(0, 1, depth_, true);
        if (step(bench->context.llama.get()) < 0 || !cut_back(*bench, 0)) {
            return -1;
        }
        loop.wake();
        spin(k_between_s);
    }
    return (now_s() - start_s) / k_answer_steps;
}

void EngineRig::add(llama_seq_id sequence, int32_t n, int32_t n_before, bool all_logits) {
    for (int32_t i = 0; i < n; ++i) {
        const int32_t row = batch_.n_tokens++;
        // Any token costs the same; these spread over the vocabulary.
        random_ = random_ * 1664525u + 1013904223u;
        batch_.token[row] = static_cast<llama_token>((random_ >> 8) % static_cast<uint32_t>(model_.n_vocab()));
        batch_.pos[row] = n_before + i;
        batch_.n_seq_id[row] = 1;
        batch_.seq_id[row][0] = sequence;
        batch_.logits[row] = all_logits;
    }
}

// Seconds; less than 0: it failed.
double EngineRig::step(llama_context * ctx) {
    const auto stop_if = [](bool condition, const char * why) {
        if (condition) {
            throw MeasuringStopped(why);
        }
    };
    const double cpu_s = thread_cpu_s();
    const auto [result, seconds] = timed_step(ctx, turns_, aborted_, [&] { return llama_decode(ctx, batch_); });
    batch_.n_tokens = 0;
    stop_if(closing_, "closed");
    stop_if(ComputeGate::others_since(turns_, start_s_), "another engine of this process computed at the same time");
    step_s_ += seconds;
    step_cpu_s_ = cpu_s < 0 || uses_device(config_) ? -1 : step_cpu_s_ + thread_cpu_s() - cpu_s;
    return result == 0 ? seconds : -1;
}

// Takes away what lies behind the depth.
bool EngineRig::cut_back(Bench & bench, llama_seq_id sequence) {
    llama_memory_t memory = llama_get_memory(bench.context.llama.get());
    if (llama_memory_seq_rm(memory, sequence, depth_ > 0 ? depth_ : -1, -1)) {
        return true;
    }
    return depth_ == 0 && llama_memory_seq_rm(memory, sequence, -1, -1);
}

// -- contexts ---------------------------------------------------------------------------------------------------------

EngineRig::Bench * EngineRig::bench(const Settings & settings) {
    const Kind kind = { settings.flash_attention, settings.kv_unified };
    auto found = benches_.find(kind);
    if (found == benches_.end()) {
        found = benches_.emplace(kind, make_bench(settings)).first;
    }
    if (found->second) {
        use_threads(found->second->context.llama.get(), settings);
    }
    return found->second.get();
}

std::unique_ptr<EngineRig::Bench> EngineRig::make_bench(const Settings & settings) {
    EngineConfig config = config_;
    config.raw.flash_attention = settings.flash_attention;
    config.raw.kv_unified = settings.kv_unified ? 1 : 0;
    config.speculation = {};
    auto bench = std::make_unique<Bench>();
    try {
        const AssertsThrow asserts_throw;
        bench->context = make_context(model_, config, { n_cells_, n_streams_, int64_t(n_cells_) * n_streams_ },
                                      Threads{ nullptr, nullptr, settings.n_threads, settings.n_threads_batch });
    } catch (const std::exception &) {
        return nullptr;
    }
    llama_context * ctx = bench->context.llama.get();
    if (!llama_get_memory(ctx)) {
        return nullptr;
    }
    llama_set_abort_callback(
        ctx,
        [](void * self) {
            auto * rig = static_cast<EngineRig *>(self);
            const bool abort = rig->closing_.load(std::memory_order_relaxed);
            rig->aborted_.store(abort, std::memory_order_relaxed);
            return abort;
        },
        this);
    if (!checked_) {
        check(ctx);
    }
    use_threads(ctx, settings);
    if (depth_ > 0 && !fill(*bench, settings)) {
        if (!benches_.empty()) {
            return nullptr;
        }
        depth_ = 0; // the first says what is possible
        llama_memory_clear(llama_get_memory(ctx), false);
    }
    return bench;
}

// One token on this thread alone: what a malformed model trips is an exception.
void EngineRig::check(llama_context * ctx) {
    const AssertsThrow asserts_throw;
    llama_set_n_threads(ctx, 1, 1);
    add(0, 1, 0, true);
    if (step(ctx) < 0) {
        throw MeasuringStopped("the model cannot compute a token");
    }
    llama_memory_clear(llama_get_memory(ctx), true);
    checked_ = true;
}

// Brings all streams to the depth.
bool EngineRig::fill(Bench & bench, const Settings & settings) {
    llama_context * ctx = bench.context.llama.get();
    add(0, k_seed, 0, false);
    if (step(ctx) < 0) {
        return false;
    }
    const AssertsThrow asserts_throw;
    std::vector<uint8_t> seed(llama_state_seq_get_size(ctx, 0));
    seed.resize(llama_state_seq_get_data(ctx, seed.data(), seed.size(), 0));
    const bool has_window = forgets_window(model_, config_) && !settings.kv_unified;
    bench.state = stretch_state(seed, depth_, has_window ? model_.n_swa() : model_.n_swa() > 0 ? depth_ : 0);
    llama_memory_t memory = llama_get_memory(ctx);
    llama_memory_clear(memory, false);
    for (int32_t sequence = 0; sequence < n_streams_ && !bench.state.empty(); ++sequence) {
        const size_t n_read = llama_state_seq_set_data(ctx, bench.state.data(), bench.state.size(), sequence);
        if (n_read != bench.state.size() || llama_memory_seq_pos_max(memory, sequence) != depth_ - 1) {
            return false;
        }
    }
    return !bench.state.empty();
}

void EngineRig::use_threads(llama_context * ctx, const Settings & settings) {
    llama_set_n_threads(ctx, settings.n_threads, settings.n_threads_batch);
    llama_attach_threadpool(ctx, pool(settings.n_threads, settings.poll), pool(settings.n_threads_batch, settings.poll));
}

// Upstream pauses the pool that a context leaves for another: they stay until the contexts are gone.
ggml_threadpool * EngineRig::pool(int32_t n_threads, int32_t poll) {
    auto & pool = pools_[{ n_threads, poll }];
    if (!pool) {
        pool = make_threadpool(n_threads, poll);
    }
    return pool.get();
}

} // namespace la
