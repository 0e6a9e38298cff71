#include "sampling/shortlist.h"

#include "sampling/rows.h"

#include <algorithm>

namespace la {

// Beyond so many, finding the list is no cheaper than what it spares.
static constexpr int32_t k_max_listed = 512;

// How many a chain keeps before anything looks at all candidates; 0: it is not of that kind.
static int32_t n_kept(const common_params_sampling & params) {
    if (params.mirostat != 0) {
        return 0;
    }
    for (const auto type : params.samplers) {
        switch (type) {
            case COMMON_SAMPLER_TYPE_PENALTIES:
            case COMMON_SAMPLER_TYPE_DRY:
                continue;
            case COMMON_SAMPLER_TYPE_TOP_K:
                if (params.top_k <= 0) {
                    continue;
                }
                return params.top_k;
            case COMMON_SAMPLER_TYPE_TEMPERATURE:
                return params.temp <= 0 && params.dynatemp_range <= 0 ? 1 : 0; // the best alone stays finite
            case COMMON_SAMPLER_TYPE_TOP_N_SIGMA:
                if (params.top_n_sigma <= 0) {
                    continue;
                }
                return 0;
            case COMMON_SAMPLER_TYPE_TYPICAL_P:
                if (params.typ_p >= 1) {
                    continue;
                }
                return 0;
            case COMMON_SAMPLER_TYPE_TOP_P:
                if (params.top_p >= 1) {
                    continue;
                }
                return 0;
            case COMMON_SAMPLER_TYPE_MIN_P:
                if (params.min_p <= 0) {
                    continue;
                }
                return 0;
            case COMMON_SAMPLER_TYPE_XTC:
                if (params.xtc_probability <= 0) {
                    continue;
                }
                return 0;
            default:
                return 0;
        }
    }
    return 0;
}

Shortlist::Shortlist(const common_params_sampling & params, int32_t n_look_back, int32_t n_vocab)
    : n_vocab_(n_vocab), n_look_back_(static_cast<size_t>(std::max(0, n_look_back))) {
    const auto n_moved = static_cast<int64_t>(n_look_back_) + static_cast<int64_t>(params.logit_bias.size());
    const int32_t n = n_kept(params);
    if (n + 2 * n_moved > std::min(k_max_listed, n_vocab / 4)) {
        return;
    }
    n_best_ = n;
    for (const auto & bias : params.logit_bias) {
        biased_.push_back(bias.token);
    }
    said_.reserve(n_look_back_);
}

void Shortlist::accept(llama_token token) {
    if (said_.size() < n_look_back_) {
        said_.push_back(token);
    } else if (n_look_back_ > 0) {
        said_[n_said_ % n_look_back_] = token;
    }
    ++n_said_;
}

void Shortlist::fill(const float * row, const Admitted * admitted, std::vector<llama_token_data> & candidates) {
    moved_.assign(biased_.begin(), biased_.end());
    moved_.insert(moved_.end(), said_.begin(), said_.end());
    std::sort(moved_.begin(), moved_.end());
    moved_.erase(std::unique(moved_.begin(), moved_.end()), moved_.end());
    const auto n_listed = n_best_ + static_cast<int32_t>(moved_.size());
    candidates.clear();
    if (admitted && admitted->size() <= static_cast<size_t>(4 * n_listed)) {
        admitted->each([&](llama_token token) { candidates.push_back({ token, row[token], 0 }); });
        return;
    }
    find_largest(row, n_vocab_, n_listed, [&](int32_t token) { return !admitted || admitted->has(token); }, best_);
    for (const int32_t token : best_) {
        if (!std::binary_search(moved_.begin(), moved_.end(), token)) {
            candidates.push_back({ token, row[token], 0 });
        }
    }
    for (const llama_token token : moved_) {
        if (token >= 0 && token < n_vocab_ && (!admitted || admitted->has(token))) {
            candidates.push_back({ token, row[token], 0 });
        }
    }
}

} // namespace la
