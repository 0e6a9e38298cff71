// A token's bytes as a grammar sees them: whole characters, and the beginning of one that the next token ends. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace la {

// Bytes of a character that has begun; upstream's rules of what such a beginning is, loose ones, are kept.
struct PartialChar {
    uint32_t value = 0;   // of the bits so far
    int32_t n_remain = 0; // bytes that are missing; below 0: no UTF-8

    bool operator==(const PartialChar & other) const { return value == other.value && n_remain == other.n_remain; }
};

struct DecodedPiece {
    std::vector<uint32_t> chars;
    PartialChar partial;
};

// Reads `piece` behind `before`, up to its first NUL.
DecodedPiece decode_piece(std::string_view piece, PartialChar before = {});

// The code points that `partial` can become; false where none.
bool range_of(PartialChar partial, uint32_t & low, uint32_t & high);

} // namespace la
