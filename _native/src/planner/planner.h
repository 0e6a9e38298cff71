// Which sequence computes how many tokens in the next decode step. Pure: no clock, no llama.h, no locks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace la {

// What the planner knows of a sequence that owns a slot.
struct Work {
    int32_t slot = 0;
    int32_t n_to_prefill = 0; // prompt tokens not computed yet; 0: it decodes one token a step
    int32_t n_guessed = 0;    // of one that decodes: tokens computed beside it, in case they are right
    uint64_t arrival = 0;     // smaller: earlier
};

struct Share {
    int32_t slot = 0;
    int32_t n_tokens = 0;
};

constexpr int32_t k_min_part = 16;

// Every decoding sequence gets its token, and those guessed for it while the batch has room; what is left of `n_batch`, up
// to `n_prefill` less what was guessed, but a fourth of it always, is shared among the prompts:
// equal parts, and what a short prompt leaves goes to the longer ones (max-min fairness). So a short prompt that
// arrives behind a long one does not wait for it. Parts of less than k_min_part tokens cost more than they are worth: where
// they would be that small some prompts wait, but not the oldest, and not the one that ends first.
// REQUIRES: n_batch >= works.size(). Shares of decoding sequences come first, in the order of `works`.
void plan_step(const std::vector<Work> & works, int32_t n_batch, int32_t n_prefill, std::vector<Share> & shares);

// Learns what a step costs and derives how many prompt tokens a step may take while others are decoding.
class StepBudget {
  public:
    // Past this factor of a plain decode step, those who decode would feel somebody else's prompt. Of several prompts that
    // wait, all but one count as if they decoded already: soon they will, and then a step takes that long anyway.
    static constexpr double k_slowdown = 2.2;
    // The same where a prompt need not be cut in small parts.
    static constexpr double k_gap = 2.35;
    // Nor do they feel it in steps that are still faster than anybody reads, and a prompt in small parts takes far longer.
    static constexpr double k_unnoticed_s = 0.040;
    static constexpr int32_t k_first_guess = 64;
    static constexpr int32_t k_min_tokens = 8;

    // n_max: the most useful prefill of one step, in tokens (one compute graph).
    explicit StepBudget(int32_t n_max) : n_max_(n_max) {}

    // Somebody decodes: in this step, or in another graph right before it.
    void note_step(int32_t n_decoded, int32_t n_prefilled, double seconds, bool somebody_decodes);
    // How many tokens of so many prompts the next step may take. spent_s: what those who decode have waited for already.
    int32_t n_prefill(int32_t n_decoding, int32_t n_prompts, double spent_s = 0) const;

    // How much longer than a plain step of those who decode one may take that has part of a prompt.
    static double spare_of(double decode_step_s, double crowd_step_s) {
        return std::max(k_slowdown * crowd_step_s, k_unnoticed_s) - decode_step_s;
    }

    // How long those who decode may wait from token to token while prompts are computed in slices, of any length; 0 while
    // unknown.
    double gap_s(int32_t n_decoding, int32_t n_prompts) const;
    // How long a slice may take, so that the step behind it ends in time.
    double slice_s(int32_t n_decoding, int32_t n_prompts) const;
    // A step of those who decode that finds nothing of its own in the caches. Without prompts it would take less, but not less
    // than by k_cold: so far such steps tell what an undisturbed one takes, where prompts never cease.
    void note_step_behind_slice(int32_t n_decoded, double seconds);
    static constexpr double k_cold = 1.5;

    // Estimated seconds of a step in which so many decode, and nothing else; 0 while unknown.
    double decode_step_s(int32_t n_decoding) const;
    // How much longer than such a step one may take that has so many prompts beside it; 0 while unknown.
    double spare_s(int32_t n_decoding, int32_t n_prompts) const;

    // Estimated seconds to compute one prompt token; 0 while unknown.
    double prefill_token_s() const { return alone_token_s_ > 0 ? alone_token_s_ : beside_token_s_; }

  private:
    int32_t n_max_;
    std::vector<double> decode_step_s_; // by the number of those who decode; 0: unknown
    // Of a prompt token in a step of its own, and of one beside those who decode.
    double alone_token_s_ = 0;
    double beside_token_s_ = 0;
    double behind_slice_ = 0; // how many times as long a step behind a slice takes; 0: unknown
    // What a part beside those who decode costs more than its tokens do alone: a graph, however few tokens are in it. Taken
    // for the tokens' price it would make the next part smaller, and its tokens dearer still.
    double beside_graph_s_ = 0;
};

} // namespace la
