// A pattern that is looked for in a text while the text grows. Pure.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace la {

// Constant, shared by all who look for it. Of regular expressions it knows what upstream's triggers are written in:
// literals, classes, groups (one may capture), alternatives, repetition, `^`, `$`, and "not followed by" a literal.
class TriggerPattern {
  public:
    enum class Op : uint8_t { byte, split, begin_group, end_group, at_begin, at_end, not_before, match };
    struct Step {
        Op op;
        std::bitset<256> bytes; // of byte
        uint32_t to;            // of split, the way to try first
        uint32_t otherwise;     // of split
        std::string literal;    // of not_before
    };

    static std::shared_ptr<const TriggerPattern> literal(std::string_view text);
    // An ECMAScript expression of that kind over bytes. Throws Error (LA_ERR_INTERNAL) for another.
    static std::shared_ptr<const TriggerPattern> expression(std::string_view text);

    const std::vector<Step> & steps() const { return steps_; }
    // Whether a match behind the text's beginning may begin with `byte`.
    bool may_begin(uint8_t byte) const { return first_[byte]; }
    bool may_be_empty() const { return first_.all(); }

  private:
    friend class PatternParser;
    void finish();

    std::vector<Step> steps_;
    std::bitset<256> first_;
};

using TriggerPatternPtr = std::shared_ptr<const TriggerPattern>;

// What std::regex_search over the whole text says after each piece, at a cost that does not grow with the text: all
// partial matches are kept side by side, in the order in which a backtracking search would try them.
class PatternSearch {
  public:
    // In a text that has `n_before` bytes already, in which a match may not begin.
    PatternSearch(TriggerPatternPtr pattern, size_t n_before) : pattern_(std::move(pattern)), n_bytes_(n_before) {}

    // Adds `piece` to the text. Returns where the first match begins that is there now, if any: its group, if that is
    // not empty, else the whole. REQUIRES: nothing was found before.
    std::optional<size_t> push(std::string_view piece);

    // Where the earliest partial match begins; the text's end if there is none. What comes before is of no interest any
    // more.
    size_t needed_from() const;

  private:
    struct Unwanted {
        uint32_t step;  // whose literal must not follow
        uint32_t n_met; // bytes of it so far
        bool operator==(const Unwanted & other) const { return step == other.step && n_met == other.n_met; }
    };
    struct Way {
        uint32_t step; // byte, at_end or match
        size_t start;
        size_t group = std::string::npos;
        std::vector<Unwanted> unwanted;
    };

    void add(Way way);
    void take(uint8_t byte);

    TriggerPatternPtr pattern_;
    size_t n_bytes_;
    std::vector<Way> ways_;
    std::vector<Way> next_; // scratch
};

} // namespace la
