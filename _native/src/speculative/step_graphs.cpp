#include "speculative/step_graphs.h"

#include <algorithm>

namespace la {

void step_graphs(const std::vector<SlotRows> & rows, bool partitioned, std::vector<StepGraph> & out) {
    out.clear();
    if (rows.empty()) {
        return;
    }
    if (!partitioned) {
        out.push_back({ static_cast<int32_t>(rows.size()), 0 });
        for (const auto & row : rows) {
            out.back().n_rows += row.n;
        }
        return;
    }
    thread_local std::vector<int32_t> left;
    left.clear();
    for (const auto & row : rows) {
        left.push_back(row.n);
    }
    for (size_t begin = 0; begin < rows.size();) {
        if (left[begin] == 0) {
            ++begin;
            continue;
        }
        // The first that has some left and the neighbours of it that have: as many of each as the shortest has.
        size_t end = begin + 1;
        int32_t n_each = left[begin];
        while (end < rows.size() && left[end] > 0 && rows[end].slot == rows[end - 1].slot + 1) {
            n_each = std::min(n_each, left[end++]);
        }
        for (size_t i = begin; i < end; ++i) {
            left[i] -= n_each;
        }
        out.push_back({ static_cast<int32_t>(end - begin), static_cast<int32_t>(end - begin) * n_each });
    }
}

} // namespace la
