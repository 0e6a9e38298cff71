#include "chat/generic_tools.h"

#include "chat-peg-parser.h"
#include "json-schema-to-grammar.h"

#include <string>

namespace la {

using json = nlohmann::ordered_json;

namespace {

constexpr const char * k_open = "<tool_call>";
constexpr const char * k_close = "</tool_call>";

std::string text_of(const json & message) {
    const auto content = message.find("content");
    if (content == message.end() || content->is_null()) {
        return {};
    }
    if (content->is_string()) {
        return *content;
    }
    std::string text;
    for (const auto & part : *content) {
        text += (text.empty() ? "" : "\n") + part.value("text", "");
    }
    return text;
}

std::string listed(const json & tools) {
    std::string text = "You can call functions. Each line between <tools> and </tools> describes one:\n<tools>\n";
    for (const auto & tool : tools) {
        text += tool.at("function").dump() + "\n";
    }
    return text + "</tools>";
}

std::string described(const json & tools) {
    return listed(tools) + "\nTo call a function, write its name and its arguments as JSON:\n" + k_open +
           "{\"name\": <name>, \"arguments\": <arguments>}" + k_close;
}

void add_to_system(json & messages, const std::string & text) {
    const std::string role = messages.empty() ? "" : messages.front().value("role", "");
    if (role == "system" || role == "developer") {
        messages.front()["content"] = text_of(messages.front()) + "\n\n" + text;
    } else {
        messages.insert(messages.begin(), json{ { "role", "system" }, { "content", text } });
    }
}

json arguments_of(const json & call) {
    json arguments = call.at("function").at("arguments");
    return arguments.is_string() ? json::parse(arguments.get<std::string>(), nullptr, false) : arguments;
}

std::string written(const json & call) {
    const auto & function = call.at("function");
    const json arguments = arguments_of(call);
    const json one = { { "name", function.at("name") },
                       { "arguments", arguments.is_discarded() ? function.at("arguments") : arguments } };
    return k_open + one.dump() + k_close;
}

std::string python_literal(const json & value) {
    if (value.is_null()) {
        return "None";
    }
    if (value.is_boolean()) {
        return value.get<bool>() ? "True" : "False";
    }
    if (!value.is_structured()) {
        return value.dump();
    }
    std::string text;
    for (const auto & [key, item] : value.items()) {
        text += (text.empty() ? "" : ", ") + (value.is_object() ? json(key).dump() + ": " : "") + python_literal(item);
    }
    return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

std::string written_as_python(const json & call) {
    const json arguments = arguments_of(call);
    std::string text;
    if (arguments.is_object()) {
        for (const auto & [key, value] : arguments.items()) {
            text += (text.empty() ? "" : ", ") + key + "=" + python_literal(value);
        }
    }
    return call.at("function").at("name").get<std::string>() + "(" + text + ")";
}

} // namespace

void list_tools(json & messages, const json & tools) {
    add_to_system(messages, listed(tools));
}

void write_calls_as_python(json & messages, const std::string & open, const std::string & close) {
    for (auto & message : messages) {
        if (!message.contains("tool_calls")) {
            continue;
        }
        std::string calls;
        for (const auto & call : message["tool_calls"]) {
            calls += (calls.empty() ? "" : ", ") + written_as_python(call);
        }
        message.erase("tool_calls");
        message["content"] = text_of(message) + open + "[" + calls + "]" + close;
    }
}

void describe_tools(json & messages, const json & tools) {
    json result = json::array();
    if (!tools.empty()) {
        add_to_system(messages, described(tools));
    }
    bool results = false; // the last message holds results of tools
    for (auto & message : messages) {
        const std::string role = message.value("role", "");
        if (role == "tool") {
            const std::string text = "<tool_response>\n" + text_of(message) + "\n</tool_response>";
            if (results) {
                auto & content = result.back()["content"];
                content = content.get<std::string>() + "\n" + text;
            } else {
                result.push_back({ { "role", "user" }, { "content", text } });
            }
            results = true;
            continue;
        }
        results = false;
        if (message.contains("tool_calls")) {
            std::string text = text_of(message);
            for (const auto & call : message["tool_calls"]) {
                text += (text.empty() ? "" : "\n") + written(call);
            }
            message.erase("tool_calls");
            message["content"] = text;
        }
        result.push_back(std::move(message));
    }
    messages = std::move(result);
}

void call_tools_generically(common_chat_params & params, const common_chat_templates_inputs & inputs) {
    const bool required = inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    const auto tools = common_chat_tools_to_json_oaicompat(inputs.tools);
    const auto parser = build_chat_peg_parser([&](common_chat_peg_builder & p) {
        auto call = p.standard_json_tools(k_open, k_close, tools, false, true, "name", "arguments");
        auto calls = call + p.space();
        if (inputs.parallel_tool_calls) {
            calls = p.one_or_more(calls);
        }
        calls = p.trigger_rule("tool-calls", calls);
        if (required) {
            return p.space() + calls + p.end();
        }
        auto content = p.content(p.until(k_open));
        if (!inputs.json_schema.empty()) {
            // The one value that stands for the answer, as upstream would write it.
            const json value = json::parse(inputs.json_schema).at("const");
            content = p.content(p.gbnf(p.json(), "\"\\\"" + value.get<std::string>() + "\\\"\"")) + p.space();
            return p.space() + p.choice({ calls, content }) + p.end();
        }
        return content + p.optional(calls) + p.end();
    });
    params.format = COMMON_CHAT_FORMAT_PEG_NATIVE;
    params.parser = parser.save();
    params.generation_prompt.clear();
    params.grammar_lazy = !required && inputs.json_schema.empty();
    params.grammar = build_grammar(
        [&](const common_grammar_builder & builder) { parser.build_grammar(builder, params.grammar_lazy); });
    params.grammar_triggers.clear();
    if (params.grammar_lazy) {
        params.grammar_triggers.push_back({ COMMON_GRAMMAR_TRIGGER_TYPE_WORD, k_open });
    }
}

} // namespace la
