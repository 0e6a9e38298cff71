// How a request's tokens may be guessed before they are computed.
#pragma once

#include "llama_async.h"

#include <cstdint>
#include <string>
#include <vector>

namespace la {

// What may guess, by upstream's names (common_speculative_type_from_name_map at the pinned commit).
enum class GuessKind { ngram_simple, ngram_map_k, ngram_map_k4v, ngram_mod, ngram_cache, draft_simple, draft_mtp };

const char * name_of(GuessKind kind);

// Owning copy of la_speculation, checked.
struct SpeculationSpec {
    static constexpr int32_t k_default_max = 32;
    static constexpr int32_t k_most = 256; // tokens guessed at a time

    // Fields that are left open are `defaults`'s. Throws Error (LA_ERR_INVALID) naming the parameter.
    SpeculationSpec(const la_speculation & speculation, const SpeculationSpec & defaults);
    // Nothing is guessed.
    SpeculationSpec() = default;

    bool has(GuessKind kind) const;

    std::vector<GuessKind> kinds; // in order of preference
    int32_t n_max = k_default_max;
    int32_t n_min = 0;
    float p_min = 0;
    int32_t ngram_size_n = 0; // 0: each kind's own
    int32_t ngram_size_m = 0; // 0: n_max
    int32_t ngram_min_hits = 1;
    bool adaptive = true; // guess only as far as it pays
};

} // namespace la
