// Which compute graphs a step becomes. Pure: no llama.h.
#pragma once

#include <cstdint>
#include <vector>

namespace la {

// Rows of one slot in a step: the token that is decoded, and those guessed beside it.
struct SlotRows {
    int32_t slot = 0;
    int32_t n = 1;
};

// What upstream computes at a time, reading all weights once.
struct StepGraph {
    int32_t n_sequences = 0;
    int32_t n_rows = 0; // of all of them together

    int32_t n_guessed() const { return n_rows - n_sequences; }
};

// How upstream cuts a step of decoding sequences (llama_batch_allocr::split_equal and split_simple at the pinned commit). A
// graph over a partitioned cache holds equally many rows of neighbouring slots: one sequence that guesses beside three that
// do not makes a second graph, four that guess equally far do not.
// REQUIRES: slots ascend. `out` is overwritten.
void step_graphs(const std::vector<SlotRows> & rows, bool partitioned, std::vector<StepGraph> & out);

} // namespace la
