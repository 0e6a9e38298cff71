// Reassembles UTF-8 from token pieces that may split a character.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace la {

// Not thread-safe. Invariant: everything handed out is valid UTF-8; at most 3 bytes are held back.
class Utf8Assembler {
  public:
    // Appends to `out` all complete characters of what has been pushed so far. Bytes that can never become valid are
    // replaced by U+FFFD, one per maximal invalid subpart (Unicode 15, section 3.9).
    void push(std::string_view bytes, std::string & out);

    // Ends the text: an incomplete character becomes U+FFFD.
    void flush(std::string & out);

    size_t n_pending() const { return n_; }

  private:
    char pending_[4] = {};
    size_t n_ = 0;
};

// True when `text` is valid UTF-8 throughout.
bool is_valid_utf8(std::string_view text);

} // namespace la
