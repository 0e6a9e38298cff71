// What an engine may choose for itself when it loads.
#pragma once

#include <cstdint>

namespace la {

// By the names and with the values of la_engine_params, defaults filled in.
struct Settings {
    int32_t flash_attention = -1; // left to upstream
    bool kv_unified = false;
    int32_t n_threads = 1;
    int32_t n_threads_batch = 1;
    int32_t n_ubatch = 512;
    int32_t poll = 50;
};

// Which of them the user left open. A fixed one is neither measured nor changed.
struct OpenSettings {
    bool flash_attention = false;
    bool kv_unified = false;
    bool n_threads = false;
    bool n_threads_batch = false;
    bool n_ubatch = false;
    bool poll = false;

    bool any() const { return flash_attention || kv_unified || n_threads || n_threads_batch || n_ubatch || poll; }
};

} // namespace la
