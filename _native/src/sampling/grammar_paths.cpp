#include "sampling/grammar_paths.h"

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

} // namespace

void check_grammar(const llama_vocab * vocab, const std::string & grammar) {
    const auto refuse = [](const std::string & message) { throw Error(LA_ERR_GRAMMAR, "grammar " + message, "grammar"); };
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
    auto * compiled = llama_grammar_init_impl(vocab, rules.data(), rules.size(), root->second);
    if (!compiled) {
        cannot_be_compiled("its rules are not valid");
    }
    llama_grammar_free_impl(compiled);
}

} // namespace la
