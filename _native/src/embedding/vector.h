// What is done to an embedding after it was computed. Pure.
#pragma once

#include <cstdint>
#include <vector>

namespace la {

// Keeps the first `n_dimensions` of `values` (0: all) and scales what is left to norm 1: `norm` -1 not at all, 0 the
// largest absolute value becomes 32760 (an int16), 1 the taxicab norm, 2 the euclidean. A zero vector stays one.
void finish_embedding(std::vector<float> & values, int32_t n_dimensions, int32_t norm);

bool is_finite(const std::vector<float> & values);

} // namespace la
