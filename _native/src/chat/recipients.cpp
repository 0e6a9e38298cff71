#include "chat/recipients.h"

#include "chat-peg-parser.h"
#include "json-schema-to-grammar.h"

#include <algorithm>

namespace la {

namespace {

constexpr const char * k_recipient = ">>>";

std::vector<std::string> marks_of_recipients(const std::vector<common_chat_tool> & tools) {
    std::vector<std::string> marks;
    for (const auto & tool : tools) {
        marks.push_back(k_recipient + tool.name + "\n");
    }
    return marks;
}

bool contains(const std::string & text, const char * part) {
    return text.find(part) != std::string::npos;
}

} // namespace

bool names_recipients(const common_chat_params & params) {
    const auto & tokens = params.preserved_tokens;
    return std::find(tokens.begin(), tokens.end(), ">>>all") != tokens.end();
}

void call_by_recipient(common_chat_params & params, const common_chat_templates_inputs & inputs) {
    const bool required = inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    // A message that is gone on with stands there too.
    const std::string begun = params.generation_prompt.substr(0, params.generation_prompt.find(k_recipient) + 3);
    const auto parser = build_chat_peg_parser([&](common_chat_peg_builder & p) {
        auto call = p.choice();
        for (const auto & tool : common_chat_tools_to_json_oaicompat(inputs.tools)) {
            const auto & function = tool.at("function");
            const auto name = function.at("name").get<std::string>();
            const auto arguments = p.schema(p.json(), "tool-" + name + "-schema", common_chat_tool_parameters(function));
            call |= p.rule("tool-" + name, p.tool(p.tool_open(p.tool_name(p.literal(name)) + p.literal("\n")) +
                                                  p.tool_args(arguments)));
        }
        auto calls = call + p.eps();
        if (inputs.parallel_tool_calls) {
            calls += p.zero_or_more(p.literal(k_recipient) + call);
        }
        if (required) {
            return p.literal(begun) + calls + p.end();
        }
        auto text = p.literal("all\n");
        if (inputs.json_schema.empty()) {
            // Other such marks may be part of what is said, as Python's prompt.
            text = text + p.content(p.until_one_of(marks_of_recipients(inputs.tools))) +
                   p.optional(p.literal(k_recipient) + calls);
        } else {
            // The one value that stands for the answer, as upstream would write it.
            const auto value = common_json::parse(inputs.json_schema).at("const").get<std::string>();
            text = text + p.content(p.gbnf(p.json(), "\"\\\"" + value + "\\\"\""));
        }
        return p.literal(begun) + p.choice({ text, calls }) + p.end();
    });
    params.parser = parser.save();
    params.grammar_lazy = false;
    params.grammar_triggers.clear();
    params.grammar = build_grammar([&](const common_grammar_builder & builder) { parser.build_grammar(builder); });
}

std::vector<std::string> bare_call_marks(const std::vector<common_chat_tool> & tools) {
    std::vector<std::string> marks;
    for (const auto & tool : tools) {
        for (const char * before : { "{\"name\": \"", "{\"name\":\"", "{\"type\": \"function\", \"name\": \"" }) {
            marks.push_back(before + tool.name + "\"");
        }
    }
    return marks;
}

std::vector<std::string> call_marks(const common_chat_params & params, const std::vector<common_chat_tool> & tools) {
    if (names_recipients(params)) {
        return marks_of_recipients(tools);
    }
    std::vector<std::string> marks;
    if (params.grammar_triggers.empty()) { // nothing announces calls
        marks = bare_call_marks(tools);
    }
    for (const auto & trigger : params.grammar_triggers) {
        if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
            marks.push_back(trigger.value);
        } else if (contains(trigger.value, "(?!self<")) { // Muse
            for (const auto & tool : tools) {
                marks.push_back("<|start|>assistant to=" + tool.name + "<|message|>");
            }
        } else if (contains(trigger.value, "assistant(\\s+to)")) { // gpt-oss
            marks.insert(marks.end(), { "<|start|>assistant to=", "<|channel|>commentary to=", "<|channel|>analysis to=" });
        }
    }
    return marks;
}

} // namespace la
