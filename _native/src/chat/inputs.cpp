#include "chat/inputs.h"

#include "base/error.h"
#include "chat/generic_tools.h"
#include "model/model.h"

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

namespace la {

using json = nlohmann::ordered_json;

namespace {

size_t character_bytes(unsigned char lead) {
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

// What somebody else wrote must not speak for the template. An assistant's earlier words may: templates look for their
// own markers in them.
bool is_foreign(const json & message) {
    const std::string role = message.value("role", "");
    return role != "assistant";
}

template <typename F> void for_each_text(json & messages, F && f) {
    for (auto & message : messages) {
        if (!message.is_object() || !message.contains("content")) {
            continue;
        }
        auto & content = message["content"];
        if (content.is_string()) {
            f(message, content);
        } else if (content.is_array()) {
            for (auto & part : content) {
                if (part.is_object() && part.contains("text") && part["text"].is_string()) {
                    f(message, part["text"]);
                }
            }
        }
    }
}

void check_size(const Model & model, json & messages, int32_t n_ctx) {
    size_t n_bytes = 0;
    for_each_text(messages, [&](json &, json & text) { n_bytes += text.get_ref<const std::string &>().size(); });
    const size_t n_tokens = n_bytes / model.max_piece_bytes();
    if (n_tokens > static_cast<size_t>(n_ctx)) {
        throw Error(LA_ERR_CONTEXT_LENGTH,
                    "the messages are " + std::to_string(n_bytes) + " bytes of text, at least " +
                        std::to_string(n_tokens) + " tokens; n_ctx is " + std::to_string(n_ctx),
                    "messages");
    }
}

// The parser keeps a stack of its own, but what writes JSON again recurses.
void check_depth(std::string_view text) {
    constexpr int k_max_depth = 128;
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            ++depth;
        } else if (c == '}' || c == ']') {
            --depth;
        }
        if (depth > k_max_depth) {
            throw Error(LA_ERR_INVALID, "messages nest deeper than " + std::to_string(k_max_depth) + " levels",
                        "messages");
        }
    }
}

// What a tool's author wrote for the model to read. Anything else of a tool has to stay as it is: names and values stand in
// the grammar too.
void split_descriptions(json & value, const std::vector<std::string> & controls, const std::string & mark) {
    if (value.is_array()) {
        for (auto & item : value) {
            split_descriptions(item, controls, mark);
        }
    } else if (value.is_object()) {
        for (auto & [key, item] : value.items()) {
            if (key == "description" && item.is_string()) {
                item = split_control_texts(item.get_ref<const std::string &>(), controls, mark);
            } else {
                split_descriptions(item, controls, mark);
            }
        }
    }
}

common_chat_tool_choice choice_of(const std::string & name) {
    return name == "required" ? COMMON_CHAT_TOOL_CHOICE_REQUIRED
           : name == "none"   ? COMMON_CHAT_TOOL_CHOICE_NONE
                              : COMMON_CHAT_TOOL_CHOICE_AUTO;
}

void read_options(const json & request, common_chat_templates_inputs & inputs) {
    inputs.use_jinja = true;
    inputs.add_generation_prompt = request.value("add_generation_prompt", true);
    inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    if (request.contains("chat_template_kwargs")) {
        for (const auto & [key, value] : request.at("chat_template_kwargs").items()) {
            for (const char * reserved : { "messages", "tools", "add_generation_prompt", "bos_token", "eos_token" }) {
                if (key == reserved) {
                    throw Error(LA_ERR_INVALID, "chat_template_kwargs must not set " + key + ", which is not an option",
                                "chat_template_kwargs");
                }
            }
            inputs.chat_template_kwargs[key] = value.dump();
            if (key == "enable_thinking" && value.is_boolean()) {
                inputs.enable_thinking = value.get<bool>();
            }
        }
    }
    const std::string effort = request.value("reasoning_effort", "");
    if (effort == "none") {
        inputs.enable_thinking = false; // as llama-server has it
    } else if (!effort.empty()) {
        inputs.chat_template_kwargs["reasoning_effort"] = json(effort).dump();
    }
}

Arguments read_arguments(const json & said) {
    Arguments arguments;
    arguments.rule = said.at("rule").get<std::string>();
    arguments.strict = said.at("strict").get<bool>();
    arguments.one_by_one = !said.at("by_name").is_null();
    for (const auto & [name, one] : said.at("by_name").items()) {
        arguments.by_name.push_back({ name,
                                      { one.at("rule").get<std::string>(), one.at("free").get<bool>(),
                                        one.at("texts").get<std::vector<std::string>>() } });
    }
    return arguments;
}

// An assistant's message at the end is one that the model goes on with.
void read_continuation(const json & messages, common_chat_templates_inputs & inputs) {
    if (messages.empty() || messages.back().value("role", "") != "assistant" || !inputs.add_generation_prompt) {
        return;
    }
    if (messages.back().contains("tool_calls")) {
        return; // nothing to go on with: the next turn begins
    }
    inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
    inputs.add_generation_prompt = false;
}

} // namespace

// U+FDD0..U+FDEF are noncharacters: no text to be exchanged contains them. Should one do so all the same, another is
// taken.
std::string unused_mark(std::string_view text) {
    for (unsigned char last = 0x90; last <= 0xAF; ++last) {
        const std::string mark = { '\xEF', '\xB7', static_cast<char>(last) };
        if (text.find(mark) == std::string_view::npos) {
            return mark;
        }
    }
    throw Error(LA_ERR_INVALID, "the texts contain every Unicode noncharacter from U+FDD0 to U+FDEF");
}

std::string split_control_texts(std::string_view text, const std::vector<std::string> & controls,
                                std::string_view mark) {
    // By first byte: most bytes of a text begin no control token.
    std::vector<const std::string *> by_lead[256];
    for (const auto & control : controls) {
        by_lead[static_cast<unsigned char>(control[0])].push_back(&control);
    }
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const bool found = std::any_of(by_lead[lead].begin(), by_lead[lead].end(), [&](const std::string * control) {
            return text.compare(i, control->size(), *control) == 0;
        });
        if (found) {
            const size_t n = character_bytes(lead);
            out.append(text.substr(i, n));
            out.append(mark);
            i += n - 1;
        } else {
            out.push_back(text[i]);
        }
    }
    return out;
}

// Some templates read a user's parts only and write any other list as a program would. Parts of the user's stay: where a
// template knows them, what stands between two of them is its own.
static void join_parts(json & messages) {
    for (auto & message : messages) {
        const auto content = message.find("content");
        if (content == message.end() || !content->is_array() ||
            (message.value("role", "") == "user" && content->size() > 1) ||
            !std::all_of(content->begin(), content->end(), [](const json & part) { return part.value("type", "") == "text"; })) {
            continue;
        }
        std::string text;
        for (const auto & part : *content) {
            text += (text.empty() ? "" : "\n") + part.value("text", "");
        }
        *content = text;
    }
}

// openai's results of tools name the call, many templates the function.
static void name_results(json & messages) {
    std::map<std::string, std::string> functions;
    for (auto & message : messages) {
        for (const auto & call : message.value("tool_calls", json::array())) {
            functions[call.value("id", "")] = call.at("function").value("name", "");
        }
        const auto called = functions.find(message.value("tool_call_id", ""));
        if (called != functions.end() && !message.contains("name")) {
            message["name"] = called->second;
        }
    }
}

// Whether the template can be told of the tools only by the conversation.
static bool adapt_tools(const TemplateTraits & traits, json & messages, const json & tools,
                        common_chat_templates_inputs & inputs) {
    const bool with_calls = !tools.empty() || std::any_of(messages.begin(), messages.end(), [](const json & message) {
        return message.contains("tool_calls") || message.value("role", "") == "tool";
    });
    if (!with_calls) {
        return false;
    }
    if (traits.python_calls) {
        write_calls_as_python(messages, "<|tool_call_start|>", "<|tool_call_end|>");
    } else if (!traits.renders_calls) {
        describe_tools(messages, tools);
        return !tools.empty();
    } else if (traits.reads_functions) {
        json functions = json::array();
        for (const auto & tool : tools) {
            functions.push_back(tool.at("function"));
        }
        inputs.chat_template_kwargs.emplace("functions", json(functions.dump(4)).dump());
    } else if (!traits.lists_tools && !tools.empty()) {
        list_tools(messages, tools);
    }
    return false;
}

static ChatTemplatePtr template_of(const Model & model, const json & request) {
    if (request.contains("chat_template")) {
        return model.chat_template(request.at("chat_template").get<std::string>());
    }
    if (!model.chat_template()) {
        throw Error(LA_ERR_TEMPLATE,
                    model.chat_template_error().empty()
                        ? "the model has no chat template; pass chat_template="
                        : "the chat template cannot be used: " + model.chat_template_error(),
                    "messages");
    }
    return model.chat_template();
}

ChatInputs read_chat(const Model & model, std::string_view text, int32_t n_ctx) {
    check_depth(text);
    json request = json::parse(text);
    auto & messages = request.at("messages");
    json tools = request.value("tools", json::array());
    check_size(model, messages, n_ctx);
    ChatInputs result;
    result.chat_template = template_of(model, request);
    result.mark = unused_mark(text);
    for_each_text(messages, [&](json & message, json & content) {
        if (is_foreign(message)) {
            content = split_control_texts(content.get_ref<const std::string &>(), model.control_texts(), result.mark);
        }
    });
    split_descriptions(tools, model.control_texts(), result.mark);
    auto & prompt = result.prompt;
    read_options(request, prompt);
    result.reasoning_budget = request.value("reasoning_budget_tokens", -1);
    const TemplateTraits & traits = result.chat_template->traits;
    join_parts(messages);
    name_results(messages);
    if (traits.drops_content) {
        for (auto & message : messages) {
            message.erase("reasoning_content");
        }
    }
    result.generic_tools = adapt_tools(traits, messages, tools, prompt);
    read_continuation(messages, prompt);
    prompt.messages = common_chat_msgs_parse_oaicompat(common_json::parse(messages.dump()));
    prompt.parallel_tool_calls = request.value("parallel_tool_calls", result.generic_tools || traits.parallel_calls);
    prompt.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
    result.answer = prompt;
    result.answer.tool_choice = choice_of(request.value("tool_choice", "auto"));
    if (!result.generic_tools) {
        prompt.tools = common_chat_tools_parse_oaicompat(common_json::parse(tools.dump()));
    }
    const json arguments = request.value("tool_arguments", json::array());
    for (size_t i = 0; i < tools.size() && i < arguments.size(); ++i) {
        tools[i].at("function")["parameters"] = arguments[i].at("outline");
        result.arguments.push_back(read_arguments(arguments[i]));
    }
    result.argument_rules = request.value("tool_rules", "");
    result.answer.tools = common_chat_tools_parse_oaicompat(common_json::parse(tools.dump()));
    if (request.contains("answer_grammar")) {
        result.answer_grammar = request.at("answer_grammar").get<std::string>();
        result.placeholder = result.mark + "answer";
        result.answer.json_schema = json{ { "const", result.placeholder } }.dump();
    }
    return result;
}

} // namespace la
