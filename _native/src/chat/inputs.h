// The object of an LA_SEGMENT_CHAT (docs/abi.md) -> upstream's inputs of a chat template.
#pragma once

#include "chat/arguments.h"
#include "chat/template.h"

#include "chat.h" // common's

#include <string>
#include <string_view>
#include <vector>

namespace la {

class Model;

struct ChatInputs {
    ChatTemplatePtr chat_template; // never null
    // For the prompt: tools as they were given, no choice made.
    common_chat_templates_inputs prompt;
    // For grammar and parser: tools with the outlines of their schemas, and what is asked of the answer.
    common_chat_templates_inputs answer;
    std::vector<Arguments> arguments; // of each of the answer's tools
    std::string argument_rules;
    // Behind the first character of each control token's name that somebody else than the assistant wrote: the prompt is
    // cut there before it becomes tokens.
    std::string mark;
    // The grammar of the answer that `response_format` asks for; empty: none. `answer.json_schema` is then the schema of one
    // value alone, `placeholder`, which upstream puts where the family has its answer.
    std::string answer_grammar;
    std::string placeholder;
    bool generic_tools = false; // the template knows none
    int32_t reasoning_budget = -1;
};

// Throws Error: LA_ERR_TEMPLATE (the model has none), LA_ERR_INVALID, LA_ERR_CONTEXT_LENGTH (text that cannot fit into n_ctx tokens is refused before any work is
// spent on it), and whatever else is wrong as std::exception.
ChatInputs read_chat(const Model & model, std::string_view json, int32_t n_ctx);

// Characters that `text` does not contain, to cut it at later. Throws Error. Pure.
std::string unused_mark(std::string_view text);

// Inserts `mark` after the first character of every control token's name in `text`, so that the name cannot be parsed
// as the token. Pure.
std::string split_control_texts(std::string_view text, const std::vector<std::string> & controls,
                                std::string_view mark);

} // namespace la
