// The decode thread's work: slots, steps, sampling. The only caller of llama_decode on the engine's context.
#pragma once

#include "engine/context.h"
#include "planner/planner.h"
#include "prefix/prefix.h"
#include "request/requests.h"
#include "sequence/sequence.h"

#include <atomic>
#include <deque>
#include <vector>

namespace la {

// Counters that others may read at any time.
struct DecoderStats {
    std::atomic<int32_t> n_running{ 0 };
    std::atomic<uint64_t> n_steps{ 0 };
    std::atomic<uint64_t> n_prefilled{ 0 };
    std::atomic<uint64_t> n_cached{ 0 };
    std::atomic<uint64_t> n_generated{ 0 };
    std::atomic<double> decode_s{ 0 };
    std::atomic<double> sample_s{ 0 };
};

// Not thread-safe.
class Decoder {
  public:
    // `closing` makes a running decode step stop early. The references outlive the decoder.
    Decoder(std::shared_ptr<const Model> model, const EngineConfig & config, Context context, Requests & requests,
            Channel & channel, const std::atomic<bool> & closing, DecoderStats & stats);
    ~Decoder();

    // Touches the weights once, so that the first request does not wait for the disk. Call it before step().
    void warm_up();

    // Takes over the sequences of a request.
    void add(std::vector<SequencePtr> sequences);

    // True while there is something to compute or to wait for.
    bool has_work() const { return !pending_.empty() || n_running() > 0; }

    // One turn: drops what nobody wants, gives free slots to waiting sequences, computes, samples, posts. Returns false
    // if there was nothing to compute.
    bool step();

  private:
    struct Slot {
        SequencePtr sequence; // null: idle, `computed` is a cached prefix
        Tokens computed;      // tokens in the KV cache
        uint64_t last_used = 0;

        bool scores_prompt() const { return sequence->scores_prompt(); }
        int32_t n_to_prefill() const {
            const auto n_prompt = static_cast<int32_t>(sequence->request->prompt.size());
            const auto n_computed = static_cast<int32_t>(computed.size());
            return n_computed < n_prompt ? n_prompt - n_computed : 0;
        }
    };

    // A slot's part of one batch.
    struct Item {
        int32_t slot;
        int32_t n_tokens;
        bool prefill;
        int32_t first;  // row of the batch
        int32_t output; // index of the batch row whose logits are sampled; -1: none yet
    };

    int32_t n_running() const { return stats_.n_running.load(std::memory_order_relaxed); }

    void drop_unwanted();
    void drop(const RequestPtr & request, la_status status, const std::string & error);
    void admit();
    int32_t start_from(const Placement & placement, const Tokens & prompt);
    // Forgets the slot's tokens from n on; false when the state cannot be had that way.
    bool cut(const Slot & slot, int32_t n);
    PrefixRules prefix_rules(bool use_cache) const;

    std::vector<Item> plan() const;
    void compute(std::vector<Item> items);
    int32_t decode(std::vector<Item> & items);
    bool forget_oldest_prefix();
    void restore(const std::vector<Item> & items);
    void score(const Item & item);
    void sample(const Item & item);
    void finish(Slot & slot);
    void release(Slot & slot);
    void clear(Slot & slot);

    llama_memory_t memory() const { return llama_get_memory(context_.llama.get()); }
    int32_t index(const Slot & slot) const { return static_cast<int32_t>(&slot - slots_.data()); }

    const std::shared_ptr<const Model> model_;
    Context context_;
    Requests & requests_;
    Channel & channel_;
    const std::atomic<bool> & closing_;
    const bool unified_;
    // Cells of sliding-window layers may be gone: they forget what left the window, and in a unified cache, even one of
    // full size, upstream reuses cells that no query can see any more.
    const bool swa_cut_;
    const int32_t n_batch_;
    const int32_t max_scored_;

    std::vector<Slot> slots_;
    std::deque<SequencePtr> pending_; // higher priority first, then in order of arrival
    StepBudget budget_;
    uint64_t n_steps_ = 0;
    llama_batch batch_;
    std::vector<Request *> in_batch_;
    BatchWatch watch_;
    mutable std::atomic<bool> aborted_{ false }; // the running step, by the abort callback

    DecoderStats & stats_;
};

} // namespace la
