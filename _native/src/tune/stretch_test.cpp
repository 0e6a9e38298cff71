// Long states out of short ones: by bytes made up here, and whatever else comes is refused.
#include "testing/check.h"
#include "tune/stretch.h"

#include <algorithm>

using la::stretch_state;

namespace {

using Bytes = std::vector<uint8_t>;

template <typename T> void put(Bytes & out, T value) {
    const auto * p = reinterpret_cast<const uint8_t *>(&value);
    out.insert(out.end(), p, p + sizeof(T));
}

// As llama_kv_cache::state_write: two streams, the sequence in the second; rows are numbered by their cell.
void put_cache(Bytes & out, uint32_t first, uint32_t n, bool transposed, uint32_t n_layer) {
    put<uint32_t>(out, 2);
    put<uint32_t>(out, 0);
    put<uint32_t>(out, n);
    for (uint32_t i = 0; i < n; ++i) {
        put<int32_t>(out, int32_t(first + i));
        put<uint32_t>(out, 1);
        put<int32_t>(out, 7);
    }
    put<uint32_t>(out, transposed);
    put<uint32_t>(out, n_layer);
    for (int part = 0; part < 2; ++part) {
        for (uint32_t layer = 0; layer < n_layer; ++layer) {
            put<int32_t>(out, 1);
            if (part == 1 && transposed) {
                put<uint32_t>(out, 2);
                put<uint32_t>(out, 3);
                for (uint32_t row = 0; row < 3; ++row) {
                    for (uint32_t i = 0; i < n; ++i) {
                        put<uint16_t>(out, uint16_t(100 * row + i % 3));
                    }
                }
                continue;
            }
            put<uint64_t>(out, 4);
            for (uint32_t i = 0; i < n; ++i) {
                put<uint32_t>(out, 1000 * layer + i % 3);
            }
        }
    }
}

Bytes state(uint32_t n, bool transposed, uint32_t n_window = 0) {
    Bytes out;
    put<uint32_t>(out, 0x1234);
    put<int32_t>(out, 7);
    put_cache(out, 0, n, transposed, 2);
    if (n_window > 0) {
        const uint32_t kept = std::min(n, n_window);
        put_cache(out, n - kept, kept, transposed, 1);
    }
    return out;
}

} // namespace

TEST(rows_are_repeated_up_to_the_length) {
    for (const bool transposed : { false, true }) {
        CHECK(stretch_state(state(3, transposed), 3, 0) == state(3, transposed));
        CHECK(stretch_state(state(3, transposed), 100, 0) == state(100, transposed));
    }
}

TEST(a_window_keeps_the_last_positions) {
    // The window's rows start anew: three divides what was left out.
    CHECK(stretch_state(state(3, false, 64), 124, 64) == state(124, false, 64));
    CHECK(stretch_state(state(3, true, 64), 30, 64) == state(30, true, 64));
}

TEST(what_is_not_known_is_refused) {
    CHECK(stretch_state({}, 8, 0).empty());
    CHECK(stretch_state(state(3, false, 64), 100, 0).empty()); // two caches where one is expected
    const Bytes whole = state(3, true);
    for (size_t n = 0; n < whole.size(); ++n) {
        const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
        const Bytes stretched = stretch_state(part, 100, 0);
        CHECK(stretched.empty() || stretched.size() < state(100, true).size()); // cut behind the keys: none but keys
    }
    Bytes longer = whole;
    longer.push_back(0);
    CHECK(stretch_state(longer, 100, 0).empty());
    for (size_t i = 0; i < whole.size(); ++i) { // no byte leads it astray
        Bytes other = whole;
        other[i] ^= 0xff;
        stretch_state(other, 100, 64);
    }
}

TEST_MAIN
