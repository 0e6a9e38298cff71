// What decode steps cost, learned from those that were computed. Pure: no clock, no llama.h, no locks.
#pragma once

#include "speculative/step_graphs.h"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace la {

// Prices are of whole graphs, by the sequences in it and the rows beside one of each, since kernels compute rows in blocks:
// the fifth may cost what the second to the fourth did not. Machines are preempted and change their speed, so each price is
// a median, and what all steps have in common (a busy neighbour, a deeper context) is kept apart as one level that is
// quickly followed: only what differs from graph to graph remains.
class StepPrices {
  public:
    // n_sequences: the most in a graph.
    explicit StepPrices(int32_t n_sequences) : crowds_(static_cast<size_t>(n_sequences) + 1) {}

    // A step of these graphs took so many seconds.
    void note(const std::vector<StepGraph> & graphs, double seconds);

    // Whether such a graph was seen.
    bool knows(StepGraph graph) const;
    // Seconds of such a graph now. Between those that were seen: in a line. Beyond: hopefully, so that it is tried when it
    // might be worth it. 0 while none was seen at all.
    double seconds(StepGraph graph) const { return level_ * estimate(graph); }
    double seconds(const std::vector<StepGraph> & graphs) const;
    // As much as they may cost: what was not seen costs what it does in the worst case, a row as much as any.
    double most(const std::vector<StepGraph> & graphs) const;

    // Guesses beside so many sequences were too dear: their prices are believed a little less, until the next is seen.
    void doubt(int32_t n_sequences);

  private:
    static constexpr double k_first_guess = 0.15; // of a plain graph, a row more costs, before any was seen
    static constexpr double k_hope = 0.5;         // of the known price of a row, one beyond what was seen costs
    static constexpr double k_doubt = 0.997;
    static constexpr double k_most_doubt = 0.5;
    static constexpr int k_n_kept = 15;          // steps whose median a price is, at first
    static constexpr int k_settled = 3;     // steps after which a price says something about the machine
    static constexpr double k_worst = 1.25; // of a plain graph's row, one more costs; what is above that was preempted
    static constexpr std::array<int32_t, 29> k_knots = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  10, 12,  14,  16,  20, 24,
                                                         28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256 };

    // Of graphs of a kind, at level 1.
    class Price {
      public:
        void note(double seconds);
        int n() const { return n_; }
        // At first the lower median: of two the faster, since nothing makes a step faster than it is. Then it follows
        // slowly, so that the level, which follows quickly, takes what is common.
        double value() const { return value_; }

      private:
        std::array<float, k_n_kept> kept_ = {};
        int n_ = 0;
        int at_ = 0;
        double value_ = 0;
    };

    struct Crowd {
        std::array<Price, k_knots.size()> prices; // by k_knots
        // The least that so many rows, or more, were seen to cost: more rows never cost less. 0: that many were not seen.
        std::array<double, k_knots.size()> least = {};
        double doubt = 1;
    };

    static size_t knot(int32_t n_guessed);
    const Crowd * crowd(int32_t n_sequences) const { return crowds_[static_cast<size_t>(n_sequences)].get(); }
    const Price * price(StepGraph graph) const;
    double plain(int32_t n_sequences) const;
    double row(int32_t n_sequences) const;
    double estimate(StepGraph graph, bool hopeful = true) const;
    void keep(StepGraph graph, double seconds);
    static void bring_up(Crowd & crowd, int32_t n_sequences);

    std::vector<std::unique_ptr<Crowd>> crowds_; // by sequences; null: none seen
    double level_ = 1;
};

} // namespace la
