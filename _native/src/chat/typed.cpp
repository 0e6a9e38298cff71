#include "chat/typed.h"

#include "base/error.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

namespace la {

using json = nlohmann::ordered_json;

namespace {

std::string type_of(const json & value) {
    return value.is_string()            ? "string"
           : value.is_number_integer()  ? "integer"
           : value.is_number()          ? "number"
           : value.is_boolean()         ? "boolean"
           : value.is_array()           ? "array"
           : value.is_object()          ? "object"
                                        : "null";
}

// In place of several types: alternatives, which upstream's grammars look at before the type.
std::string one_of_types(json & schema, const json & types) {
    std::string first = "null";
    json alternatives = json::array();
    for (const auto & type : types) {
        alternatives.push_back({ { "type", type } });
        if (first == "null" && type.is_string()) {
            first = type.get<std::string>();
        }
    }
    if (!schema.contains("anyOf") && !schema.contains("oneOf")) {
        schema["anyOf"] = alternatives;
    }
    return first;
}

bool give_types(json & schema);

std::string found_type(json & schema) {
    if (schema.contains("type") && schema["type"].is_array()) {
        const json types = schema["type"];
        return one_of_types(schema, types);
    }
    if (schema.contains("const")) {
        return type_of(schema["const"]);
    }
    if (schema.contains("enum") && schema["enum"].is_array() && !schema["enum"].empty()) {
        return type_of(schema["enum"].front());
    }
    for (const char * alternatives : { "anyOf", "oneOf", "allOf" }) {
        if (schema.contains(alternatives) && schema[alternatives].is_array() && !schema[alternatives].empty()) {
            json first = schema[alternatives].front();
            give_types(first);
            return first.is_object() ? first.value("type", "string") : "string";
        }
    }
    if (schema.contains("properties") || schema.contains("$ref")) {
        return "object";
    }
    if (schema.contains("items")) {
        return "array";
    }
    return one_of_types(schema, { "string", "number", "boolean", "null", "array", "object" });
}

bool give_types(json & schema) {
    if (!schema.is_object()) {
        return false;
    }
    bool changed = false;
    if (!schema.contains("type") || !schema["type"].is_string()) {
        const std::string type = found_type(schema);
        schema["type"] = type;
        changed = true;
    }
    if (schema.contains("properties") && schema["properties"].is_object()) {
        for (auto & [name, property] : schema["properties"].items()) {
            changed = give_types(property) || changed;
        }
    }
    if (schema.contains("items")) {
        changed = give_types(schema["items"]) || changed;
    }
    return changed;
}

} // namespace

bool give_types(std::vector<common_chat_tool> & tools) {
    bool changed = false;
    for (auto & tool : tools) {
        json parameters = json::parse(tool.parameters);
        if (give_types(parameters)) {
            tool.parameters = parameters.dump();
            changed = true;
        }
    }
    return changed;
}

// Upstream goes on with a message of LFM2's behind an empty thinking, also where the template knows none.
static common_chat_params without_unknown_thinking(const ChatTemplate & chat_template, const common_chat_templates_inputs & inputs,
                                                   common_chat_params params) {
    const std::string & start = params.thinking_start_tag;
    if (inputs.continue_final_message == COMMON_CHAT_CONTINUATION_NONE || start.empty() || params.thinking_end_tags.empty() ||
        common_chat_templates_source(chat_template.compiled.get()).find(start) != std::string::npos) {
        return params;
    }
    const std::string empty = start + params.thinking_end_tags.front();
    for (auto * text : { &params.prompt, &params.generation_prompt }) {
        const size_t behind = text->size() - std::min(text->size(), params.generation_prompt.size());
        const size_t at = text->find(empty, behind);
        if (at != std::string::npos) {
            text->erase(at, empty.size());
        }
    }
    return params;
}

common_chat_params apply_template(const ChatTemplate & chat_template, const common_chat_templates_inputs & inputs) {
    try {
        return without_unknown_thinking(chat_template, inputs,
                                        common_chat_templates_apply(chat_template.compiled.get(), inputs));
    } catch (const Error &) {
        throw;
    } catch (const std::exception &) {
        auto typed = inputs;
        if (!give_types(typed.tools)) {
            throw;
        }
        try {
            return without_unknown_thinking(chat_template, typed,
                                            common_chat_templates_apply(chat_template.compiled.get(), typed));
        } catch (const std::exception &) {
            // The first reason is the one to tell.
        }
        throw;
    }
}

} // namespace la
