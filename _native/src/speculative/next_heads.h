// Heads of the model itself that guess its next tokens (multi-token prediction), by upstream's "draft-mtp".
#pragma once

#include "engine/compute_gate.h"
#include "engine/context.h"
#include "model/model.h"
#include "speculative/guessing_model.h"

#include "speculative.h" // common's

#include <atomic>
#include <memory>
#include <vector>

namespace la {

// Not thread-safe: the decode thread's. The heads read what the model's last layer says of every token, so they follow each
// step; of a prefix that was copied rather than computed they know nothing, and guess the worse for it.
class NextHeads final : public GuessingModel {
  public:
    // Upstream's: a head that continues its own guesses soon goes astray.
    static constexpr int32_t k_default_max = 3;

    // `target` computes the model and outlives the heads. Throws Error: LA_ERR_LOAD where the model has none, LA_ERR_MEMORY.
    NextHeads(std::shared_ptr<const Model> model, const EngineConfig & config, const Context & target, Threads threads,
              const std::atomic<bool> & closing);

    void guess(std::vector<Wish> & wishes) override;
    void follow(const llama_batch & batch) override;
    void note(int32_t slot, int32_t n_right) override;

  private:
    bool align(int32_t slot, llama_pos n);

    const std::shared_ptr<const Model> model_;
    Context context_;
    common_params_speculative params_;
    common_speculative_ptr heads_;
    common_batch rows_; // of the model's own step
    std::vector<bool> has_guessed_; // by slot: upstream counts nothing before
    const std::atomic<bool> & closing_;
    ComputeGate::Owner turns_;
    std::atomic<bool> aborted_{ false };
};

} // namespace la
