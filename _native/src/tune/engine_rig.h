// The rig of an engine that loads: steps of its model in small contexts of their own.
#pragma once

#include "engine/compute_gate.h"
#include "engine/context.h"
#include "tune/search.h"

#include <atomic>
#include <map>
#include <memory>
#include <optional>

namespace la {

// Not thread-safe. REQUIRES: the model has its weights; `closing` makes a running step stop early, and MeasuringStopped.
class EngineRig : public Rig {
  public:
    EngineRig(const Model & model, const EngineConfig & config, ContextShape shape, const std::atomic<bool> & closing);
    ~EngineRig() override;
    EngineRig(const EngineRig &) = delete;
    EngineRig & operator=(const EngineRig &) = delete;

    double now() const override;
    int32_t n_streams() const override { return n_streams_; }
    int32_t depth() const override { return depth_; }
    double decode(const Settings & settings, int32_t n) override;
    double prefill(const Settings & settings, int32_t n) override;
    double answer(const Settings & settings) override;
    void keep_only(const Settings & settings) override;
    bool is_busy() const override;

    // Whether the model has computed a token on one thread, where what it trips is an exception.
    bool has_checked() const { return checked_; }

  private:
    // What cannot be changed in a context.
    struct Kind {
        int32_t flash_attention;
        bool kv_unified;
        bool operator<(const Kind & other) const {
            return flash_attention != other.flash_attention ? flash_attention < other.flash_attention
                                                            : kv_unified < other.kv_unified;
        }
    };
    struct Bench {
        Context context;
        std::vector<uint8_t> state; // of a stream at the depth; empty: it has none
    };

    Bench * bench(const Settings & settings);
    std::unique_ptr<Bench> make_bench(const Settings & settings);
    bool fill(Bench & bench, const Settings & settings);
    void check(llama_context * ctx);
    ggml_threadpool * pool(int32_t n_threads, int32_t poll);
    void use_threads(llama_context * ctx, const Settings & settings);
    double step(llama_context * ctx); // what is in batch_; throws MeasuringStopped
    void add(llama_seq_id sequence, int32_t n, int32_t n_before, bool all_logits);
    bool cut_back(Bench & bench, llama_seq_id sequence);

    const Model & model_;
    const EngineConfig & config_;
    const std::atomic<bool> & closing_;
    const double start_s_;
    const int32_t n_streams_;
    const int32_t n_cells_; // of one stream
    int32_t depth_;
    bool checked_ = false;
    double step_s_ = 0;     // in steps, of this thread: by the clock,
    double step_cpu_s_ = 0; // and by what it had of a core
    ComputeGate::Owner turns_;
    std::atomic<bool> aborted_{ false };
    // Before the contexts, which compute on them until they are freed.
    std::map<std::pair<int32_t, int32_t>, std::shared_ptr<ggml_threadpool>> pools_;
    std::map<Kind, std::unique_ptr<Bench>> benches_; // null: cannot be had
    llama_batch batch_;
    uint32_t random_ = 1;
};

} // namespace la
