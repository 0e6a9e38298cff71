// A GBNF grammar, parsed and checked once: constant, shared by all who obey it.
#pragma once

#include "llama.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace la {

// Upstream follows each way one by one whenever it advances, and keeps those that differ: `r0 ::= r1 | r1`, thirty times
// over, would keep anybody busy for ever.
constexpr uint64_t k_max_grammar_paths = 10000;
constexpr size_t k_max_grammar_rules = 20000; // upstream's checks recurse along chains of rules

class GrammarRules {
  public:
    enum class Type : uint8_t { end, next_alternative, rule, chars, chars_not, range_end, more_chars, any_char, token, not_token };
    struct Element {
        Type type;
        uint32_t value; // a rule's number, a code point or a token
    };

    // Throws Error (LA_ERR_GRAMMAR, param "grammar") past the limits above, or with upstream's reason why it cannot be
    // compiled. REQUIRES: check_grammar_limits passed.
    static std::shared_ptr<const GrammarRules> compile(const llama_vocab * vocab, const std::string & grammar);

    const Element & at(uint32_t position) const { return elements_[position]; }
    bool ends(uint32_t position) const {
        return elements_[position].type == Type::end || elements_[position].type == Type::next_alternative;
    }
    // The first element of a rule's first alternative.
    uint32_t rule(uint32_t number) const { return rules_[number]; }
    uint32_t root() const { return root_; }

    // Whether the set of characters at `position` has `c`, and whether it has one that `partial_low..partial_high` can
    // become. A token element has none.
    bool matches(uint32_t position, uint32_t c) const;
    bool matches_any(uint32_t position, uint32_t low, uint32_t high) const;
    // The element behind it.
    uint32_t behind(uint32_t position) const;

    // Characters that no set of the grammar tells apart are one class.
    uint32_t n_classes() const { return static_cast<uint32_t>(class_starts_.size()); }
    uint32_t class_of(uint32_t c) const;
    uint32_t example(uint32_t char_class) const { return class_starts_[char_class]; }

  private:
    GrammarRules() = default;

    std::vector<Element> elements_; // all rules, one behind the other
    std::vector<uint32_t> rules_;
    uint32_t root_ = 0;
    std::vector<uint32_t> class_starts_; // ascending, the first is 0
};

using GrammarRulesPtr = std::shared_ptr<const GrammarRules>;

} // namespace la
