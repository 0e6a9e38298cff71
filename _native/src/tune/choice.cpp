#include "tune/choice.h"

#include <algorithm>

namespace la {

double Samples::best() const {
    return *std::min_element(seconds_.begin(), seconds_.end());
}

double Samples::median() const {
    std::vector<double> sorted = seconds_;
    std::sort(sorted.begin(), sorted.end());
    const size_t n = sorted.size();
    return n % 2 == 1 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

double margin_for(size_t n_samples, bool busy) {
    const double margin = n_samples <= 1 ? 0.15 : n_samples == 2 ? 0.08 : 0.05;
    return busy ? std::max(margin, 0.2) : margin;
}

size_t choose(const std::vector<Samples> & candidates, double margin) {
    if (candidates.empty() || candidates[0].empty()) {
        return 0;
    }
    const Samples & standard = candidates[0];
    const double factor = 1 + margin;
    size_t chosen = 0;
    for (size_t i = 1; i < candidates.size(); ++i) {
        const Samples & other = candidates[i];
        if (!other.empty() && other.best() * factor <= standard.best() && other.median() * factor <= standard.median() &&
            (chosen == 0 || other.median() < candidates[chosen].median())) {
            chosen = i;
        }
    }
    return chosen;
}

std::vector<int32_t> thread_candidates(int32_t n) {
    std::vector<int32_t> all = { n };
    for (const int32_t other : { 3 * n / 4, n / 2, n / 4 }) {
        if (other >= 1 && std::find(all.begin(), all.end(), other) == all.end()) {
            all.push_back(other);
        }
    }
    return all;
}

} // namespace la
