#include "sampling/matcher.h"

#include "base/error.h"

namespace la {

Matcher::Matcher(SharedGrammarPtr shared, const std::vector<llama_token> & before) : shared_(std::move(shared)) {
    // One of its own: the shared one is not this thread's.
    Automaton automaton(shared_->rules, shared_->vocabulary);
    auto position = automaton.start();
    for (const llama_token token : before) {
        const std::string piece = shared_->vocabulary->piece(token);
        position = automaton.accept(position, token, piece);
        if (position.state == Automaton::k_dead) {
            throw Error(LA_ERR_GRAMMAR,
                        "grammar does not admit '" + piece + "', with which the chat template has begun the answer",
                        "grammar");
        }
    }
    told_ = automaton.tell(position);
}

Automaton & Matcher::automaton() {
    if (automaton_ && !automaton_->is_full()) {
        return *automaton_;
    }
    auto & current = shared_->automaton;
    if (!current || current->is_full()) {
        current = std::make_shared<Automaton>(shared_->rules, shared_->vocabulary);
    }
    position_ = current->import(automaton_ ? automaton_->tell(position_) : told_);
    automaton_ = current;
    told_ = {};
    return *automaton_;
}

bool Matcher::admits(llama_token token) {
    auto & machine = automaton();
    return machine.admits(position_, token);
}

const Admitted & Matcher::admitted() {
    auto & machine = automaton();
    return machine.admitted(position_);
}

const Admitted * Matcher::known() {
    const auto & machine = automaton();
    return machine.known(position_);
}

bool Matcher::accept(llama_token token, std::string_view text) {
    auto & machine = automaton();
    if (shared_->vocabulary->is_end(token)) {
        return machine.admits(position_, token);
    }
    const auto to = machine.accept(position_, token, text);
    if (to.state == Automaton::k_dead) {
        return false;
    }
    position_ = to;
    return true;
}

bool Matcher::accept(llama_token token) {
    return accept(token, shared_->vocabulary->piece(token));
}

} // namespace la
