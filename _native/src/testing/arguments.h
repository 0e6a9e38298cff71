// What the arguments of a function obey, as a request says it.
#pragma once

#include "chat/arguments.h"
#include "chat/schema.h"

#include "chat.h" // common's
#include "json-schema-to-grammar.h"
#include "json.h"

#include <algorithm>
#include <string>
#include <vector>

namespace la::testing {

// Upstream's converter makes the rules here: where they come from is not what is tested. Adds them to `rules`.
inline Arguments arguments_of(const common_chat_tool & tool, bool strict, std::string & rules) {
    const auto schema = common_json::parse(tool.parameters);
    const auto add = [&](const common_json & one, const char * name) {
        const std::string prefix = name + std::to_string(rules.size()) + "-"; // no other begins there
        rules += with_prefix(json_schema_to_grammar(one), prefix.c_str());
        return prefix + "root";
    };
    Arguments arguments;
    arguments.strict = strict;
    arguments.one_by_one = true;
    arguments.rule = add(schema, "all");
    for (const auto & property : schema.at("properties").items()) {
        common_json one = property.value();
        if (schema.contains("$defs")) {
            one["$defs"] = schema.at("$defs");
        }
        Argument argument;
        argument.rule = add(one, "one");
        const bool text = one.contains("type") && one.at("type") == "string";
        if (text && one.contains("enum")) {
            argument.texts = one.at("enum").get<std::vector<std::string>>();
        } else if (text && one.contains("const")) {
            argument.texts = { one.at("const").get<std::string>() };
        } else {
            argument.free = text && !one.contains("minLength");
        }
        arguments.by_name.push_back({ property.key(), argument });
    }
    return arguments;
}

} // namespace la::testing
