#include "chat/arguments.h"

#include "base/error.h"
#include "chat/argument_order.h"
#include "chat/argument_values.h"
#include "chat/recipients.h"
#include "chat/saved_parser.h"
#include "chat/schema.h"

#include "chat-peg-parser.h"
#include "json-schema-to-grammar.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace la {

using json = nlohmann::ordered_json;
using Tags = common_chat_peg_builder;
using Id = SavedParser::Id;

namespace {

[[noreturn]] void refuse(const std::string & function, const std::string & rest) {
    throw Error(LA_ERR_UNSUPPORTED,
                "tools: the function " + function +
                    " is strict, but with this chat template its arguments cannot be kept to their schema" + rest,
                "tools");
}

class Enforcer {
  public:
    Enforcer(common_chat_params & params, const std::vector<common_chat_tool> & tools,
             const std::vector<Arguments> & arguments, const std::string & rules, bool strict)
        : params_(params),
          tools_(tools),
          arguments_(arguments),
          rules_(rules),
          parser_(params.parser),
          values_(parser_, strict) {}

    void run() {
        if (params_.grammar.empty() && !look_for_calls()) {
            refuse_strict({}, " unless tool_choice is required; choose so, or leave strict out");
            return;
        }
        const bool tagged = parser_.any(parser_.root(), [&](Id at) { return parser_.is_tag(at, Tags::TOOL_ARG); });
        std::map<std::string, Id> places;
        parser_.walk(parser_.root(), [&](Id at) {
            if (parser_.is_tag(at, Tags::TOOL_NAME)) {
                if (const auto rule = parser_.rule_around(at)) {
                    places.emplace(parser_.text(at), *rule);
                }
            }
            return true;
        });
        std::set<std::string> kept;
        for (size_t i = 0; i < tools_.size() && i < arguments_.size(); ++i) {
            const auto place = places.find(tools_[i].name);
            if (place != places.end() && (keep_whole(tools_[i], arguments_[i], place->second) ||
                                          (tagged && rewrite(tools_[i], arguments_[i], place->second)))) {
                kept.insert(tools_[i].name);
            }
        }
        if ((changed_ || values_.changed()) && !rebuild()) {
            kept.clear();
        }
        refuse_strict(kept, "; leave strict out or pass another chat_template");
    }

  private:
    // All that are strict but for those that are kept to.
    void refuse_strict(const std::set<std::string> & kept, const std::string & rest) const {
        for (size_t i = 0; i < tools_.size() && i < arguments_.size(); ++i) {
            if (arguments_[i].strict && kept.count(tools_[i].name) == 0) {
                refuse(tools_[i].name, rest);
            }
        }
    }

    // Where nothing announces calls (Llama 3.x), upstream reads free text up to the first brace and has no grammar. Here the
    // text ends where a call of one of the tools begins, so the whole answer can have one, which is no lazy one.
    bool look_for_calls() {
        const auto marks = bare_call_marks(tools_);
        bool found = false;
        parser_.walk(parser_.root(), [&](Id at) {
            if (parser_.is(at, "until") && parser_.node(at)["delimiters"] == json::array({ "{" })) {
                parser_.node(at)["delimiters"] = marks;
                found = true;
            }
            return true;
        });
        params_.grammar_lazy = false;
        changed_ = changed_ || found;
        return found;
    }

    // Where all arguments of the call are one JSON value.
    bool keep_whole(const common_chat_tool & tool, const Arguments & said, Id place) {
        std::vector<Id> found;
        parser_.walk(place, [&](Id at) {
            if (parser_.is(at, "schema") && parser_.node(at)["name"] == "tool-" + tool.name + "-schema") {
                found.push_back(at);
            }
            return !parser_.is_tag(at, Tags::TOOL_ARG) && !parser_.is(at, "gbnf");
        });
        for (const Id at : found) {
            const Id child = parser_.node(at)["child"].get<Id>();
            parser_.node(at) = { { "type", "gbnf" }, { "child", child }, { "grammar", k_rule_prefix + said.rule } };
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
        ArgumentParsers arguments;
        for (const Id argument : parser_.outermost(place, [&](Id at) { return parser_.is_tag(at, Tags::TOOL_ARG); })) {
            for (const Id name : parser_.outermost(argument, [&](Id at) { return parser_.is_tag(at, Tags::TOOL_ARG_NAME); })) {
                arguments[parser_.text(name)].push_back(argument);
                break;
            }
        }
        bool kept = true;
        for (const auto & [name, one] : said.by_name) {
            for (const Id argument : arguments[name]) {
                kept = values_.bind(argument, one) && kept;
            }
        }
        std::vector<std::string> required;
        for (const auto & name : schema.value("required", json::array())) {
            required.push_back(name.get<std::string>());
        }
        const bool there = std::all_of(required.begin(), required.end(), [&](const auto & name) {
            return must_have(parser_, place, name);
        });
        if (!kept || there) {
            return kept;
        }
        const bool ordered = put_in_order(parser_, place, said, required, arguments);
        changed_ = changed_ || ordered;
        return ordered;
    }

    // The grammar anew. Of a saved parser upstream has lost the schemas: there must be none left but ours.
    bool rebuild() {
        bool lost = false;
        parser_.walk(parser_.root(), [&](Id at) {
            lost = lost || parser_.is(at, "schema");
            return !parser_.is(at, "gbnf");
        });
        if (lost) {
            return false;
        }
        params_.grammar = build_grammar([&](const common_grammar_builder & builder) {
            common_peg_arena arena;
            arena.load(parser_.save());
            arena.build_grammar(builder, params_.grammar_lazy);
        });
        params_.grammar += with_prefix(rules_, k_rule_prefix);
        params_.parser = parser_.save();
        return true;
    }

    common_chat_params & params_;
    const std::vector<common_chat_tool> & tools_;
    const std::vector<Arguments> & arguments_;
    const std::string & rules_;
    SavedParser parser_;
    ArgumentValues values_;
    bool changed_ = false; // but for values
};

} // namespace

void enforce_arguments(common_chat_params & params, const std::vector<common_chat_tool> & tools,
                       const std::vector<Arguments> & arguments, const std::string & rules) {
    const bool strict = std::any_of(arguments.begin(), arguments.end(), [](const auto & one) { return one.strict; });
    // Without a grammar, nothing announces calls: that is left so unless something has to be kept to.
    if (!params.parser.empty() && !tools.empty() && (strict || !params.grammar.empty())) {
        Enforcer(params, tools, arguments, rules, strict).run();
    }
}

} // namespace la
