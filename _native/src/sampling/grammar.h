// The grammar that constrains a request, wherever it came from, and the thinking that it lets pass.
#pragma once

#include "common.h"

#include <string>
#include <vector>

namespace la {

// Marks of a template around what the model thinks; both empty where it has none.
struct Thinking {
    std::string start;
    std::vector<std::string> ends;
    int32_t budget = -1; // tokens before the end is forced; -1: none

    bool is_marked() const { return !start.empty() && !ends.empty(); }
};

struct Grammar {
    std::string text; // GBNF; empty: none
    // The parameter that asked for it: what a refusal names.
    std::string param = "grammar";
    common_grammar_type type = COMMON_GRAMMAR_TYPE_USER;
    // Free text until a trigger is met.
    bool lazy = false;
    std::vector<common_grammar_trigger> triggers;

    bool empty() const { return text.empty(); }
};

// All that decides what may be sampled next, beside la_sampling.
struct Constraint {
    Grammar grammar;
    Thinking thinking;
    // What the template has begun of the answer: a grammar of its own describes that too, and it may begin the thinking.
    std::string generation_prompt;
};

} // namespace la
