// A long sequence's state out of a short one's: a context comes to a depth without computing it.
#pragma once

#include <cstdint>
#include <vector>

namespace la {

// `state` is what llama_state_seq_get_data gave for a sequence of a few tokens from position 0 on. Returns the state of
// one of `n` tokens whose keys and values repeat those; empty where the state is not of the layouts known here (a plain KV
// cache, or two of them, the second of which has a sliding window of `n_window` tokens, 0: none): recurrent states, and
// positions of several dimensions. Pure, and reads no byte beyond the state. The layout is upstream's own
// (llama_kv_cache::state_write at the pinned commit): tune_test holds it against real contexts.
std::vector<uint8_t> stretch_state(const std::vector<uint8_t> & state, int32_t n, int32_t n_window);

} // namespace la
