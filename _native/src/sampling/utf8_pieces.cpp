#include "sampling/utf8_pieces.h"

namespace la {

DecodedPiece decode_piece(std::string_view piece, PartialChar before) {
    piece = piece.substr(0, piece.find('\0'));
    DecodedPiece decoded;
    const PartialChar no_text = { 0, -1 };
    PartialChar now = before;
    for (const char c : piece) {
        const auto byte = static_cast<uint8_t>(c);
        const bool continues = (byte & 0xC0) == 0x80;
        if (now.n_remain == 0) {
            const int32_t n_bytes = byte < 0x80 ? 1 : byte < 0xC0 ? 0 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
            if (n_bytes == 0) {
                return { {}, no_text };
            }
            now = { n_bytes == 1 ? byte : byte & (0xFFu >> n_bytes), n_bytes - 1 };
            before = {};
        } else if (before.n_remain > 0 && !continues) {
            return { {}, no_text }; // within a token any byte continues a character, from one to the next only the right ones
        } else {
            now = { (now.value << 6) + (byte & 0x3Fu), now.n_remain - 1 };
        }
        if (now.n_remain == 0) {
            decoded.chars.push_back(now.value);
            before = {};
        }
    }
    decoded.partial = now.n_remain > 0 ? now : PartialChar{ 0, 0 };
    return decoded;
}

bool range_of(PartialChar partial, uint32_t & low, uint32_t & high) {
    if (partial.n_remain < 0 || (partial.n_remain == 1 && partial.value < 2)) {
        return false; // no UTF-8, or ASCII written in two bytes
    }
    const int32_t n_bits = partial.n_remain * 6;
    low = partial.value << n_bits;
    high = low | ((uint32_t(1) << n_bits) - 1);
    if (low == 0 && partial.n_remain >= 2) {
        low = partial.n_remain == 2 ? 1u << 11 : 1u << 16;
    }
    return true;
}

} // namespace la
