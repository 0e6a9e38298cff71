#include "planner/planner.h"

#include <algorithm>
#include <tuple>

namespace la {

void plan_step(const std::vector<Work> & works, int32_t n_batch, int32_t n_prefill, std::vector<Share> & shares) {
    shares.clear();
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
    // Shortest first: what it does not need is then known before the next share is cut. Equals in the order of arrival.
    std::sort(prompts.begin(), prompts.end(), [](const Work & a, const Work & b) {
        return std::tie(a.n_to_prefill, a.arrival) < std::tie(b.n_to_prefill, b.arrival);
    });
    int32_t n_prompts = static_cast<int32_t>(prompts.size());
    const int32_t n_served = std::min(std::max(n_left / k_min_part, 2), n_prompts);
    if (n_served < n_prompts) {
        const auto oldest = std::min_element(prompts.begin(), prompts.end(),
                                             [](const Work & a, const Work & b) { return a.arrival < b.arrival; });
        if (oldest - prompts.begin() >= n_served) {
            std::iter_swap(oldest, prompts.begin() + n_served - 1);
        }
        prompts.resize(static_cast<size_t>(n_served));
        n_prompts = n_served;
    }
    int32_t part = 0;
    bool cut = false; // whether somebody wants more than his part: so do all behind him, and get as much
    for (const auto & prompt : prompts) {
        // With less budget than prompts, those with the least left to do go first. What does not divide is left over: of
        // shares that differ by a token upstream would make two graphs.
        part = cut ? part : std::max(1, n_left / n_prompts);
        const int32_t n = std::min({ prompt.n_to_prefill, part, n_left });
        cut = cut || n < prompt.n_to_prefill;
        if (n > 0) {
            shares.push_back({ prompt.slot, n });
        }
        n_left -= n;
        --n_prompts;
    }
}

static void smooth(double & mean, double value) {
    mean = mean == 0 ? value : 0.8 * mean + 0.2 * value;
}

// Others on the cores make a step longer, nothing makes it shorter.
static void smooth_low(double & mean, double value) {
    const double weight = value < mean ? 0.3 : 0.1;
    mean = mean == 0 ? value : (1 - weight) * mean + weight * std::min(value, 1.25 * mean);
}

void StepBudget::note_step(int32_t n_decoded, int32_t n_prefilled, double seconds, bool somebody_decodes) {
    if (n_prefilled == 0) {
        if (n_decoded > 0) {
            const auto n = static_cast<size_t>(n_decoded);
            decode_step_s_.resize(std::max(decode_step_s_.size(), n + 1));
            smooth_low(decode_step_s_[n], seconds);
        }
        return;
    }
    const double prefill_s = seconds - decode_step_s(n_decoded);
    // A few tokens cost as much as one: they say nothing about the price of many.
    if (n_prefilled >= k_min_tokens / 2 && prefill_s > 0) {
        smooth(somebody_decodes ? beside_token_s_ : alone_token_s_, prefill_s / n_prefilled);
        if (somebody_decodes && alone_token_s_ > 0) {
            smooth(beside_graph_s_, prefill_s - n_prefilled * alone_token_s_);
        }
    }
}

// Between the next smaller and the next larger crowd that were seen. Of a crowd larger than all of them, each one more costs
// a prompt's token more: no less, since its row is computed like one, and has logits.
double StepBudget::decode_step_s(int32_t n_decoding) const {
    if (n_decoding <= 0) {
        return 0;
    }
    int32_t below = std::min(n_decoding, static_cast<int32_t>(decode_step_s_.size()) - 1);
    while (below > 0 && decode_step_s_[static_cast<size_t>(below)] == 0) {
        --below;
    }
    int32_t above = n_decoding;
    while (above < static_cast<int32_t>(decode_step_s_.size()) && decode_step_s_[static_cast<size_t>(above)] == 0) {
        ++above;
    }
    const double above_s = above < static_cast<int32_t>(decode_step_s_.size()) ? decode_step_s_[static_cast<size_t>(above)] : 0;
    if (below <= 0) {
        return above_s;
    }
    const double below_s = decode_step_s_[static_cast<size_t>(below)];
    if (above == below) {
        return below_s;
    }
    if (above_s == 0) {
        return below_s + alone_token_s_ * (n_decoding - below);
    }
    return below_s + (above_s - below_s) * (n_decoding - below) / (above - below);
}

double StepBudget::spare_s(int32_t n_decoding, int32_t n_prompts) const {
    const double step_s = decode_step_s(n_decoding);
    return step_s == 0 ? 0 : spare_of(step_s, decode_step_s(n_decoding + std::max(n_prompts - 1, 0)));
}

double StepBudget::gap_s(int32_t n_decoding, int32_t n_prompts) const {
    return k_gap * decode_step_s(n_decoding + std::max(n_prompts - 1, 0));
}

double StepBudget::slice_s(int32_t n_decoding, int32_t n_prompts) const {
    return gap_s(n_decoding, n_prompts) - std::max(behind_slice_, 1.0) * decode_step_s(n_decoding);
}

void StepBudget::note_step_behind_slice(int32_t n_decoded, double seconds) {
    const auto n = static_cast<size_t>(n_decoded);
    const bool is_known = n < decode_step_s_.size() && decode_step_s_[n] > 0;
    if (!is_known || seconds > k_cold * decode_step_s_[n]) {
        note_step(n_decoded, 0, seconds / k_cold, true);
    }
    smooth(behind_slice_, std::clamp(seconds / decode_step_s_[n], 1.0, k_cold));
}

int32_t StepBudget::n_prefill(int32_t n_decoding, int32_t n_prompts, double spent_s) const {
    if (n_decoding == 0) {
        return n_max_;
    }
    const double token_s = alone_token_s_ > 0 ? alone_token_s_ : beside_token_s_;
    if (decode_step_s(n_decoding) == 0 || token_s == 0) {
        return std::min(n_max_, k_first_guess);
    }
    const double n = (spare_s(n_decoding, n_prompts) - spent_s - beside_graph_s_) / token_s;
    return static_cast<int32_t>(std::clamp(n, double(std::min(k_min_tokens, n_max_)), double(n_max_)));
}

} // namespace la
