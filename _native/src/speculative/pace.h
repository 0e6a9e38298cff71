// What guessed tokens cost in a decode step, and so how many are worth computing. Pure: no clock, no llama.h, no locks.
#pragma once

#include "speculative/acceptance.h"

#include <array>
#include <cstdint>
#include <vector>

namespace la {

// What one decoding sequence could have guessed in the next step.
struct Guessable {
    const Acceptance * acceptance = nullptr;
    int32_t n_available = 0;
    int32_t n_min = 0;           // fewer are not worth a try
    double token_s = 0;          // to guess one; 0: it is there already
    bool adaptive = true;        // false: all of it, whatever it costs
    int32_t n = 0;               // out: how many to guess
};

class GuessPace {
  public:
    // n_streams: sequences that may decode at once.
    explicit GuessPace(int32_t n_streams);

    // A step decoded one token of each of n_streams sequences and n_guessed tokens more in so many seconds. Steps that
    // prefill too say nothing.
    void note_step(int32_t n_streams, int32_t n_guessed, double seconds);

    // Sets `n` of each. n_streams: sequences that decode in the step, guessing or not. n_most: rows left in the step.
    void allot(std::vector<Guessable> & guessables, int32_t n_streams, int32_t n_most);

    // What each of n_guessed tokens in a step costs, in tokens that all streams together could have had meanwhile; 0 while
    // unknown. guess_s: what it cost to guess it.
    double token_cost(int32_t n_streams, int32_t n_guessed, double guess_s) const;

  private:
    static constexpr int k_n_sizes = 9;   // 1, 2, 4, .. 256 tokens more
    static constexpr int k_n_crowds = 9;  // 1, 2, 4, .. 256 streams
    static constexpr double k_first_guess = 0.15; // of a plain step, a token more costs, before any was measured
    static constexpr double k_margin = 1.05;      // what must be won at least, to be worth the risk
    static constexpr double k_relief = 0.995;     // for a price, with each step it was too high
    static constexpr int32_t k_steps_between_plain = 32;

    struct Price {
        double token_s = 0; // 0: unknown
    };

    double token_s(int32_t n_streams, int32_t n_guessed) const;

    std::vector<double> plain_s_; // of a step of so many streams; 0: unknown
    std::vector<int32_t> n_since_plain_;
    std::array<std::array<Price, k_n_sizes>, k_n_crowds> prices_ = {};
};

} // namespace la
