// What a GBNF grammar may cost, estimated before upstream's parser sees it. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace la {

struct GrammarLimits {
    static constexpr size_t k_max_bytes = size_t(1) << 20;
    static constexpr int k_max_depth = 200; // upstream's parser recurses once per open group
    // Elements after repetitions are written out: S{2000} is 2,000 copies of S, and a literal is as many elements as it
    // has characters, so two short lines can ask for gigabytes.
    static constexpr size_t k_max_elements = 200000;
};

// Throws Error (LA_ERR_GRAMMAR, param "grammar") when a limit is passed. Says nothing about validity.
void check_grammar_limits(std::string_view grammar);

} // namespace la
