#include "speculative/acceptance.h"

#include <algorithm>
#include <cmath>

namespace la {

Acceptance::Acceptance(double p_first, double p_long, double allowance)
    : p_first_(p_first), p_long_(p_long), account_(allowance) {
    for (int i = 0; i < k_n_classes; ++i) {
        seen_[static_cast<size_t>(i)] = prior(i);
    }
}

int Acceptance::class_of(int32_t n_row) {
    int found = 0;
    while (n_row > 0 && found < k_n_classes - 1) {
        n_row /= 2;
        ++found;
    }
    return found;
}

Acceptance::Seen Acceptance::prior(int row_class) const {
    const double p = p_long_ - (p_long_ - p_first_) * std::pow(0.5, row_class);
    return { k_prior * p, k_prior * (1 - p) };
}

double Acceptance::expected(int32_t n) const {
    double chance = 1;
    double sum = 0;
    for (int32_t i = 0; i < n; ++i) {
        chance *= seen_[static_cast<size_t>(class_of(n_row_ + i))].p();
        sum += chance;
    }
    return sum;
}

void Acceptance::see(bool right) {
    const int row_class = class_of(n_row_);
    const double kept = row_class < k_long ? k_forget : k_forget_long;
    Seen & seen = seen_[static_cast<size_t>(row_class)];
    seen.n_right = kept * seen.n_right + (right ? 1 : 0);
    seen.n_wrong = kept * seen.n_wrong + (right ? 0 : 1);
    n_row_ = right ? std::min(n_row_ + 1, 1 << k_n_classes) : 0;
}

void Acceptance::note_idle() {
    n_row_ = 0;
    for (int i = 0; i < k_n_classes; ++i) {
        Seen & seen = seen_[static_cast<size_t>(i)];
        const Seen first = prior(i);
        seen.n_right += k_fade * (first.n_right - seen.n_right);
        seen.n_wrong += k_fade * (first.n_wrong - seen.n_wrong);
    }
}

void Acceptance::note(int32_t n, int32_t n_right, double cost) {
    for (int32_t i = 0; i < n_right; ++i) {
        see(true);
    }
    if (n_right < n) {
        see(false);
    }
    earn(n_right - cost);
}

} // namespace la
