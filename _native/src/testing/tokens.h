// Runs of tokens for tests that need no vocabulary.
#pragma once

#include "prefix/prefix.h"

#include <numeric>

namespace la::testing {

// `n` tokens: from, from + 1, ...
inline Tokens range(int n, int from = 0) {
    Tokens tokens(static_cast<size_t>(n));
    std::iota(tokens.begin(), tokens.end(), from);
    return tokens;
}

} // namespace la::testing
