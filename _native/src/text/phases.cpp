#include "text/phases.h"

#include "text/space.h"

#include <algorithm>

namespace la {

PhaseFinder::PhaseFinder(std::string think, std::vector<std::string> think_ends, std::vector<std::string> calls)
    : think_(std::move(think)), think_ends_(std::move(think_ends)), calls_(std::move(calls)) {
    for (auto * marks : { &think_ends_, &calls_ }) {
        marks->erase(std::remove(marks->begin(), marks->end(), std::string()), marks->end());
    }
    if (think_.empty() || think_ends_.empty()) {
        think_.clear();
        think_ends_.clear();
    }
    longest_ = think_.size();
    for (const auto * marks : { &think_ends_, &calls_ }) {
        for (const auto & mark : *marks) {
            longest_ = std::max(longest_, mark.size());
        }
    }
}

size_t PhaseFinder::push(std::string_view text) {
    if (longest_ == 0 || phase_ == calling) {
        return text.size();
    }
    for (size_t i = 0; i < text.size(); ++i) {
        if (phase_ == pausing) {
            if (is_space(text[i])) {
                continue;
            }
            phase_ = speaking;
            return i;
        }
        if (tail_.size() == longest_) {
            tail_.erase(0, 1);
        }
        tail_ += text[i];
        if (turn()) {
            tail_.clear();
            return i + 1;
        }
    }
    return text.size();
}

bool PhaseFinder::within_mark() const {
    return phase_ == thinking && std::any_of(think_ends_.begin(), think_ends_.end(), [this](const auto & mark) {
        for (size_t n = std::min(tail_.size(), mark.size() - 1); n > 1; --n) {
            if (tail_.compare(tail_.size() - n, n, mark, 0, n) == 0) {
                return true;
            }
        }
        return false;
    });
}

bool PhaseFinder::ends_in(const std::string & mark) {
    const bool found = tail_.size() >= mark.size() && tail_.compare(tail_.size() - mark.size(), mark.size(), mark) == 0;
    n_mark_ = found ? mark.size() : n_mark_;
    return found;
}

bool PhaseFinder::ends_in_one_of(const std::vector<std::string> & marks) {
    return std::any_of(marks.begin(), marks.end(), [this](const auto & mark) { return ends_in(mark); });
}

bool PhaseFinder::turn() {
    const Phase before = phase_;
    if (phase_ == thinking) {
        phase_ = ends_in_one_of(think_ends_) ? pausing : thinking;
    } else if (!think_.empty() && ends_in(think_)) {
        phase_ = thinking;
    } else if (ends_in_one_of(calls_)) {
        phase_ = calling;
    }
    return phase_ != before;
}

} // namespace la
