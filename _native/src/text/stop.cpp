#include "text/stop.h"

#include <algorithm>

namespace la {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
    for (const auto & stop : stops_) {
        longest_ = std::max(longest_, stop.size());
    }
}

bool StopMatcher::push(std::string_view text, std::string & out) {
    if (stops_.empty()) {
        out.append(text);
        return false;
    }
    held_.append(text);
    size_t first = std::string::npos;
    for (const auto & stop : stops_) {
        first = std::min(first, held_.find(stop));
    }
    if (first != std::string::npos) {
        out.append(held_, 0, first);
        held_.clear();
        return true;
    }
    const size_t n_certain = held_.size() - longest_partial();
    out.append(held_, 0, n_certain);
    held_.erase(0, n_certain);
    return false;
}

size_t StopMatcher::longest_partial() const {
    for (size_t n = std::min(held_.size(), longest_ - 1); n > 0; --n) {
        const char * tail = held_.data() + held_.size() - n;
        for (const auto & stop : stops_) {
            if (n < stop.size() && stop.compare(0, n, tail, n) == 0) {
                return n;
            }
        }
    }
    return 0;
}

void StopMatcher::flush(std::string & out) {
    out.append(held_);
    held_.clear();
}

} // namespace la
