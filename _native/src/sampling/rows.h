// What is looked for in a row of logits. Pure.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace la {

// The index of the largest finite value; -1 when there is none.
int32_t argmax(const float * row, int32_t n);

bool has_nan(const float * row, int32_t n);

// The largest of `n` values, -infinity for none; a NaN is passed over.
float largest_value(const float * row, int32_t n);

// The indices of the `n_top` largest values that are `wanted`, largest first, into `out`. Most of a row is below the least
// of them, and is passed over in blocks that the compiler vectorizes: what is left costs less than copying the row.
// REQUIRES: no NaN. n_top small beside n: each find is sorted in.
template <typename Wanted>
void find_largest(const float * row, int32_t n, int32_t n_top, const Wanted & wanted, std::vector<int32_t> & out) {
    constexpr int32_t k_block = 64;
    out.clear();
    if (n_top <= 0) {
        return;
    }
    const auto most = static_cast<size_t>(n_top);
    out.reserve(most + 1);
    for (int32_t start = 0; start < n; start += k_block) {
        const int32_t end = start + k_block < n ? start + k_block : n;
        const bool is_full = out.size() == most;
        if (is_full && end - start == k_block && !(largest_value(row + start, k_block) > row[out.back()])) {
            continue;
        }
        for (int32_t i = start; i < end; ++i) {
            if ((out.size() == most && !(row[i] > row[out.back()])) || !wanted(i)) {
                continue;
            }
            if (out.size() == most) {
                out.pop_back();
            }
            size_t place = out.size();
            out.push_back(i);
            for (; place > 0 && row[i] > row[out[place - 1]]; --place) {
                out[place] = out[place - 1];
            }
            out[place] = i;
        }
    }
}

} // namespace la
