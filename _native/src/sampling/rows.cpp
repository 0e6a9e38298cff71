#include "sampling/rows.h"

#include <algorithm>

namespace la {

// Independent lanes: one running maximum would wait for itself at every element, and may not be reordered by the
// compiler, since a NaN makes the order matter. A NaN never wins a comparison.
float largest_value(const float * row, int32_t n) {
    constexpr int32_t k_lanes = 16;
    float best[k_lanes];
    std::fill(best, best + k_lanes, -INFINITY);
    int32_t i = 0;
    for (; i + k_lanes <= n; i += k_lanes) {
        for (int32_t lane = 0; lane < k_lanes; ++lane) {
            best[lane] = row[i + lane] > best[lane] ? row[i + lane] : best[lane];
        }
    }
    float highest = -INFINITY;
    for (; i < n; ++i) {
        highest = row[i] > highest ? row[i] : highest;
    }
    for (const float lane : best) {
        highest = lane > highest ? lane : highest;
    }
    return highest;
}

int32_t argmax(const float * row, int32_t n) {
    const float highest = largest_value(row, n);
    if (!std::isfinite(highest)) {
        return -1;
    }
    return static_cast<int32_t>(std::find(row, row + n, highest) - row);
}

bool has_nan(const float * row, int32_t n) {
    bool found = false;
    for (int32_t i = 0; i < n; ++i) {
        found |= row[i] != row[i];
    }
    return found;
}

} // namespace la
