// Finds stop strings in text that arrives piece by piece.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace la {

// Not thread-safe. Text is withheld only while it may still turn out to be the beginning of a stop string, so at most
// (longest stop string - 1) bytes are held back.
class StopMatcher {
  public:
    StopMatcher() = default;
    // REQUIRES: no empty string in `stops`.
    explicit StopMatcher(std::vector<std::string> stops);

    // Appends to `out` what is certain. Returns true when a stop string was found: then `out` got the text before the
    // earliest one, and nothing more may be pushed.
    bool push(std::string_view text, std::string & out);

    // Ends the text: hands out what was withheld.
    void flush(std::string & out);

    size_t n_held() const { return held_.size(); }

  private:
    // The length of the longest end of held_ that begins some stop string.
    size_t longest_partial() const;

    std::vector<std::string> stops_;
    size_t longest_ = 0;
    std::string held_;
};

} // namespace la
