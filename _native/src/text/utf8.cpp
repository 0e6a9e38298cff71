#include "text/utf8.h"

#include <cstring>

namespace la {

namespace {

constexpr char k_replacement[] = "\xEF\xBF\xBD";

enum class Scan { complete, incomplete, invalid };

// Looks at the character that starts at s. `n` becomes its length (complete), the bytes seen (incomplete), or the
// length of the maximal invalid subpart (invalid, at least 1).
Scan scan(const unsigned char * s, size_t size, size_t & n) {
    const unsigned char lead = s[0];
    n = 1;
    if (lead < 0x80) {
        return Scan::complete;
    }
    size_t need = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        need = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        need = 3;
        low = lead == 0xE0 ? 0xA0 : low;   // no overlong forms
        high = lead == 0xED ? 0x9F : high; // no surrogates
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        need = 4;
        low = lead == 0xF0 ? 0x90 : low;
        high = lead == 0xF4 ? 0x8F : high; // nothing above U+10FFFF
    } else {
        return Scan::invalid;
    }
    for (; n < need; ++n) {
        if (n == size) {
            return Scan::incomplete;
        }
        if (s[n] < low || s[n] > high) {
            return Scan::invalid;
        }
        low = 0x80;
        high = 0xBF;
    }
    return Scan::complete;
}

} // namespace

void Utf8Assembler::push(std::string_view bytes, std::string & out) {
    std::string joined;
    if (n_ > 0) {
        joined.assign(pending_, n_);
        joined.append(bytes);
        bytes = joined;
        n_ = 0;
    }
    const auto * s = reinterpret_cast<const unsigned char *>(bytes.data());
    size_t start = 0; // of the run of valid characters not yet appended
    size_t i = 0;
    while (i < bytes.size()) {
        size_t n = 0;
        switch (scan(s + i, bytes.size() - i, n)) {
            case Scan::complete:
                i += n;
                break;
            case Scan::invalid:
                out.append(bytes.substr(start, i - start));
                out.append(k_replacement);
                i += n;
                start = i;
                break;
            case Scan::incomplete:
                out.append(bytes.substr(start, i - start));
                std::memcpy(pending_, bytes.data() + i, n);
                n_ = n;
                return;
        }
    }
    out.append(bytes.substr(start));
}

void Utf8Assembler::flush(std::string & out) {
    if (n_ > 0) {
        out.append(k_replacement);
        n_ = 0;
    }
}

bool is_valid_utf8(std::string_view text) {
    const auto * s = reinterpret_cast<const unsigned char *>(text.data());
    for (size_t i = 0; i < text.size();) {
        size_t n = 0;
        if (scan(s + i, text.size() - i, n) != Scan::complete) {
            return false;
        }
        i += n;
    }
    return true;
}

} // namespace la
