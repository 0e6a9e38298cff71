// A smaller model of the same vocabulary that guesses what the large one will say.
#pragma once

#include "engine/compute_gate.h"
#include "engine/context.h"
#include "model/model.h"
#include "speculative/guessing_model.h"

#include <atomic>
#include <memory>
#include <vector>

namespace la {

// Not thread-safe: the decode thread's. It follows the slots by itself: what a slot says is compared with what was computed
// for it, so that neither cached prefixes nor preemption nor wrong guesses need to be told to it.
class DraftModel final : public GuessingModel {
  public:
    // Loads it for an engine of this model and configuration, on the same compute threads. `closing` makes it stop early; it
    // outlives the draft model. Throws Error: LA_ERR_LOAD, LA_ERR_MEMORY, LA_ERR_CLOSED.
    static std::unique_ptr<DraftModel> load(const Model & target, const EngineConfig & config, int32_t n_ctx, Threads threads,
                                            const std::atomic<bool> & closing);
    ~DraftModel() override;

    void guess(std::vector<Wish> & wishes) override;

    // How an engine of `config` would configure it.
    static EngineConfig config_of(const EngineConfig & config);

  private:
    DraftModel(std::shared_ptr<const Model> model, Context context, int32_t n_slots, int32_t n_batch, int32_t n_tokens,
               const std::atomic<bool> & closing);

    struct Draft {
        Wish * wish;
        Tokens pending;   // to compute before the next token can be guessed
        size_t n_done = 0; // of pending
        int32_t row = -1; // of the batch: the last of pending
        bool over = false;
    };

    void catch_up(Draft & draft);
    bool decode(std::vector<Draft> & drafts);
    void choose(Draft & draft);

    const std::shared_ptr<const Model> model_;
    Context context_;
    const int32_t n_batch_;
    const int32_t n_tokens_; // that both vocabularies have
    const std::atomic<bool> & closing_;
    std::vector<Tokens> computed_; // by slot
    llama_batch batch_;
    ComputeGate::Owner turns_;
    std::atomic<bool> aborted_{ false };
};

} // namespace la
