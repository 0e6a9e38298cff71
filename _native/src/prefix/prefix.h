// Which slot a new prompt goes to, and whose computed tokens it can start from. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace la {

using Tokens = std::vector<int32_t>;

// What is known of a slot (a llama.cpp sequence with its KV cache).
struct SlotView {
    const Tokens * computed = nullptr; // tokens whose state the slot holds
    const Tokens * prompt = nullptr;   // of the sequence that is prefilling it; nullptr otherwise
    bool idle = true;                  // no sequence owns it
    uint64_t last_used = 0;            // step counter
};

struct PrefixRules {
    bool can_reuse = true;     // false: the caller wants everything computed anew
    bool can_truncate = true;  // false (recurrent, hybrid): a state is reusable only whole
    bool can_copy = true;      // slots can be copied to one another
    bool can_wait = true;      // a prompt may wait for another's prefill
    int32_t copy_tokens = 32;  // a copy costs as much as computing so many tokens
};

struct Placement {
    int32_t slot = -1;    // -1: no slot is free, or waiting is better
    int32_t source = -1;  // copy this slot first; -1 or equal to slot: nothing to copy
    int32_t n_reused = 0; // tokens of the prompt that need not be computed
    bool wait = false;    // another slot is computing a longer part of this prompt right now
};

// The number of tokens that a and b have in common at their start.
size_t common_prefix(const Tokens & a, const Tokens & b);

// At least one token of the prompt is always computed: its logits start the answer.
Placement place(const Tokens & prompt, const std::vector<SlotView> & slots, const PrefixRules & rules);

} // namespace la
