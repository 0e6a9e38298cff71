#include "planner/planner.h"

#include <algorithm>
#include <cmath>

namespace la {

std::vector<Share> plan_step(const std::vector<Work> & works, int32_t n_batch, int32_t n_prefill) {
    std::vector<Share> shares;
    shares.reserve(works.size());
    std::vector<Work> prompts;
    int32_t n_room = n_batch; // beside one token of each that decodes
    for (const auto & work : works) {
        n_room -= work.n_to_prefill == 0;
    }
    int32_t n_guessed = 0;
    for (const auto & work : works) {
        if (work.n_to_prefill > 0) {
            prompts.push_back(work);
            continue;
        }
        const int32_t n = std::min(work.n_guessed, n_room - n_guessed);
        shares.push_back({ work.slot, 1 + n });
        n_guessed += n;
    }
    int32_t n_left = std::min(std::max(n_prefill - n_guessed, n_prefill / 4), n_room - n_guessed);
    // Shortest first: what it does not need is then known before the next share is cut. Stable, so equals keep their
    // order of arrival.
    std::stable_sort(prompts.begin(), prompts.end(),
                     [](const Work & a, const Work & b) { return a.n_to_prefill < b.n_to_prefill; });
    int32_t n_prompts = static_cast<int32_t>(prompts.size());
    for (const auto & prompt : prompts) {
        // Rounded up: with less budget than prompts, those with the least left to do go first.
        const int32_t part = (n_left + n_prompts - 1) / n_prompts;
        const int32_t n = std::min(prompt.n_to_prefill, part);
        if (n > 0) {
            shares.push_back({ prompt.slot, n });
        }
        n_left -= n;
        --n_prompts;
    }
    return shares;
}

static void smooth(double & mean, double value) {
    mean = mean == 0 ? value : 0.8 * mean + 0.2 * value;
}

void StepBudget::note_step(int32_t n_decoded, int32_t n_prefilled, double seconds) {
    if (n_prefilled == 0) {
        if (n_decoded > 0) {
            smooth(decode_step_s_, seconds);
        }
        return;
    }
    const double prefill_s = seconds - (n_decoded > 0 ? decode_step_s_ : 0);
    // A few tokens cost as much as one: they say nothing about the price of many.
    if (n_prefilled >= k_min_tokens / 2 && prefill_s > 0) {
        smooth(prefill_token_s_, prefill_s / n_prefilled);
    }
}

int32_t StepBudget::n_prefill(int32_t n_decoding) const {
    if (n_decoding == 0) {
        return n_max_;
    }
    if (decode_step_s_ == 0 || prefill_token_s_ == 0) {
        return std::min(n_max_, k_first_guess);
    }
    const double n = (k_slowdown - 1) * decode_step_s_ / prefill_token_s_;
    return static_cast<int32_t>(std::clamp(n, double(std::min(k_min_tokens, n_max_)), double(n_max_)));
}

} // namespace la
