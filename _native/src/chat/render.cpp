#include "chat/render.h"

#include "base/error.h"
#include "chat/schema.h"
#include "model/model.h"

#include "chat.h"
#include "common.h"

#include <algorithm>

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

common_chat_templates_inputs make_inputs(json & request) {
    common_chat_templates_inputs inputs;
    inputs.use_jinja = true;
    inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(request.at("messages").dump()));
    inputs.add_generation_prompt = request.value("add_generation_prompt", true);
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
    if (request.contains("reasoning_effort")) {
        inputs.chat_template_kwargs["reasoning_effort"] = request.at("reasoning_effort").dump();
    }
    return inputs;
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

std::vector<llama_token> tokenize(const Model & model, const std::string & text, bool add_special, bool parse_special) {
    return common_tokenize(model.vocab(), text, add_special, parse_special);
}

RenderedChat render_chat(const Model & model, std::string_view text, int32_t n_ctx) {
    if (!model.has_chat_template()) {
        throw Error(LA_ERR_TEMPLATE,
                    model.chat_template_error().empty()
                        ? "the model has no chat template; pass chat_template="
                        : "the chat template cannot be used: " + model.chat_template_error(),
                    "messages");
    }
    RenderedChat rendered;
    common_chat_params params;
    std::string mark;
    try {
        check_depth(text);
        json request = json::parse(text);
        check_size(model, request.at("messages"), n_ctx);
        mark = unused_mark(text);
        for_each_text(request.at("messages"), [&](json & message, json & content) {
            if (is_foreign(message)) {
                content = split_control_texts(content.get_ref<const std::string &>(), model.control_texts(), mark);
            }
        });
        if (request.contains("json_schema")) {
            rendered.grammar = { schema_grammar(request.at("json_schema").dump()), "response_format" };
        }
        params = common_chat_templates_apply(model.chat_templates(), make_inputs(request));
    } catch (const Error &) {
        throw;
    } catch (const std::exception & e) {
        throw Error(LA_ERR_TEMPLATE, std::string("the chat template refuses the messages: ") + e.what(), "messages");
    }
    rendered.stops = std::move(params.additional_stops);
    // A marked name is cut in two here: neither half is a control token's name.
    size_t from = 0;
    for (bool first = true; first || from != std::string::npos; first = false) {
        const size_t to = params.prompt.find(mark, from);
        const std::string text = params.prompt.substr(from, to - from);
        const auto part = tokenize(model, text, first, true);
        rendered.text += text;
        rendered.tokens.insert(rendered.tokens.end(), part.begin(), part.end());
        from = to == std::string::npos ? to : to + mark.size();
    }
    return rendered;
}

} // namespace la
