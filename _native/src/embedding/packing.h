// Which inputs are embedded together in the next step. Pure: no clock, no llama.h, no locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace la {

// A request with inputs not computed yet.
struct PackSource {
    int32_t priority = 0;                        // higher first
    uint64_t last_served = 0;                    // the step that last took an input of it
    const std::vector<int32_t> * lengths = nullptr; // tokens of each of its inputs
    size_t next = 0;                             // the first input not computed yet
};

struct Packed {
    size_t source;
    size_t input;
};

// Whole inputs of `n_tokens` together at most, `n_sequences` at most: one from each request in turn, so that a single
// query does not wait for somebody's two thousand documents; a higher priority's first, and among equals who was served
// longest ago. The first input is taken even when it alone is longer than `n_tokens`.
std::vector<Packed> pack_inputs(const std::vector<PackSource> & sources, int32_t n_tokens, int32_t n_sequences);

} // namespace la
