#include "prefix/prefix.h"

#include <algorithm>
#include <utility>

namespace la {

namespace {

// A checkpoint cuts a prefill in two: not for less than this.
constexpr int32_t k_min_checkpoint = 64;

// Waiting costs a step or more, in which the rest of the prompt could have been begun: not for a few tokens.
constexpr int32_t k_worth_waiting = 32;

int32_t in_common(const Tokens & prompt, const Tokens & tokens) {
    return static_cast<int32_t>(std::min(common_prefix(prompt, tokens), prompt.size() - 1));
}

int32_t reusable(const Tokens & prompt, const Tokens & tokens, int32_t first_cut) {
    const int32_t n = in_common(prompt, tokens);
    return n >= first_cut || n == static_cast<int32_t>(tokens.size()) ? n : 0;
}

// What can be had of the prompt, and how.
struct Offer {
    int32_t index = -1;
    int32_t n = 0;
    int32_t gain = 0; // tokens, less what the copy costs

    void take(const Offer & other) {
        if (other.gain > gain) {
            *this = other;
        }
    }
};

} // namespace

size_t common_prefix(const Tokens & a, const Tokens & b) {
    const size_t n = std::min(a.size(), b.size());
    return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin()).first -
                               a.begin());
}

Placement place(const Tokens & prompt, const std::vector<SlotView> & slots, const std::vector<StoredView> & stored,
                const PrefixRules & rules) {
    Offer own;          // the free slot that holds most of the prompt
    Offer copied;       // another slot's state, free or not
    Offer restored;     // a stored one
    Offer coming;       // will be held by a slot that is prefilling now
    int32_t spare = -1; // the free slot that is missed least: with neighbours, if that counts; empty, else the longest unused
    int32_t n_parted = 0; // somebody's tokens begin so, but his state cannot be had there
    const auto cost = [&](const Tokens & tokens) {
        return rules.copy_tokens + static_cast<int32_t>(rules.copy_share * static_cast<double>(tokens.size()));
    };
    const auto is_busy = [&](int32_t s) { return s >= 0 && s < static_cast<int32_t>(slots.size()) && !slots[s].idle; };
    const auto worth = [&](int32_t s) {
        // Between two busy ones: a graph less. Beside one: none more.
        const int n_graphs = rules.neighbours ? 1 - is_busy(s - 1) - is_busy(s + 1) : 0;
        return std::make_pair(n_graphs, slots[s].computed->empty() ? 0 : slots[s].last_used + 1);
    };
    for (size_t i = 0; i < slots.size(); ++i) {
        const auto & slot = slots[i];
        const auto index = static_cast<int32_t>(i);
        const int32_t n = rules.can_reuse ? reusable(prompt, *slot.computed, slot.first_cut) : 0;
        if (slot.idle) {
            own.take({ index, n, n });
            spare = spare < 0 || worth(index) < worth(spare) ? index : spare;
        }
        if (rules.can_reuse) {
            copied.take({ index, n, n - cost(*slot.computed) });
            n_parted = std::max(n_parted, in_common(prompt, *slot.computed));
            if (slot.target) {
                const int32_t n_coming = in_common(prompt, *slot.target);
                n_parted = std::max(n_parted, n_coming);
                const bool passed = n_coming <= static_cast<int32_t>(slot.computed->size());
                if (rules.can_cut || (rules.can_keep && !passed && n_coming >= k_min_checkpoint)) {
                    coming.take({ index, n_coming, n_coming - cost(*slot.target) });
                }
            }
        }
    }
    for (size_t i = 0; i < stored.size() && rules.can_reuse; ++i) {
        const Tokens & tokens = *stored[i].tokens;
        const int32_t n = reusable(prompt, tokens, stored[i].first_cut);
        restored.take({ static_cast<int32_t>(i), n, n - cost(tokens) });
        n_parted = std::max(n_parted, in_common(prompt, tokens));
    }
    Placement best;
    if (spare < 0) {
        return best;
    }
    const int32_t now = std::max({ own.gain, copied.gain, restored.gain, 0 });
    if (coming.gain > now + k_worth_waiting) {
        best.source = coming.index;
        best.wait = true;
        best.checkpoint = coming.n;
        return best;
    }
    const auto from = [&](int32_t slot, int32_t source, int32_t stored_index, int32_t n) {
        Placement placement = { slot, source, stored_index, n, false, 0 };
        if (!rules.can_cut && rules.can_keep && n_parted - n >= k_min_checkpoint) {
            placement.checkpoint = n_parted;
        }
        return placement;
    };
    if (restored.gain > own.gain && restored.gain >= copied.gain) {
        return from(spare, -1, restored.index, restored.n);
    }
    if (copied.gain > own.gain) {
        return from(spare, copied.index, -1, copied.n); // busy, or it would be `own`
    }
    if (own.index < 0) {
        return from(spare, -1, -1, 0);
    }
    // Continuing in `own` overwrites the rest of what it holds: somebody's conversation, perhaps, that only begins
    // with the same system prompt. Then it is left alone while another slot can be had.
    const auto n_lost = static_cast<int32_t>(slots[own.index].computed->size()) - own.n;
    if (own.index != spare && n_lost > own.n) {
        return copied.gain > 0 ? from(spare, copied.index == spare ? -1 : copied.index, -1, copied.n)
                               : from(spare, -1, -1, 0);
    }
    return from(own.index, -1, -1, own.n);
}

} // namespace la
