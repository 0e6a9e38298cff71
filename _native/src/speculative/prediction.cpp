#include "speculative/prediction.h"

#include <algorithm>

namespace la {

void Prediction::note(int32_t token) {
    recent_.push_back(token);
    if (recent_.size() > k_agree) {
        recent_.erase(recent_.begin());
    }
    if (follows_ && at_ < tokens_.size() && tokens_[at_] == token) {
        ++at_;
        ++n_said_;
        return;
    }
    follows_ = false;
    // An edit leaves most of the text behind it as it was: so nearby first, then further on, then before.
    const size_t end = tokens_.size() + 1;
    const bool found = find(at_ + 1, std::min(end, at_ + k_near), k_agree_near) || find(at_ + 1, end, k_agree) ||
                       find(1, std::min(end, at_ + 1), k_agree);
    follows_ = found;
}

// Whether the n tokens before `place` are the last that were generated.
bool Prediction::ends_at(size_t place, size_t n) const {
    return place >= n && std::equal(recent_.end() - static_cast<std::ptrdiff_t>(n), recent_.end(),
                                    tokens_.begin() + static_cast<std::ptrdiff_t>(place - n));
}

bool Prediction::find(size_t from, size_t to, size_t n) {
    if (recent_.size() < n) {
        return false;
    }
    for (size_t place = from; place < to; ++place) {
        if (ends_at(place, n)) {
            at_ = place;
            n_said_ += n;
            return true;
        }
    }
    return false;
}

void Prediction::guess(int32_t n, std::vector<int32_t> & out) const {
    if (!follows_ || n <= 0) {
        return;
    }
    const size_t n_left = std::min(tokens_.size() - at_, static_cast<size_t>(n));
    const auto first = tokens_.begin() + static_cast<std::ptrdiff_t>(at_);
    out.insert(out.end(), first, first + static_cast<std::ptrdiff_t>(n_left));
}

// Text that the answer says twice is said once.
int32_t Prediction::n_said() const {
    return static_cast<int32_t>(std::min(n_said_, tokens_.size()));
}

} // namespace la
