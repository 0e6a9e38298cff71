// How many ways a grammar leaves open before it consumes a character.
#pragma once

#include "llama.h"

#include <cstdint>
#include <string>

namespace la {

// Upstream follows each way one by one whenever it advances, and keeps those that differ: `r0 ::= r1 | r1`, thirty times
// over, keeps it busy for ever.
constexpr uint64_t k_max_grammar_paths = 10000;
constexpr size_t k_max_grammar_rules = 20000; // upstream's checks recurse along chains of rules

// Throws Error (LA_ERR_GRAMMAR, param "grammar") past the limits. A grammar that does not parse passes: making the
// sampler says why. REQUIRES: check_grammar_limits passed.
void check_grammar_paths(const llama_vocab * vocab, const std::string & grammar);

} // namespace la
