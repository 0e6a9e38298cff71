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

// Throws Error (LA_ERR_GRAMMAR, param "grammar") past the limits, or with upstream's reason why it cannot be compiled.
// Asked before a sampler is made of it: upstream leaks the sampler whose grammar fails. REQUIRES: check_grammar_limits
// passed.
void check_grammar(const llama_vocab * vocab, const std::string & grammar);

} // namespace la
