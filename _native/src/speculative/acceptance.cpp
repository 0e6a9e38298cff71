#include "speculative/acceptance.h"

#include <cmath>

namespace la {

double Acceptance::expected(int32_t n) const {
    const double chance = p();
    return chance >= 1 ? n : chance * (1 - std::pow(chance, n)) / (1 - chance);
}

void Acceptance::note_untried(bool right) {
    n_right_ = k_forget * n_right_ + (right ? 1 : 0);
    n_wrong_ = k_forget * n_wrong_ + (right ? 0 : 1);
}

void Acceptance::note_idle() {
    n_right_ += k_fade * (k_prior * prior_ - n_right_);
    n_wrong_ += k_fade * (k_prior * (1 - prior_) - n_wrong_);
}

void Acceptance::note(int32_t n, int32_t n_right, double cost) {
    n_right_ = k_forget * n_right_ + n_right;
    n_wrong_ = k_forget * n_wrong_ + (n_right < n ? 1 : 0);
    earn(n_right - cost);
}

} // namespace la
