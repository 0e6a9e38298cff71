#include "prefix/store.h"

#include <algorithm>
#include <utility>

namespace la {

// Each is compared with each prompt that asks for a slot.
static constexpr size_t k_max_entries = 256;

bool PrefixStore::serves(const Tokens & kept, const Tokens & wanted) const {
    return common_prefix(kept, wanted) == wanted.size() && (can_cut_ || kept.size() == wanted.size());
}

bool PrefixStore::covers(const Tokens & tokens) const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [&](const Entry & entry) { return serves(entry.state->tokens, tokens); });
}

void PrefixStore::remove(size_t index) {
    bytes_ -= entries_[index].state->size;
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(index));
}

void PrefixStore::clear() {
    entries_.clear();
    bytes_ = 0;
}

void PrefixStore::put(KeptStatePtr state) {
    for (size_t i = entries_.size(); i-- > 0;) {
        if (serves(state->tokens, entries_[i].state->tokens)) {
            remove(i);
        }
    }
    while (!entries_.empty() && (bytes_ + state->size > budget_ || entries_.size() >= k_max_entries)) {
        const auto oldest = std::min_element(entries_.begin(), entries_.end(), [](const Entry & a, const Entry & b) {
            return a.last_used < b.last_used;
        });
        remove(static_cast<size_t>(oldest - entries_.begin()));
    }
    bytes_ += state->size;
    entries_.push_back({ std::move(state), ++n_uses_ });
}

std::vector<StoredView> PrefixStore::views() const {
    std::vector<StoredView> views;
    views.reserve(entries_.size());
    for (const auto & entry : entries_) {
        const Tokens & tokens = entry.state->tokens;
        views.push_back({ &tokens, can_cut_ ? 0 : static_cast<int32_t>(tokens.size()) });
    }
    return views;
}

KeptStatePtr PrefixStore::use(int32_t index) {
    auto & entry = entries_[static_cast<size_t>(index)];
    entry.last_used = ++n_uses_;
    return entry.state;
}

} // namespace la
