#include "embedding/packing.h"

#include <algorithm>
#include <numeric>

namespace la {

std::vector<Packed> pack_inputs(const std::vector<PackSource> & sources, int32_t n_tokens, int32_t n_sequences) {
    std::vector<size_t> order(sources.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        const auto & left = sources[a];
        const auto & right = sources[b];
        return left.priority != right.priority ? left.priority > right.priority : left.last_served < right.last_served;
    });
    std::vector<size_t> next;
    for (const auto & source : sources) {
        next.push_back(source.next);
    }
    std::vector<Packed> packed;
    int64_t n_left = n_tokens;
    for (size_t from = 0; from < order.size();) {
        // One class of priority.
        size_t to = from;
        while (to < order.size() && sources[order[to]].priority == sources[order[from]].priority) {
            ++to;
        }
        for (bool took = true; took;) {
            took = false;
            for (size_t i = from; i < to; ++i) {
                const size_t source = order[i];
                const auto & lengths = *sources[source].lengths;
                if (next[source] == lengths.size()) {
                    continue;
                }
                const int32_t n = lengths[next[source]];
                if (static_cast<int32_t>(packed.size()) == n_sequences || (n > n_left && !packed.empty())) {
                    return packed; // nobody jumps the queue by being short
                }
                packed.push_back({ source, next[source]++ });
                n_left -= n;
                took = true;
            }
        }
        from = to;
    }
    return packed;
}

} // namespace la
