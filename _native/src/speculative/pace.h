// What guessed tokens cost in a decode step, and so how many are worth computing. Pure: no clock, no llama.h, no locks.
#pragma once

#include "speculative/acceptance.h"
#include "speculative/step_graphs.h"
#include "speculative/step_prices.h"

#include <cstdint>
#include <vector>

namespace la {

// What one decoding sequence could have guessed in the next step.
struct Guessable {
    const Acceptance * acceptance = nullptr;
    int32_t slot = 0;
    int32_t n_available = 0;
    int32_t n_min = 0;           // fewer are not worth a try
    double token_s = 0;          // to guess one; 0: it is there already
    bool adaptive = true;        // false: all of it, whatever it costs
    int32_t n = 0;               // out: how many to guess
};

class GuessPace {
  public:
    // n_streams: sequences that may decode at once. partitioned: as step_graphs has it.
    GuessPace(int32_t n_streams, bool partitioned)
        : partitioned_(partitioned), prices_(n_streams), guessing_(static_cast<size_t>(n_streams) + 1) {}

    // A step of these rows took so many seconds. Steps that prefill too say nothing.
    void note_step(const std::vector<SlotRows> & rows, double seconds);

    // Sets `n` of each. slots: of those that decode in the step, guessing or not, ascending; the guessables are in their
    // order. n_most: rows left in the step.
    void allot(std::vector<Guessable> & guessables, const std::vector<int32_t> & slots, int32_t n_most);

    // What each guessed token of such a step costs, in tokens that all streams together could have had meanwhile; 0 while
    // unknown. guess_s: what it cost to guess it.
    double token_cost(const std::vector<SlotRows> & rows, double guess_s) const;

  private:
    static constexpr double k_margin = 1.08; // what must be won at least, to be worth the risk
    // Steps with guesses between two without: at first few, since what was measured then may have been a bad moment.
    static constexpr int32_t k_first_between_plain = 4;
    static constexpr int32_t k_most_between_plain = 64;

    // Steps of so many streams.
    struct Guessing {
        int32_t n_since_plain = 0;
        int32_t n_between_plain = k_first_between_plain;
    };

    // What a step is expected to be.
    struct Outlook {
        double seconds = 0;
        double most_seconds = 0;
        double n_won = 0;
        int32_t n_guessed = 0;
    };

    double seconds(const std::vector<SlotRows> & rows) const;
    Outlook outlook(const std::vector<Guessable> & guessables, const std::vector<int32_t> & n) const;
    void leave_the_poor(const std::vector<Guessable> & guessables, double plain_s, std::vector<int32_t> & n) const;

    const bool partitioned_;
    StepPrices prices_;
    std::vector<Guessing> guessing_;        // by streams
    mutable std::vector<StepGraph> graphs_; // scratch, as are those below
    mutable std::vector<SlotRows> rows_;
    std::vector<int32_t> slots_;
    std::vector<size_t> by_chance_;
    std::vector<int32_t> tried_;
    std::vector<int32_t> chosen_;
};

} // namespace la
