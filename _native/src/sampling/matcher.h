// Where one sequence stands in its grammar.
#pragma once

#include "sampling/automaton.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace la {

// What sequences under one grammar share. Made on a preparation thread; the automaton is the decode thread's alone.
struct SharedGrammar {
    SharedGrammar(GrammarRulesPtr rules, VocabularyPtr vocabulary)
        : rules(std::move(rules)), vocabulary(std::move(vocabulary)) {}

    const GrammarRulesPtr rules;
    const VocabularyPtr vocabulary;
    std::shared_ptr<Automaton> automaton; // replaced when full; who still stands in the old one keeps it
};

using SharedGrammarPtr = std::shared_ptr<SharedGrammar>;

// Made on a preparation thread, then used by the decode thread alone. What throws Error (LA_ERR_GRAMMAR) says so.
class Matcher {
  public:
    // At the beginning of the grammar, or behind `before`, which the answer has already. Throws.
    Matcher(SharedGrammarPtr shared, const std::vector<llama_token> & before);

    // Throws.
    bool admits(llama_token token);
    // Throws. The reference holds until accept() or the next call from another sequence.
    const Admitted & admitted();
    // The same, if finding out costs nothing.
    const Admitted * known();

    // Takes a token, or the part `text` of it; false, and nothing is taken, where the grammar does not admit it. Throws.
    bool accept(llama_token token, std::string_view text);
    bool accept(llama_token token);

  private:
    Automaton & automaton();

    SharedGrammarPtr shared_;
    std::shared_ptr<Automaton> automaton_; // null until the decode thread comes
    Automaton::Told told_;                 // the position until then
    Automaton::Position position_;
};

} // namespace la
