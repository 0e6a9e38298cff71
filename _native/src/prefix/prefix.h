// Which slot a new prompt goes to, and whose computed tokens it can start from. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace la {

using Tokens = std::vector<int32_t>;

// What is known of a slot (a llama.cpp sequence with its state).
struct SlotView {
    const Tokens * computed = nullptr; // tokens whose state the slot holds
    const Tokens * target = nullptr;   // what the sequence that owns it is prefilling; nullptr otherwise
    bool idle = true;                  // no sequence owns it
    uint64_t last_used = 0;            // step counter
    // The state can be cut back to this many tokens and any number above. Whole it can always be taken: a recurrent
    // state, for which this is its length, is reused only so.
    int32_t first_cut = 0;
};

// A state kept in main memory.
struct StoredView {
    const Tokens * tokens = nullptr;
    int32_t first_cut = 0; // as of a slot
};

struct PrefixRules {
    bool can_reuse = true;     // false: the caller wants everything computed anew
    bool can_cut = true;       // false: others can start only from a state that was kept where they part (a checkpoint)
    bool can_keep = true;      // such a state is kept when asked for
    int32_t copy_tokens = 32;  // a copy costs as much as computing so many tokens,
    double copy_share = 0;     // and so much for each token that is copied
    bool neighbours = false;   // a slot beside the busy ones is better than one apart: they share a graph
};

struct Placement {
    int32_t slot = -1;    // -1: no slot is free, or waiting is better
    int32_t source = -1;  // copy this slot first; -1: nothing to copy
    int32_t stored = -1;  // copy this stored state first; -1: none
    int32_t n_reused = 0; // tokens of the prompt that need not be computed
    bool wait = false;    // `source` is computing a longer part of this prompt right now
    // So many tokens somebody else has, or wants, too; 0: nobody. If `wait` is set, of `source`: what it computes up to there
    // is waited for. Otherwise of this prompt, where can_cut is false: who parts there can start only from a state that was
    // kept.
    int32_t checkpoint = 0;
};

// The number of tokens that a and b have in common at their start.
size_t common_prefix(const Tokens & a, const Tokens & b);

// At least one token of the prompt is always computed: its logits start the answer.
Placement place(const Tokens & prompt, const std::vector<SlotView> & slots, const std::vector<StoredView> & stored,
                const PrefixRules & rules);

} // namespace la
