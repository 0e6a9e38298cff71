// What of an answer's raw text is thought, said or called, by the marks of its template, while the text arrives.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace la {

// Not thread-safe. Marks are found in text, not among tokens: a vocabulary may join a part of a mark with what stands
// beside it ("><", ">\n").
class PhaseFinder {
  public:
    enum Phase {
        speaking,
        thinking, // its end mark included
        pausing,  // behind an end mark, up to what is no white space
        calling,  // for good
    };

    PhaseFinder() = default;
    // Without both kinds of marks nothing is thought.
    PhaseFinder(std::string think, std::vector<std::string> think_ends, std::vector<std::string> calls);

    // Takes text up to the next change of phase, and returns how many bytes that was: less than all of it only if the
    // phase has changed, maybe none then. A mark that begins something is said: it is known at its end.
    size_t push(std::string_view text);

    Phase phase() const { return phase_; }
    // Whether the text ends in the beginning of a mark that would end the thinking: two bytes or more, since many a line
    // ends, which marks may begin with.
    bool within_mark() const;
    // Bytes of the mark that brought the last change of phase.
    size_t n_mark() const { return n_mark_; }

  private:
    bool ends_in(const std::string & mark);
    bool ends_in_one_of(const std::vector<std::string> & marks);
    bool turn();

    std::string think_;
    std::vector<std::string> think_ends_;
    std::vector<std::string> calls_;
    size_t longest_ = 0;
    size_t n_mark_ = 0;
    Phase phase_ = speaking;
    std::string tail_; // the last bytes of this phase, no more than the longest mark has
};

} // namespace la
