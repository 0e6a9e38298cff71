#include "chat/calls.h"

#include "chat/arguments.h"
#include "chat/generic_tools.h"
#include "chat/recipients.h"
#include "chat/schema.h"
#include "chat/typed.h"

#include "chat-peg-parser.h"
#include "json-schema-to-grammar.h"

#include <algorithm>
#include <utility>

namespace la {

namespace {

bool has_word_triggers(const common_chat_params & params) {
    return params.grammar_lazy && !params.grammar_triggers.empty() &&
           std::all_of(params.grammar_triggers.begin(), params.grammar_triggers.end(), [](const auto & trigger) {
               return trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD;
           });
}

void enforce(const ChatInputs & inputs, common_chat_params & params) {
    enforce_arguments(params, inputs.answer.tools, inputs.arguments, inputs.argument_rules);
    params.grammar = count_calls(std::move(params.grammar), inputs.answer.parallel_tool_calls);
}

void require(const ChatInputs & inputs, const common_chat_templates_inputs & asked, ToolCalls & calls) {
    // Upstream's grammar leaves free text before the first call, which a model may well not come to.
    auto choosing = asked;
    choosing.tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
    auto lazy = apply_template(*inputs.chat_template, choosing);
    if (!lazy.grammar.empty()) {
        enforce(inputs, lazy);
    }
    if (has_word_triggers(lazy)) {
        calls.params.grammar = think_then(thinking_grammar(calls.params), { with_a_call(lazy.grammar) });
        calls.whole = true;
    } else {
        calls.params.grammar = without_free_text(calls.params.grammar);
    }
}

// Beside a value of the answer's schema.
void join_answer(const ChatInputs & inputs, common_chat_templates_inputs asked, ToolCalls & calls) {
    auto & grammar = calls.params.grammar;
    if (has_word_triggers(calls.params)) {
        grammar = think_then(thinking_grammar(calls.params), { inputs.answer_grammar, with_a_call(grammar) });
        calls.whole = true;
        return;
    }
    asked.json_schema = inputs.answer.json_schema;
    grammar = join_calls(apply_template(*inputs.chat_template, asked).grammar, grammar);
}

// In the format that upstream knows for the template.
void use_own_format(const ChatInputs & inputs, common_chat_templates_inputs asked, ToolCalls & calls) {
    const std::string schema = std::exchange(asked.json_schema, {}); // upstream would ignore the tools
    auto & params = calls.params = apply_template(*inputs.chat_template, asked);
    const bool required = asked.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    if (names_recipients(params)) {
        asked.json_schema = schema;
        call_by_recipient(params, asked);
        enforce(inputs, params);
    } else if (required && params.grammar.empty()) { // nothing announces its calls
        call_tools_generically(params, asked);
        enforce(inputs, params);
    } else {
        enforce(inputs, params);
        if (required) {
            require(inputs, asked, calls);
        } else if (!schema.empty()) {
            join_answer(inputs, asked, calls);
        }
    }
}

} // namespace

// The grammar of what may come before an answer, "" for nothing: the thinking that the prompt has begun, or a whole one.
std::string thinking_grammar(const common_chat_params & params) {
    if (params.thinking_start_tag.empty() || params.thinking_end_tags.empty()) {
        return {};
    }
    const std::string & end = params.thinking_end_tags.front();
    const size_t opened = params.generation_prompt.rfind(params.thinking_start_tag);
    const bool inside = opened != std::string::npos && params.generation_prompt.find(end, opened) == std::string::npos;
    const auto parser = build_chat_peg_parser([&](common_chat_peg_builder & p) {
        const auto rest = p.ac(p.until(end) + p.literal(end), end) + p.space();
        return inside ? rest : p.optional(p.literal(params.thinking_start_tag) + rest);
    });
    return build_grammar([&](const common_grammar_builder & builder) { parser.build_grammar(builder); });
}

ToolCalls prepare_calls(const ChatInputs & inputs, common_chat_params plain) {
    ToolCalls calls;
    auto asked = inputs.answer;
    if (asked.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED) {
        asked.json_schema.clear(); // there is nothing but calls in such an answer
    }
    if (inputs.generic_tools) {
        calls.params = std::move(plain);
        call_tools_generically(calls.params, asked);
        enforce(inputs, calls.params);
    } else {
        use_own_format(inputs, asked, calls);
    }
    calls.marks = call_marks(calls.params, asked.tools);
    if (asked.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED || !asked.json_schema.empty()) {
        calls.params.grammar_lazy = false;
        calls.params.grammar_triggers.clear();
    }
    return calls;
}

} // namespace la
