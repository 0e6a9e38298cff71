#include "chat/argument_values.h"

#include "chat-peg-parser.h"

#include <algorithm>
#include <optional>

namespace la {

using Tags = common_chat_peg_builder;

// The texts, longest first: of two that begin alike the longer one is to be found.
static std::vector<std::string> longest_first(std::vector<std::string> texts) {
    std::stable_sort(texts.begin(), texts.end(), [](const auto & a, const auto & b) { return a.size() > b.size(); });
    return texts;
}

bool ArgumentValues::bind(Id argument, const Argument & said) {
    Id sequence = parser_.node(argument)["child"].get<Id>();
    size_t index = 0;
    while (true) {
        if (!parser_.is(sequence, "sequence")) {
            return false;
        }
        const auto parts = parser_.children(sequence);
        index = 0;
        while (index < parts.size() && !has_value(parts[index])) {
            ++index;
        }
        if (index == parts.size()) {
            return false;
        }
        if (!has_name(parts[index])) {
            break;
        }
        sequence = parts[index];
    }
    const Id value = parser_.children(sequence)[index];
    if (said.free && !is_raw_json(value)) {
        return true;
    }
    const bool nested = parser_.any(value, [&](Id at) { return parser_.is_tag(at, Tags::TOOL_ARG); });
    if (nested && !replace_nested_) {
        return false; // its own form is better than none
    }
    std::optional<Id> close;
    parser_.walk(value, [&](Id at) {
        if (parser_.is_tag(at, Tags::TOOL_ARG_CLOSE)) {
            close = at;
        }
        return true;
    });
    const std::string end = close ? parser_.text(*close) : end_of(sequence, index);
    Id replaced = 0;
    const auto texts = longest_first(said.texts);
    if (can_stand(texts, end, value)) {
        std::vector<Id> choice;
        for (const auto & text : texts) {
            choice.push_back(parser_.add({ { "type", "literal" }, { "literal", text } }));
        }
        const Id any = parser_.add({ { "type", "choice" }, { "children", choice } });
        replaced = parser_.add({ { "type", "tag" }, { "child", any }, { "tag", Tags::TOOL_ARG_STRING_VALUE } });
    } else {
        const Id bound = parser_.add(
            { { "type", "gbnf" }, { "child", parser_.any_json() }, { "grammar", k_rule_prefix + said.rule } });
        replaced = parser_.add({ { "type", "tag" }, { "child", bound }, { "tag", Tags::TOOL_ARG_VALUE } });
    }
    if (close) {
        const Id closing = parser_.add({ { "type", "atomic" }, { "child", *close } });
        replaced = parser_.add({ { "type", "sequence" }, { "children", { replaced, closing } } });
    }
    parser_.node(sequence)["children"][index] = replaced;
    changed_ = true;
    return true;
}

bool ArgumentValues::has_value(Id id) const {
    return parser_.any(id, [&](Id at) {
        return parser_.is_tag(at, Tags::TOOL_ARG_VALUE) || parser_.is_tag(at, Tags::TOOL_ARG_STRING_VALUE);
    });
}

bool ArgumentValues::has_name(Id id) const {
    bool found = false;
    parser_.walk(id, [&](Id at) {
        found = found || parser_.is_tag(at, Tags::TOOL_ARG_NAME);
        return !parser_.is_tag(at, Tags::TOOL_ARG);
    });
    return found;
}

bool ArgumentValues::is_raw_json(Id value) const {
    return parser_.any(value, [&](Id at) { return parser_.is_tag(at, Tags::TOOL_ARG_VALUE); }) &&
           !parser_.any(value, [&](Id at) { return parser_.is_tag(at, Tags::TOOL_ARG_STRING_VALUE); });
}

std::string ArgumentValues::end_of(Id sequence, size_t index) const {
    const auto parts = parser_.children(sequence);
    return index + 1 < parts.size() ? parser_.text(parts[index + 1]) : "";
}

bool ArgumentValues::can_stand(const std::vector<std::string> & texts, const std::string & end, Id value) const {
    return !texts.empty() && !end.empty() &&
           parser_.any(value, [&](Id at) { return parser_.is_tag(at, Tags::TOOL_ARG_STRING_VALUE); }) &&
           std::none_of(texts.begin(), texts.end(), [&](const std::string & text) {
               return text.empty() || text.front() == '<' || (text + end).find(end) != text.size();
           });
}

} // namespace la
