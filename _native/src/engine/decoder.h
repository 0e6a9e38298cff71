// The decode thread's work: slots, steps, sampling. The only caller of llama_decode on the engine's context.
#pragma once

#include "engine/admission.h"
#include "engine/compute_gate.h"
#include "engine/context.h"
#include "engine/sliced_context.h"
#include "engine/slot_memory.h"
#include "engine/thread_team.h"
#include "engine/timed_step.h"
#include "planner/planner.h"
#include "request/requests.h"
#include "sequence/sequence.h"
#include "speculative/guessing_model.h"
#include "speculative/pace.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <vector>

namespace la {

// Counters that others may read at any time.
struct DecoderStats {
    std::atomic<int32_t> n_running{ 0 };
    std::atomic<uint64_t> n_steps{ 0 };
    std::atomic<uint64_t> n_prefilled{ 0 };
    std::atomic<uint64_t> n_cached{ 0 };
    std::atomic<uint64_t> n_generated{ 0 };
    std::atomic<uint64_t> n_drafted{ 0 };
    std::atomic<uint64_t> n_accepted{ 0 };
    std::atomic<uint64_t> n_preempted{ 0 };
    std::atomic<uint64_t> stored_bytes{ 0 };
    std::atomic<double> decode_s{ 0 };
    std::atomic<double> sample_s{ 0 };
};

// Not thread-safe.
class Decoder {
  public:
    // `closing` makes a running decode step stop early. The references outlive the decoder. guessing_model: null, or what
    // guesses.
    Decoder(std::shared_ptr<const Model> model, const EngineConfig & config, Context context,
            std::unique_ptr<GuessingModel> guessing_model, Requests & requests, Channel & channel,
            const std::atomic<bool> & closing, DecoderStats & stats);
    ~Decoder();

    // Touches the weights once, so that the first request does not wait for the disk. Call it before step(). `checked`: the
    // model has computed a token on one thread before.
    void warm_up(bool checked);

    // Takes over the sequences of requests: those that it has taken are null afterwards, all unless it throws.
    void add(std::vector<SequencePtr> & sequences);

    // True while there is something to compute or to wait for.
    bool has_work() const { return !waiting_.empty() || n_running() > 0; }

    // One turn: drops what nobody wants, gives free slots to waiting sequences, computes, samples, posts. Returns false
    // if there was nothing to compute.
    bool step();

    // Ends all requests that it has, and forgets all that is computed: after step() threw, no state is known to be whole.
    void give_up_all(la_status status, const std::string & error);

  private:
    // What came of a sequence's choose().
    struct Choice {
        llama_token token = -1;
        std::exception_ptr error; // null: none
    };

    // A step of the prefill ends after so many tokens: others who begin alike wait for them.
    struct Checkpoint {
        int32_t n;
        bool keep; // the state is kept, since it cannot be cut back to there later
    };

    // A context, and the batch that it computes.
    struct Lane {
        Lane(llama_context * ctx, int32_t n_tokens) : ctx(ctx), batch(llama_batch_init(n_tokens, 0, 1)) {}
        ~Lane() { llama_batch_free(batch); }
        Lane(const Lane &) = delete;
        Lane & operator=(const Lane &) = delete;

        llama_context * ctx;
        llama_batch batch;
        std::vector<Request *> requests;   // in the batch
        BatchWatch watch;                  // of them
        std::atomic<bool> aborted{ false }; // the running step, by the abort callback
    };

    struct Slot {
        SequencePtr sequence; // null: idle, what is computed is a cached prefix
        std::optional<Choice> ahead; // of the step's first row; none: it is still to be made
        uint64_t last_used = 0;
        uint64_t admitted = 0;            // in order of admission
        std::vector<Checkpoint> checkpoints; // ascending

        bool scores_prompt() const { return sequence->scores_prompt(); }
    };

    // A slot's part of one batch.
    struct Item {
        int32_t slot;
        int32_t n_tokens;
        bool prefill;
        int32_t first;  // row of the batch
        int32_t output; // index of the batch row whose logits are sampled first; -1: none yet

        int32_t n_guessed() const { return prefill ? 0 : n_tokens - 1; }
    };

    int32_t count_decoding() const;
    int32_t n_running() const { return stats_.n_running.load(std::memory_order_relaxed); }

    bool is_aborted(Lane & lane) const;
    // Whether a graph of its prompt is being computed in slices: then nothing may happen to it.
    bool is_under_way(const Request & request) const { return prompts_ && request.batch == &prompts_->watch; }
    void drop_unwanted();
    void drop(const RequestPtr & request, la_status status, const std::string & error);
    void admit();
    void occupy(const Placement & placement, SequencePtr sequence);
    PrefixRules prefix_rules(bool use_cache) const;
    std::vector<SlotView> slot_views() const;
    void add_checkpoint(Slot & slot, int32_t n);

    // Of those that `may`, the one that gives way first: the lowest priority and, among equals, the last that got a slot.
    // Null: nobody.
    template <typename F> Slot * weakest(const F & may);
    bool make_room_for(const Sequence & sequence);
    bool has_cells_for(const Sequence & sequence) const;
    void preempt(Slot & slot);

    void guess();
    void guess_by_model();
    double guess_s(const Guesser & guesser) const;
    int32_t n_guessable(const Slot & slot) const;
    void plan();
    bool pays_slices(int32_t n_decoding) const;
    int32_t n_sliced() const;
    void compute_apart();
    void compute_between();
    void compute(std::vector<Item> & items, Lane & lane);
    int32_t decode(std::vector<Item> & items, Lane & lane);
    int32_t decode_sliced(StepTurn & turn, int32_t n_tokens);
    bool leave_out_guesses(std::vector<Item> & items);
    bool free_cells();
    void pass_checkpoint(Slot & slot);
    void restore(const std::vector<Item> & items);
    void score(const Item & item);
    void choose_ahead(const std::vector<Item> & items, const Lane & lane);
    Choice choose(Sequence & sequence, float * row) const noexcept;
    int32_t sample(const Item & item, const Lane & lane);
    llama_token sample_next(Slot & slot, const Lane & lane, int32_t row, int32_t i);
    void settle(const Item & item, int32_t n_right);
    void finish(Slot & slot);
    void release(Slot & slot);

    int32_t n_computed(const Slot & slot) const { return static_cast<int32_t>(memory_.computed(index(slot)).size()); }
    int32_t n_to_prefill(const Slot & slot) const {
        return std::max(0, static_cast<int32_t>(slot.sequence->target().size()) - n_computed(slot));
    }
    int32_t index(const Slot & slot) const { return static_cast<int32_t>(&slot - slots_.data()); }

    const std::shared_ptr<const Model> model_;
    Context context_;
    Requests & requests_;
    Channel & channel_;
    const std::atomic<bool> & closing_;
    const int32_t n_batch_;
    const int32_t max_scored_;
    const bool is_partitioned_;

    SlotMemory memory_;
    std::vector<Slot> slots_;
    AdmissionQueue waiting_;
    uint64_t n_admitted_ = 0;
    StepBudget budget_;
    double copied_s_ = 0; // of this step, by estimate
    bool somebody_decodes_ = false; // in this step
    bool in_slices_ = false;        // its prompts
    int32_t n_prompts_ = 0;         // whose prompts are computed, at its beginning
    const std::unique_ptr<GuessingModel> guessing_model_; // null: none
    GuessPace pace_;
    SharedNgrams shared_ngrams_;
    const int32_t max_guessed_; // of one sequence, which can be taken back
    std::vector<Item> items_;           // of the step
    std::vector<Item> part_;            // scratch: those in one graph
    std::vector<Item> between_;         // scratch: those who decode between two slices of it
    std::vector<Work> works_;           // scratch
    std::vector<Share> shares_;         // scratch
    std::vector<Guessable> guessables_; // scratch
    std::vector<Slot *> guessing_;      // scratch: whose they are
    std::vector<int32_t> decoding_;     // scratch: slots that decode in the step
    std::vector<SlotRows> rows_;        // of those in the last step
    uint64_t n_steps_ = 0;
    ThreadTeam team_;
    std::vector<std::pair<Slot *, float *>> choosing_; // scratch
    Lane steps_;
    // Where prompts are computed beside those who decode, if they take longer than these should wait. Null: in the steps.
    std::unique_ptr<SlicedContext> sliced_;
    std::optional<Lane> prompts_;
    bool behind_slice_ = false; // what was computed last
    double stepped_at_ = 0; // when those who decode had their last token (now_s)
    ComputeGate::Owner turns_;

    DecoderStats & stats_;
};

} // namespace la
