// What a sequence's grammar lets through next.
#pragma once

#include "sampling/grammar.h"
#include "sampling/matcher.h"
#include "sampling/trigger.h"

#include "llama-cpp.h"

#include <optional>
#include <vector>

namespace la {

// The order of events is that of upstream's common_sampler: the thinking is watched before the grammar sees a token, and a
// lazy grammar sees none of it but the mark that ends it.
//
// Made on a preparation thread, then used by the decode thread alone.
class Gate {
  public:
    // `grammar` is null for none. Throws Error.
    Gate(const llama_vocab * vocab, SharedGrammarPtr grammar, const Constraint & constraint);

    // Whether anything may be refused: there is a grammar, and it is not waiting for its trigger.
    bool is_closed() const;
    // Of a closed gate. They throw Error (LA_ERR_GRAMMAR) when the grammar leaves too many ways open.
    bool admits(llama_token token) { return matcher_->admits(token); }
    const Admitted & admitted() { return matcher_->admitted(); }
    const Admitted * known() { return matcher_->known(); }

    // Throws Error (LA_ERR_GRAMMAR) when the grammar does not admit it.
    void accept(llama_token token);

  private:
    // Whether tokens count for the grammar: those of the thinking before a lazy one do not.
    bool sees_tokens() const;
    void show(llama_token token);

    const llama_vocab * vocab_;
    llama_sampler_ptr budget_; // tells a lazy grammar where thinking ends; null: it is not watched
    std::optional<Matcher> matcher_;
    std::optional<Matcher> beginning_; // of a lazy grammar: where it goes back to when a trigger turns out to be none
    std::optional<Trigger> trigger_;   // of a lazy grammar that waits
};

} // namespace la
