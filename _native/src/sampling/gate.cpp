#include "sampling/gate.h"

#include "base/error.h"

#include "common.h"
#include "reasoning-budget.h"

#include <cctype>
#include <climits>

namespace la {

namespace {

// What the template has begun of the answer, as the tokens that a model would have said it with.
std::vector<llama_token> tokens_of_beginning(const llama_vocab * vocab, const std::string & text) {
    auto tokens = common_tokenize(vocab, text, false, true);
    if (!tokens.empty()) {
        const std::string piece = common_token_to_piece(vocab, tokens[0], true);
        const auto is_space = [](const std::string & of) { return !of.empty() && std::isspace(static_cast<uint8_t>(of[0])); };
        if (is_space(piece) && !is_space(text)) {
            tokens.erase(tokens.begin()); // some tokenizers put a blank before a control token
        }
    }
    return tokens;
}

llama_sampler_ptr make_budget(const llama_vocab * vocab, const Thinking & thinking, const std::vector<llama_token> & before) {
    std::vector<llama_tokens> ends;
    for (const auto & end : thinking.ends) {
        ends.push_back(common_tokenize(vocab, end, false, true));
    }
    llama_sampler_ptr budget(common_reasoning_budget_init(vocab, { common_tokenize(vocab, thinking.start, false, true) },
                                                          ends, ends.front(), INT_MAX));
    for (const llama_token token : before) {
        llama_sampler_accept(budget.get(), token);
    }
    return budget;
}

} // namespace

Gate::Gate(const llama_vocab * vocab, SharedGrammarPtr grammar, const Constraint & constraint)
    : vocab_(vocab) {
    const bool lazy = constraint.grammar.lazy;
    std::vector<llama_token> before;
    if (!constraint.generation_prompt.empty()) {
        before = tokens_of_beginning(vocab, constraint.generation_prompt);
    }
    const Thinking & thinking = constraint.thinking;
    if (thinking.is_marked() && lazy) {
        budget_ = make_budget(vocab, thinking, before);
    }
    if (grammar) {
        const bool describes_beginning = !lazy && constraint.grammar.type != COMMON_GRAMMAR_TYPE_USER;
        try {
            matcher_.emplace(std::move(grammar), describes_beginning ? before : std::vector<llama_token>());
        } catch (const Error & e) {
            throw Error(e.status, e.what(), constraint.grammar.param);
        }
    }
    if (lazy) {
        trigger_.emplace(constraint.grammar.triggers);
        beginning_ = matcher_;
    }
}

bool Gate::sees_tokens() const {
    if (!matcher_ || !budget_) {
        return matcher_.has_value();
    }
    const auto state = common_reasoning_budget_get_state(budget_.get());
    return state == REASONING_BUDGET_IDLE || state == REASONING_BUDGET_DONE;
}

bool Gate::is_closed() const {
    return !trigger_ && sees_tokens();
}

void Gate::accept(llama_token token) {
    const bool seen = sees_tokens(); // before it, so that the mark that begins a thinking counts for the grammar
    if (budget_) {
        llama_sampler_accept(budget_.get(), token);
        const bool done = common_reasoning_budget_get_state(budget_.get()) == REASONING_BUDGET_DONE;
        const auto * end = done ? common_reasoning_budget_get_end_match(budget_.get()) : nullptr;
        if (matcher_ && !seen && end) {
            for (const llama_token end_token : *end) { // it may be the trigger
                show(end_token);
            }
        }
    }
    if (seen) {
        show(token);
    }
}

void Gate::show(llama_token token) {
    if (!trigger_) {
        if (!matcher_->accept(token)) {
            throw Error(LA_ERR_GRAMMAR, "grammar does not admit the token that was sampled", "grammar");
        }
        return;
    }
    const auto parts = trigger_->push(token, common_token_to_piece(vocab_, token, true));
    for (const auto & part : parts) {
        if (!matcher_->accept(part.token, part.text)) {
            // More of the token than the trigger, and no call: upstream fails the request, here the text goes on.
            matcher_ = beginning_;
            trigger_->go_on();
            return;
        }
    }
    if (!parts.empty()) {
        trigger_.reset();
        beginning_.reset();
    }
}

} // namespace la
