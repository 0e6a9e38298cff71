#include "chat/argument_order.h"

#include "chat-peg-parser.h"

#include <algorithm>

namespace la {

using Tags = common_chat_peg_builder;
using Id = SavedParser::Id;

static bool must_have(const SavedParser & parser, Id id, const std::string & name, std::map<Id, bool> & known) {
    const auto found = known.find(id);
    if (found != known.end()) {
        return found->second;
    }
    known[id] = false;
    const auto has = [&](Id child) { return must_have(parser, child, name, known); };
    const auto children = parser.children(id);
    bool must = false;
    if (parser.is_tag(id, Tags::TOOL_ARG)) {
        parser.walk(id, [&](Id at) {
            if (parser.is_tag(at, Tags::TOOL_ARG_NAME)) {
                must = must || parser.text(at) == name;
            }
            return at == id || !parser.is_tag(at, Tags::TOOL_ARG);
        });
    } else if (parser.is(id, "choice")) {
        must = !children.empty() && std::all_of(children.begin(), children.end(), has);
    } else if (parser.is(id, "repetition")) {
        must = parser.node(id)["min_count"].get<int>() > 0 && std::any_of(children.begin(), children.end(), has);
    } else if (!parser.is(id, "and") && !parser.is(id, "not") && !parser.is(id, "gbnf") && !parser.is(id, "ac")) {
        must = std::any_of(children.begin(), children.end(), has);
    }
    return known[id] = must;
}

bool must_have(const SavedParser & parser, Id call, const std::string & name) {
    std::map<Id, bool> known;
    return must_have(parser, call, name, known);
}

bool put_in_order(SavedParser & parser, Id call, const Arguments & said, const std::vector<std::string> & required,
                  const ArgumentParsers & arguments) {
    const auto lists = parser.outermost(call, [&](Id at) { return parser.is_tag(at, Tags::TOOL_ARGS); });
    if (lists.size() != 1) {
        return false;
    }
    bool comma = false;
    bool spaced = false;
    parser.walk(lists[0], [&](Id at) {
        comma = comma || (parser.is(at, "literal") && parser.node(at)["literal"] == ",");
        spaced = spaced || parser.is(at, "space");
        return !parser.is_tag(at, Tags::TOOL_ARG);
    });
    const auto between = [&](std::vector<Id> & sequence) {
        if (comma) {
            sequence.push_back(parser.add({ { "type", "literal" }, { "literal", "," } }));
        }
        if (spaced) {
            sequence.push_back(parser.add({ { "type", "space" } }));
        }
    };
    std::vector<Id> sequence;
    for (const auto & name : required) {
        const auto found = arguments.find(name);
        if (found == arguments.end() || found->second.empty()) {
            return false;
        }
        if (!sequence.empty()) {
            between(sequence);
        }
        sequence.push_back(found->second.front());
    }
    for (const auto & [name, argument] : said.by_name) {
        const auto found = arguments.find(name);
        if (std::find(required.begin(), required.end(), name) != required.end() || found == arguments.end() ||
            found->second.empty()) {
            continue;
        }
        std::vector<Id> one;
        between(one);
        one.push_back(found->second.front());
        const Id whole = parser.add({ { "type", "sequence" }, { "children", one } });
        sequence.push_back(parser.add(
            { { "type", "repetition" }, { "child", whole }, { "min_count", 0 }, { "max_count", 1 } }));
    }
    if (spaced && !comma) {
        sequence.push_back(parser.add({ { "type", "space" } }));
    }
    parser.node(lists[0])["child"] = parser.add({ { "type", "sequence" }, { "children", sequence } });
    return true;
}

} // namespace la
