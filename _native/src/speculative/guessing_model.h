// A model that guesses what the engine's own will say: a smaller one, or heads of the engine's own.
#pragma once

#include "llama.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace la {

// Not thread-safe: the decode thread's.
class GuessingModel {
  public:
    using Tokens = std::vector<llama_token>;

    // What one slot wants guessed: up to n tokens after `said` and `last`, appended to `out`.
    struct Wish {
        int32_t slot;
        const Tokens * said;
        llama_token last;
        int32_t n;
        float p_min; // ends at a token less likely
        Tokens * out;
    };

    virtual ~GuessingModel() = default;

    // In turn with whoever else computes in this process. What fails is guessed shorter, or not at all.
    virtual void guess(std::vector<Wish> & wishes) = 0;

    // The engine's model has just computed this batch.
    virtual void follow(const llama_batch & /*batch*/) {}
    // Of the slot's rows of that batch the first and so many guessed ones stand.
    virtual void note(int32_t /*slot*/, int32_t /*n_right*/) {}

    // Seconds that a guessed token took lately; 0 while unknown.
    double token_s() const { return token_s_; }

  protected:
    // The lower median of the last ones: a step that was preempted is nobody's price.
    void note_time(double seconds, int32_t n_tokens) {
        times_[n_noted_++ % times_.size()] = seconds / n_tokens;
        const size_t n = std::min(n_noted_, times_.size());
        auto sorted = times_;
        const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((n - 1) / 2);
        std::nth_element(sorted.begin(), middle, sorted.begin() + static_cast<std::ptrdiff_t>(n));
        token_s_ = *middle;
    }

  private:
    std::array<double, 7> times_ = {};
    size_t n_noted_ = 0;
    double token_s_ = 0;
};

} // namespace la
