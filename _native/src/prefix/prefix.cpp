#include "prefix/prefix.h"

#include <algorithm>

namespace la {

size_t common_prefix(const Tokens & a, const Tokens & b) {
    const size_t n = std::min(a.size(), b.size());
    return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin()).first -
                               a.begin());
}

static int32_t reusable(const Tokens & prompt, const Tokens & computed, const PrefixRules & rules) {
    const size_t n = std::min(common_prefix(prompt, computed), prompt.size() - 1);
    if (!rules.can_reuse || (!rules.can_truncate && n != computed.size())) {
        return 0;
    }
    return static_cast<int32_t>(n);
}

Placement place(const Tokens & prompt, const std::vector<SlotView> & slots, const PrefixRules & rules) {
    int32_t own = -1;    // the free slot that holds most of the prompt
    int32_t spare = -1;  // the free slot that is missed least: empty, else the longest unused
    int32_t other = -1;  // the slot, free or not, that holds most of it
    int32_t n_own = 0;
    int32_t n_other = 0;
    int32_t n_coming = 0; // of the prompt, will be held by a slot that is prefilling now
    for (size_t i = 0; i < slots.size(); ++i) {
        const auto & slot = slots[i];
        const int32_t index = static_cast<int32_t>(i);
        const int32_t n = reusable(prompt, *slot.computed, rules);
        if (slot.idle) {
            if (n > n_own) {
                own = index;
                n_own = n;
            }
            const auto worth = [&](int32_t s) {
                return slots[s].computed->empty() ? 0 : slots[s].last_used + 1;
            };
            if (spare < 0 || worth(index) < worth(spare)) {
                spare = index;
            }
        }
        if (n > n_other) {
            other = index;
            n_other = n;
        }
        if (slot.prompt) {
            n_coming = std::max(n_coming, reusable(prompt, *slot.prompt, rules));
        }
    }
    Placement best;
    if (spare < 0) {
        return best;
    }
    const int32_t n_now = rules.can_copy ? std::max(n_own, n_other - rules.copy_tokens) : n_own;
    if (rules.can_wait && rules.can_copy && n_coming - rules.copy_tokens > std::max(n_now, 0)) {
        best.wait = true;
        return best;
    }
    if (rules.can_copy && n_other - rules.copy_tokens > n_own) {
        // `other` is busy, or it would be `own`.
        return { spare, other, n_other, false };
    }
    if (own < 0) {
        return { spare, -1, 0, false };
    }
    // Continuing in `own` overwrites the rest of what it holds: somebody's conversation, perhaps, that only begins
    // with the same system prompt. Then it is left alone while another slot can be had.
    const auto n_lost = static_cast<int32_t>(slots[own].computed->size()) - n_own;
    if (own != spare && n_lost > n_own) {
        return rules.can_copy && n_own > rules.copy_tokens ? Placement{ spare, own, n_own, false }
                                                           : Placement{ spare, -1, 0, false };
    }
    return { own, -1, n_own, false };
}

} // namespace la
