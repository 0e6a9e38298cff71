#include "sampling/grammar_rules.h"

#include "base/error.h"
#include "log/log_ring.h"

// Upstream's internal header, relative to common/ as upstream's own common includes such ones: the parsed rules are not
// part of llama.h.
#include "../src/llama-grammar.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace la {

namespace {

uint64_t saturated(uint64_t n) {
    return std::min(n, k_max_grammar_paths + 1);
}

struct Ways {
    uint64_t to_character = 0; // derivations that reach a character or token to match
    uint64_t to_nothing = 0;   // derivations of the empty text
};

class Counter {
  public:
    explicit Counter(const llama_grammar_rules & rules) : rules_(rules), known_(rules.size()), open_(rules.size()) {}

    uint64_t most() {
        uint64_t most = 0;
        for (size_t rule = 0; rule < rules_.size(); ++rule) {
            const Ways ways = of(rule);
            most = std::max(most, saturated(ways.to_character + ways.to_nothing));
        }
        return most;
    }

  private:
    Ways of(size_t rule) {
        if (known_[rule]) {
            return *known_[rule];
        }
        if (open_[rule]) {
            return {}; // left recursion: upstream refuses it by itself
        }
        open_[rule] = true;
        Ways total;
        Ways so_far = { 0, 1 }; // of the current alternative
        bool ended = false;     // a character was met: what follows is of no interest
        for (const auto & element : rules_[rule]) {
            if (element.type == LLAMA_GRETYPE_ALT || element.type == LLAMA_GRETYPE_END) {
                total.to_character = saturated(total.to_character + so_far.to_character);
                total.to_nothing = saturated(total.to_nothing + so_far.to_nothing);
                so_far = { 0, 1 };
                ended = false;
            } else if (!ended) {
                const Ways next = element.type == LLAMA_GRETYPE_RULE_REF ? of(element.value) : Ways{ 1, 0 };
                so_far.to_character = saturated(so_far.to_character + so_far.to_nothing * next.to_character);
                so_far.to_nothing = saturated(so_far.to_nothing * next.to_nothing);
                ended = so_far.to_nothing == 0;
            }
        }
        open_[rule] = false;
        known_[rule] = total;
        return total;
    }

    const llama_grammar_rules & rules_;
    std::vector<std::optional<Ways>> known_;
    std::vector<bool> open_;
};

GrammarRules::Type type_of(const llama_grammar_element & element) {
    switch (element.type) {
        case LLAMA_GRETYPE_END: return GrammarRules::Type::end;
        case LLAMA_GRETYPE_ALT: return GrammarRules::Type::next_alternative;
        case LLAMA_GRETYPE_RULE_REF: return GrammarRules::Type::rule;
        case LLAMA_GRETYPE_CHAR: return GrammarRules::Type::chars;
        case LLAMA_GRETYPE_CHAR_NOT: return GrammarRules::Type::chars_not;
        case LLAMA_GRETYPE_CHAR_RNG_UPPER: return GrammarRules::Type::range_end;
        case LLAMA_GRETYPE_CHAR_ALT: return GrammarRules::Type::more_chars;
        case LLAMA_GRETYPE_CHAR_ANY: return GrammarRules::Type::any_char;
        case LLAMA_GRETYPE_TOKEN: return GrammarRules::Type::token;
        case LLAMA_GRETYPE_TOKEN_NOT: return GrammarRules::Type::not_token;
    }
    throw Error(LA_ERR_INTERNAL, "a grammar has an element of unknown kind");
}

[[noreturn]] void refuse(const std::string & message) {
    throw Error(LA_ERR_GRAMMAR, "grammar " + message, "grammar");
}

} // namespace

GrammarRulesPtr GrammarRules::compile(const llama_vocab * vocab, const std::string & grammar) {
    const ErrorTap tap;
    const auto cannot_be_compiled = [&](const std::string & otherwise) {
        const std::string why = tap.text();
        refuse("cannot be compiled: " + (why.empty() ? otherwise : why));
    };
    llama_grammar_parser parser(vocab);
    if (!parser.parse(grammar.c_str()) || parser.rules.empty()) {
        cannot_be_compiled("failed to parse it");
    }
    if (parser.rules.size() > k_max_grammar_rules) {
        refuse("has " + std::to_string(parser.rules.size()) + " rules, the limit is " +
               std::to_string(k_max_grammar_rules));
    }
    if (Counter(parser.rules).most() > k_max_grammar_paths) {
        refuse("leaves more than " + std::to_string(k_max_grammar_paths) +
               " ways open before a character is consumed: it is too ambiguous");
    }
    const auto root = parser.symbol_ids.find("root");
    if (root == parser.symbol_ids.end()) {
        cannot_be_compiled("it has no rule 'root'");
    }
    auto rules = parser.c_rules();
    auto * compiled = llama_grammar_init_impl(vocab, rules.data(), rules.size(), root->second); // checks references
    if (!compiled) {
        cannot_be_compiled("its rules are not valid");
    }
    llama_grammar_free_impl(compiled);

    std::shared_ptr<GrammarRules> result(new GrammarRules());
    std::vector<uint32_t> starts = { 0 };
    for (const auto & rule : parser.rules) {
        result->rules_.push_back(static_cast<uint32_t>(result->elements_.size()));
        for (size_t i = 0; i < rule.size(); ++i) {
            const Type type = type_of(rule[i]);
            result->elements_.push_back({ type, rule[i].value });
            if (type == Type::chars || type == Type::chars_not || type == Type::more_chars) {
                const bool range = i + 1 < rule.size() && rule[i + 1].type == LLAMA_GRETYPE_CHAR_RNG_UPPER;
                starts.push_back(rule[i].value);
                starts.push_back((range ? rule[i + 1].value : rule[i].value) + 1);
            }
        }
    }
    std::sort(starts.begin(), starts.end());
    starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
    result->class_starts_ = std::move(starts);
    result->root_ = root->second;
    return result;
}

uint32_t GrammarRules::class_of(uint32_t c) const {
    const auto behind = std::upper_bound(class_starts_.begin(), class_starts_.end(), c);
    return static_cast<uint32_t>(behind - class_starts_.begin()) - 1;
}

bool GrammarRules::matches(uint32_t position, uint32_t c) const {
    return matches_any(position, c, c);
}

bool GrammarRules::matches_any(uint32_t position, uint32_t low, uint32_t high) const {
    const Type type = elements_[position].type;
    if (type == Type::any_char) {
        return true;
    }
    if (type != Type::chars && type != Type::chars_not) {
        return false;
    }
    bool found = false;
    do {
        const uint32_t first = elements_[position].value;
        const bool range = elements_[position + 1].type == Type::range_end;
        found = found || (first <= high && low <= (range ? elements_[position + 1].value : first));
        position += range ? 2 : 1;
    } while (elements_[position].type == Type::more_chars);
    // Of a set's complement upstream asks that nothing of the range is in the set; so do we.
    return found == (type == Type::chars);
}

uint32_t GrammarRules::behind(uint32_t position) const {
    do {
        ++position;
    } while (elements_[position].type == Type::range_end || elements_[position].type == Type::more_chars);
    return position;
}

} // namespace la
