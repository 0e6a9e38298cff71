#include "chat/render.h"

#include "base/error.h"
#include "chat/calls.h"
#include "chat/schema.h"
#include "chat/template_budget.h"
#include "chat/typed.h"
#include "model/model.h"

#include "common.h"

#include <exception>

namespace la {

namespace {

bool calls_tools(const common_chat_templates_inputs & inputs) {
    return !inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
}

// Control tokens whose text the parser, or a grammar's trigger, needs to see.
std::unordered_map<llama_token, std::string> preserved_tokens(const Model & model, const common_chat_params & params) {
    auto texts = params.preserved_tokens;
    texts.push_back(params.thinking_start_tag);
    texts.insert(texts.end(), params.thinking_end_tags.begin(), params.thinking_end_tags.end());
    for (const auto & trigger : params.grammar_triggers) {
        texts.push_back(trigger.value);
    }
    std::unordered_map<llama_token, std::string> preserved;
    for (const auto & text : texts) {
        const auto tokens = tokenize(model, text, false, true);
        if (tokens.size() == 1 && model.piece(tokens[0]).empty()) {
            preserved[tokens[0]] = common_token_to_piece(model.vocab(), tokens[0], true);
        }
    }
    return preserved;
}

AnswerFormat make_format(const Model & model, const common_chat_params & params,
                         const common_chat_templates_inputs & inputs) {
    AnswerFormat format;
    format.parser = common_chat_parser_params(params);
    format.parser.reasoning_format = inputs.reasoning_format;
    format.parser.is_continuation = inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE;
    format.parser.parse_tool_calls = format.calls = calls_tools(inputs);
    if (!params.parser.empty()) {
        format.parser.parser.load(params.parser);
        format.late_ids = has_late_ids(format.parser.parser);
    }
    format.preserved = preserved_tokens(model, params);
    return format;
}

// Whether raw text and content are the same whatever the model says, as with most templates: then nothing is parsed.
bool is_plain(const common_chat_params & params, const AnswerFormat & format) {
    if (params.supports_thinking || !params.thinking_start_tag.empty() || !format.preserved.empty()) {
        return false;
    }
    static const std::string probe = " Probe: <a>\n{\"b\": [1]}\n";
    try {
        common_chat_msg before;
        if (format.parser.is_continuation) {
            before = common_chat_parse("", false, format.parser);
        }
        const auto message = common_chat_parse(probe, false, format.parser);
        return message.content == before.content + probe && message.reasoning_content.empty() &&
               message.tool_calls.empty();
    } catch (const std::exception &) {
        return false;
    }
}

Constraint make_constraint(const Model & model, const common_chat_params & params, const std::string & param) {
    Constraint constraint;
    constraint.thinking.start = params.thinking_start_tag;
    constraint.thinking.ends = params.thinking_end_tags;
    constraint.generation_prompt = params.generation_prompt;
    auto & grammar = constraint.grammar;
    if (params.grammar.empty()) {
        return constraint;
    }
    grammar.text = tighten_json_rules(params.grammar);
    grammar.param = param;
    grammar.type = COMMON_GRAMMAR_TYPE_TOOL_CALLS; // with the generation prompt before it
    grammar.lazy = params.grammar_lazy;
    for (const auto & trigger : params.grammar_triggers) {
        const bool word = trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD;
        const auto tokens = word ? tokenize(model, trigger.value, false, true) : std::vector<llama_token>();
        if (tokens.size() == 1) {
            grammar.triggers.push_back({ COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN, trigger.value, tokens[0] });
        } else {
            grammar.triggers.push_back(trigger);
        }
    }
    return constraint;
}

void constrain(std::string grammar, RenderedChat & rendered) {
    rendered.constraint.grammar = Grammar();
    rendered.constraint.grammar.text = std::move(grammar);
    rendered.constraint.grammar.param = "response_format";
}

// Without tools.
void prepare_text(const Model & model, const ChatInputs & inputs, const common_chat_params & plain,
                  RenderedChat & rendered) {
    auto format = make_format(model, plain, inputs.prompt);
    const std::string & answer = inputs.answer_grammar;
    if (is_plain(plain, format)) {
        if (!answer.empty()) {
            constrain(answer, rendered);
        }
        return;
    }
    rendered.constraint = make_constraint(model, plain, "messages");
    if (!answer.empty()) {
        const auto params = apply_template(*inputs.chat_template, inputs.answer);
        if (params.grammar.empty()) {
            // The template's family has no form of its own for it.
            constrain(think_then(thinking_grammar(plain), { answer }), rendered);
        } else {
            format = make_format(model, params, inputs.answer);
            rendered.constraint = make_constraint(model, params, "response_format");
            auto & grammar = rendered.constraint.grammar.text;
            grammar = put_answer(std::move(grammar), inputs.placeholder, answer);
        }
    }
    rendered.format = std::make_shared<const AnswerFormat>(std::move(format));
}

void prepare_tools(const Model & model, const ChatInputs & inputs, common_chat_params plain, RenderedChat & rendered) {
    ToolCalls calls = prepare_calls(inputs, std::move(plain));
    rendered.format = std::make_shared<const AnswerFormat>(make_format(model, calls.params, inputs.answer));
    rendered.only_calls = inputs.answer.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    rendered.call_marks = std::move(calls.marks);
    const bool formatted = !rendered.only_calls && !inputs.answer.json_schema.empty();
    rendered.constraint = make_constraint(model, calls.params, formatted ? "response_format" : "tools");
    auto & grammar = rendered.constraint.grammar.text;
    grammar = put_answer(std::move(grammar), inputs.placeholder, inputs.answer_grammar);
    if (calls.whole) {
        rendered.constraint.grammar.type = COMMON_GRAMMAR_TYPE_USER; // it begins behind the prompt
    }
}

std::vector<llama_token> tokens_of(const Model & model, const std::string & prompt, const std::string & mark,
                                   std::string & text) {
    std::vector<llama_token> tokens;
    // A marked name is cut in two here: neither half is a control token's name.
    size_t from = 0;
    for (bool first = true; first || from != std::string::npos; first = false) {
        const size_t to = prompt.find(mark, from);
        const std::string run = prompt.substr(from, to - from);
        const auto part = tokenize(model, run, first, true);
        text += run;
        tokens.insert(tokens.end(), part.begin(), part.end());
        from = to == std::string::npos ? to : to + mark.size();
    }
    return tokens;
}

void refuse_limit(const TemplateBudget & budget) {
    if (!budget.reason().empty()) {
        throw Error(LA_ERR_TEMPLATE, "the chat template " + budget.reason(), "messages");
    }
}

} // namespace

std::vector<llama_token> tokenize(const Model & model, const std::string & text, bool add_special, bool parse_special) {
    return common_tokenize(model.vocab(), text, add_special, parse_special);
}

RenderedChat render_chat(const Model & model, std::string_view text, int32_t n_ctx) {
    RenderedChat rendered;
    const TemplateBudget budget(text.size());
    try {
        const ChatInputs inputs = read_chat(model, text, n_ctx);
        auto params = apply_template(*inputs.chat_template, inputs.prompt);
        rendered.tokens = tokens_of(model, params.prompt, inputs.mark, rendered.text);
        rendered.stops = params.additional_stops;
        const auto & stops = inputs.chat_template->stops;
        rendered.stops.insert(rendered.stops.end(), stops.begin(), stops.end());
        if (calls_tools(inputs.answer)) {
            prepare_tools(model, inputs, std::move(params), rendered);
        } else {
            prepare_text(model, inputs, params, rendered);
        }
        rendered.constraint.thinking.budget = inputs.reasoning_budget;
        refuse_limit(budget);
    } catch (const Error &) {
        throw;
    } catch (const std::exception & e) {
        refuse_limit(budget);
        throw Error(LA_ERR_TEMPLATE, std::string("the chat template refuses the messages: ") + e.what(), "messages");
    }
    return rendered;
}

} // namespace la
