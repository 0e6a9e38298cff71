#include "embedding/vector.h"

#include "common.h"

#include <algorithm>
#include <cmath>

namespace la {

void finish_embedding(std::vector<float> & values, int32_t n_dimensions, int32_t norm) {
    if (n_dimensions > 0 && static_cast<size_t>(n_dimensions) < values.size()) {
        values.resize(static_cast<size_t>(n_dimensions));
    }
    common_embd_normalize(values.data(), values.data(), static_cast<int>(values.size()), norm);
}

bool is_finite(const std::vector<float> & values) {
    return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

} // namespace la
