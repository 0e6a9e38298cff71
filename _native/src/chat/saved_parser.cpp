#include "chat/saved_parser.h"

#include "chat-peg-parser.h"

namespace la {

using json = nlohmann::ordered_json;
using Id = SavedParser::Id;

SavedParser::SavedParser(const std::string & saved)
    : saved_(json::parse(saved)) {
    find_parents();
}

Id SavedParser::add(json node) {
    saved_["parsers"].push_back(std::move(node));
    return size() - 1;
}

std::vector<Id> SavedParser::children(Id id) const {
    const json & it = node(id);
    if (it.contains("children")) {
        return it["children"].get<std::vector<Id>>();
    }
    if (it.contains("child")) {
        return { it["child"].get<Id>() };
    }
    if (it["type"] == "ref") {
        return { saved_["rules"].at(it["name"].get<std::string>()).get<Id>() };
    }
    return {};
}

std::string SavedParser::text(Id id) const {
    std::string text;
    bool found = false;
    walk(id, [&](Id at) {
        if (!found && is(at, "literal")) {
            text = node(at)["literal"].get<std::string>();
            found = true;
        }
        return !found;
    });
    return text;
}

std::optional<Id> SavedParser::rule_around(Id id) const {
    std::set<Id> seen;
    while (seen.insert(id).second) {
        const auto parent = parents_.find(id);
        if (parent == parents_.end()) {
            break;
        }
        id = parent->second;
        if (is(id, "rule")) {
            return id;
        }
    }
    return std::nullopt;
}

Id SavedParser::any_json() {
    if (!any_json_) {
        const json other = json::parse(build_chat_peg_parser([](common_chat_peg_builder & p) { return p.json(); }).save());
        const Id first = size();
        for (json it : other["parsers"]) {
            if (it.contains("child")) {
                it["child"] = it["child"].get<Id>() + first;
            }
            if (it.contains("children")) {
                for (auto & child : it["children"]) {
                    child = child.get<Id>() + first;
                }
            }
            add(std::move(it));
        }
        for (const auto & [name, id] : other["rules"].items()) {
            if (!saved_["rules"].contains(name)) {
                saved_["rules"][name] = id.get<Id>() + first;
            }
        }
        any_json_ = other["root"].get<Id>() + first;
    }
    return *any_json_;
}

void SavedParser::find_parents() {
    walk(root(), [&](Id id) {
        for (const Id child : children(id)) {
            parents_.emplace(child, id);
        }
        return true;
    });
}

} // namespace la
