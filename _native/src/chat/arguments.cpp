#include "chat/arguments.h"

#include "base/error.h"
#include "chat/schema.h"

#include "chat-peg-parser.h"
#include "json-schema-to-grammar.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace la {

using json = nlohmann::ordered_json;
using Tags = common_chat_peg_builder;

namespace {

using Id = size_t;

constexpr const char * k_prefix = "arguments-"; // of the names of our rules

// A saved parser: upstream's arenas cannot be changed, but what they are saved as can.
class Parsers {
  public:
    explicit Parsers(const std::string & saved) : saved_(json::parse(saved)) { find_parents(); }

    const json & node(Id id) const { return saved_["parsers"][id]; }
    json & node(Id id) { return saved_["parsers"][id]; }
    size_t size() const { return saved_["parsers"].size(); }
    Id root() const { return saved_["root"].get<Id>(); }
    std::string save() const { return saved_.dump(); }

    Id add(json node) {
        saved_["parsers"].push_back(std::move(node));
        return size() - 1;
    }

    bool is(Id id, const char * type) const { return node(id)["type"] == type; }
    bool is_tag(Id id, const char * tag) const { return is(id, "tag") && node(id)["tag"] == tag; }

    std::vector<Id> children(Id id) const {
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

    // In order, `id` first. Below one that `visit` refuses nothing is visited.
    template <typename F> void walk(Id id, F && visit) const {
        std::set<Id> seen;
        walk(id, seen, visit);
    }

    // All below `id` for which `wanted` holds, those inside of one another left out.
    template <typename F> std::vector<Id> outermost(Id id, F && wanted) const {
        std::vector<Id> found;
        walk(id, [&](Id at) {
            if (at != id && wanted(at)) {
                found.push_back(at);
                return false;
            }
            return true;
        });
        return found;
    }

    template <typename F> bool any(Id id, F && wanted) const {
        bool found = false;
        walk(id, [&](Id at) {
            found = found || wanted(at);
            return !found;
        });
        return found;
    }

    // The first literal below `id`.
    std::string text(Id id) const {
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

    // The rule that `id` stands in.
    std::optional<Id> rule_around(Id id) const {
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

    // A parser of any JSON.
    Id any_json() {
        if (!any_json_) {
            const json other = json::parse(build_chat_peg_parser([](Tags & p) { return p.json(); }).save());
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

  private:
    template <typename F> void walk(Id id, std::set<Id> & seen, F && visit) const {
        if (!seen.insert(id).second || !visit(id)) {
            return;
        }
        for (const Id child : children(id)) {
            walk(child, seen, visit);
        }
    }

    // Of what the root leads to: the builder leaves unused sequences behind.
    void find_parents() {
        walk(root(), [&](Id id) {
            for (const Id child : children(id)) {
                parents_.emplace(child, id);
            }
            return true;
        });
    }

    json saved_;
    std::map<Id, Id> parents_; // one each
    std::optional<Id> any_json_;
};

// The texts, longest first: of two that begin alike the longer one is to be found.
std::vector<std::string> longest_first(std::vector<std::string> texts) {
    std::stable_sort(texts.begin(), texts.end(), [](const auto & a, const auto & b) { return a.size() > b.size(); });
    return texts;
}

[[noreturn]] void refuse(const std::string & function, const std::string & rest) {
    throw Error(LA_ERR_UNSUPPORTED,
                "tools: the function " + function +
                    " is strict, but with this chat template its arguments cannot be kept to their schema" + rest,
                "tools");
}

class Enforcer {
  public:
    Enforcer(common_chat_params & params, const std::vector<common_chat_tool> & tools,
             const std::vector<Arguments> & arguments, const std::string & rules)
        : params_(params), tools_(tools), arguments_(arguments), rules_(rules), parsers_(params.parser) {}

    void run() {
        const bool tagged =
            parsers_.any(parsers_.root(), [&](Id at) { return parsers_.is_tag(at, Tags::TOOL_ARG); });
        std::map<std::string, Id> places;
        parsers_.walk(parsers_.root(), [&](Id at) {
            if (parsers_.is_tag(at, Tags::TOOL_NAME)) {
                if (const auto rule = parsers_.rule_around(at)) {
                    places.emplace(parsers_.text(at), *rule);
                }
            }
            return true;
        });
        any_strict_ = std::any_of(arguments_.begin(), arguments_.end(), [](const auto & one) { return one.strict; });
        std::set<std::string> kept;
        for (size_t i = 0; i < tools_.size() && i < arguments_.size(); ++i) {
            const auto place = places.find(tools_[i].name);
            if (place != places.end() && (keep_whole(tools_[i], arguments_[i], place->second) ||
                                          (tagged && rewrite(tools_[i], arguments_[i], place->second)))) {
                kept.insert(tools_[i].name);
            }
        }
        const bool rebuilt = !changed_ || rebuild();
        for (size_t i = 0; i < tools_.size() && i < arguments_.size(); ++i) {
            if (arguments_[i].strict && (!rebuilt || kept.count(tools_[i].name) == 0)) {
                refuse(tools_[i].name, "; leave strict out or pass another chat_template");
            }
        }
    }

  private:
    // Where all arguments of the call are one JSON value.
    bool keep_whole(const common_chat_tool & tool, const Arguments & said, Id place) {
        std::vector<Id> found;
        parsers_.walk(place, [&](Id at) {
            if (parsers_.is(at, "schema") && parsers_.node(at)["name"] == "tool-" + tool.name + "-schema") {
                found.push_back(at);
            }
            return !parsers_.is_tag(at, Tags::TOOL_ARG) && !parsers_.is(at, "gbnf");
        });
        for (const Id at : found) {
            const Id child = parsers_.node(at)["child"].get<Id>();
            parsers_.node(at) = { { "type", "gbnf" }, { "child", child }, { "grammar", k_prefix + said.rule } };
            changed_ = true;
        }
        return !found.empty();
    }

    // Whether each argument obeys, and all that are required are there.
    bool rewrite(const common_chat_tool & tool, const Arguments & said, Id place) {
        const json schema = json::parse(tool.parameters, nullptr, false);
        if (!said.one_by_one || !schema.is_object()) {
            return false;
        }
        std::map<std::string, std::vector<Id>> arguments;
        for (const Id argument : parsers_.outermost(place, [&](Id at) { return parsers_.is_tag(at, Tags::TOOL_ARG); })) {
            for (const Id name : parsers_.outermost(argument, [&](Id at) { return parsers_.is_tag(at, Tags::TOOL_ARG_NAME); })) {
                arguments[parsers_.text(name)].push_back(argument);
                break;
            }
        }
        bool kept = true;
        for (const auto & [name, one] : said.by_name) {
            for (const Id argument : arguments[name]) {
                kept = bind(argument, one) && kept;
            }
        }
        std::vector<std::string> required;
        for (const auto & name : schema.value("required", json::array())) {
            required.push_back(name.get<std::string>());
        }
        const bool there = std::all_of(required.begin(), required.end(), [&](const auto & name) {
            std::map<Id, bool> known;
            return must_have(place, name, known);
        });
        return kept && (there || put_in_order(place, said, required, arguments));
    }

    // Replaces an argument's value by one that obeys its rule.
    bool bind(Id argument, const Argument & said) {
        Id sequence = parsers_.node(argument)["child"].get<Id>();
        size_t index = 0;
        while (true) {
            if (!parsers_.is(sequence, "sequence")) {
                return false;
            }
            const auto parts = parsers_.children(sequence);
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
        const Id value = parsers_.children(sequence)[index];
        if (said.free && !is_raw_json(value)) {
            return true;
        }
        const bool nested = parsers_.any(value, [&](Id at) { return parsers_.is_tag(at, Tags::TOOL_ARG); });
        if (nested && !any_strict_) {
            return false; // its own form is better than none
        }
        std::optional<Id> close;
        parsers_.walk(value, [&](Id at) {
            if (parsers_.is_tag(at, Tags::TOOL_ARG_CLOSE)) {
                close = at;
            }
            return true;
        });
        const std::string end = close ? parsers_.text(*close) : end_of(sequence, index);
        Id replaced = 0;
        const auto texts = longest_first(said.texts);
        if (can_stand(texts, end, value)) {
            std::vector<Id> choice;
            for (const auto & text : texts) {
                choice.push_back(parsers_.add({ { "type", "literal" }, { "literal", text } }));
            }
            const Id any = parsers_.add({ { "type", "choice" }, { "children", choice } });
            replaced = parsers_.add({ { "type", "tag" }, { "child", any }, { "tag", Tags::TOOL_ARG_STRING_VALUE } });
        } else {
            const Id bound = parsers_.add(
                { { "type", "gbnf" }, { "child", parsers_.any_json() }, { "grammar", k_prefix + said.rule } });
            replaced = parsers_.add({ { "type", "tag" }, { "child", bound }, { "tag", Tags::TOOL_ARG_VALUE } });
        }
        if (close) {
            const Id closing = parsers_.add({ { "type", "atomic" }, { "child", *close } });
            replaced = parsers_.add({ { "type", "sequence" }, { "children", { replaced, closing } } });
        }
        parsers_.node(sequence)["children"][index] = replaced;
        changed_ = true;
        return true;
    }

    bool has_value(Id id) const {
        return parsers_.any(id, [&](Id at) {
            return parsers_.is_tag(at, Tags::TOOL_ARG_VALUE) || parsers_.is_tag(at, Tags::TOOL_ARG_STRING_VALUE);
        });
    }

    bool has_name(Id id) const {
        bool found = false;
        parsers_.walk(id, [&](Id at) {
            found = found || parsers_.is_tag(at, Tags::TOOL_ARG_NAME);
            return !parsers_.is_tag(at, Tags::TOOL_ARG);
        });
        return found;
    }

    // Whatever stands there is taken for JSON, or quoted otherwise.
    bool is_raw_json(Id value) const {
        return parsers_.any(value, [&](Id at) { return parsers_.is_tag(at, Tags::TOOL_ARG_VALUE); }) &&
               !parsers_.any(value, [&](Id at) { return parsers_.is_tag(at, Tags::TOOL_ARG_STRING_VALUE); });
    }

    std::string end_of(Id sequence, size_t index) const {
        const auto parts = parsers_.children(sequence);
        return index + 1 < parts.size() ? parsers_.text(parts[index + 1]) : "";
    }

    // Whether such texts can stand without quotes.
    bool can_stand(const std::vector<std::string> & texts, const std::string & end, Id value) const {
        return !texts.empty() && !end.empty() &&
               parsers_.any(value, [&](Id at) { return parsers_.is_tag(at, Tags::TOOL_ARG_STRING_VALUE); }) &&
               std::none_of(texts.begin(), texts.end(), [&](const std::string & text) {
                   return text.empty() || text.front() == '<' || (text + end).find(end) != text.size();
               });
    }

    // Whether no call comes without the argument.
    bool must_have(Id id, const std::string & name, std::map<Id, bool> & known) const {
        const auto found = known.find(id);
        if (found != known.end()) {
            return found->second;
        }
        known[id] = false;
        const auto has = [&](Id child) { return must_have(child, name, known); };
        const auto children = parsers_.children(id);
        bool must = false;
        if (parsers_.is_tag(id, Tags::TOOL_ARG)) {
            parsers_.walk(id, [&](Id at) {
                if (parsers_.is_tag(at, Tags::TOOL_ARG_NAME)) {
                    must = must || parsers_.text(at) == name;
                }
                return at == id || !parsers_.is_tag(at, Tags::TOOL_ARG);
            });
        } else if (parsers_.is(id, "choice")) {
            must = !children.empty() && std::all_of(children.begin(), children.end(), has);
        } else if (parsers_.is(id, "repetition")) {
            must = parsers_.node(id)["min_count"].get<int>() > 0 && std::any_of(children.begin(), children.end(), has);
        } else if (!parsers_.is(id, "and") && !parsers_.is(id, "not") && !parsers_.is(id, "gbnf") &&
                   !parsers_.is(id, "ac")) {
            must = std::any_of(children.begin(), children.end(), has);
        }
        return known[id] = must;
    }

    // Where arguments may come in any number: those that are required, then the others, each once.
    bool put_in_order(Id place, const Arguments & said, const std::vector<std::string> & required,
                      const std::map<std::string, std::vector<Id>> & arguments) {
        const auto lists = parsers_.outermost(place, [&](Id at) { return parsers_.is_tag(at, Tags::TOOL_ARGS); });
        if (lists.size() != 1) {
            return false;
        }
        bool comma = false;
        bool spaced = false;
        parsers_.walk(lists[0], [&](Id at) {
            comma = comma || (parsers_.is(at, "literal") && parsers_.node(at)["literal"] == ",");
            spaced = spaced || parsers_.is(at, "space");
            return !parsers_.is_tag(at, Tags::TOOL_ARG);
        });
        const auto between = [&](std::vector<Id> & sequence) {
            if (comma) {
                sequence.push_back(parsers_.add({ { "type", "literal" }, { "literal", "," } }));
            }
            if (spaced) {
                sequence.push_back(parsers_.add({ { "type", "space" } }));
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
            const Id whole = parsers_.add({ { "type", "sequence" }, { "children", one } });
            sequence.push_back(parsers_.add(
                { { "type", "repetition" }, { "child", whole }, { "min_count", 0 }, { "max_count", 1 } }));
        }
        if (spaced && !comma) {
            sequence.push_back(parsers_.add({ { "type", "space" } }));
        }
        parsers_.node(lists[0])["child"] = parsers_.add({ { "type", "sequence" }, { "children", sequence } });
        changed_ = true;
        return true;
    }

    // The grammar anew. Of a saved parser upstream has lost the schemas: there must be none left but ours.
    bool rebuild() {
        bool lost = false;
        parsers_.walk(parsers_.root(), [&](Id at) {
            lost = lost || parsers_.is(at, "schema");
            return !parsers_.is(at, "gbnf");
        });
        if (lost) {
            return false;
        }
        params_.grammar = build_grammar([&](const common_grammar_builder & builder) {
            common_peg_arena arena;
            arena.load(parsers_.save());
            arena.build_grammar(builder, params_.grammar_lazy);
        });
        params_.grammar += with_prefix(rules_, k_prefix);
        params_.parser = parsers_.save();
        return true;
    }

    common_chat_params & params_;
    const std::vector<common_chat_tool> & tools_;
    const std::vector<Arguments> & arguments_;
    const std::string & rules_;
    Parsers parsers_;
    bool any_strict_ = false;
    bool changed_ = false;
};

} // namespace

void enforce_arguments(common_chat_params & params, const std::vector<common_chat_tool> & tools,
                       const std::vector<Arguments> & arguments, const std::string & rules) {
    if (params.parser.empty() || tools.empty()) {
        return;
    }
    if (!params.grammar.empty()) {
        Enforcer(params, tools, arguments, rules).run();
        return;
    }
    // Calls that nothing announces cannot be constrained where they are free to come.
    for (size_t i = 0; i < tools.size() && i < arguments.size(); ++i) {
        if (arguments[i].strict) {
            refuse(tools[i].name, " unless tool_choice is required; choose so, or leave strict out");
        }
    }
}

} // namespace la
