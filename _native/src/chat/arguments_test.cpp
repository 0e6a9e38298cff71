// What each template's grammar lets a model write as a strict function's arguments: it is read as JSON of the schema.
#include "chat/arguments.h"

#include "base/error.h"
#include "chat/schema.h"
#include "testing/answers.h"
#include "testing/arguments.h"
#include "testing/check.h"
#include "testing/grammar_texts.h"
#include "testing/templates.h"

#include "json.h"

#include <set>
#include <string>
#include <vector>

using namespace la;
using la::testing::Read;
using json = common_json;

namespace {

// `plain`: no type is a list or elsewhere, which some templates fail on.
const std::vector<common_chat_tool> & functions(bool plain = false) {
    static const std::vector<common_chat_tool> all = { { "pick", "Pick one", R"({"type": "object", "properties": {
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit", "cel", "<b> \"q\""]},
        "code": {"type": "string", "minLength": 2, "maxLength": 4},
        "kind": {"type": "string", "const": "a b"},
        "n": {"type": "integer", "minimum": 3, "maximum": 12},
        "note": {"type": "string"},
        "mixed": {"type": ["string", "integer"], "enum": ["x", "7", 7]},
        "more": {"$ref": "#/$defs/d1"},
        "list": {"type": "array", "items": {"type": "string", "enum": ["u", "v"]}, "minItems": 1, "maxItems": 2}},
        "required": ["unit", "code", "kind", "n", "note", "more", "list"], "additionalProperties": false,
        "$defs": {"d1": {"type": "object", "properties": {"level": {"type": ["integer", "string"], "enum": [1, 2, "high"]}}, "required": ["level"],
        "additionalProperties": false}}})" } };
    static const std::vector<common_chat_tool> all_plain = [] {
        auto tools = all;
        const auto replace = [&](const std::string & from, const std::string & to) {
            auto & text = tools[0].parameters;
            text.replace(text.find(from), from.size(), to);
        };
        replace(R"("type": ["string", "integer"], "enum": ["x", "7", 7])", R"("type": "string", "enum": ["x", "7"])");
        replace(R"("$ref": "#/$defs/d1")",
                R"("type": "object", "properties": {"level": {"type": "string", "enum": ["high"]}}, "required": ["level"])");
        return tools;
    }();
    return plain ? all_plain : all;
}

size_t n_characters(const std::string & text) {
    size_t n = 0;
    for (const char c : text) {
        n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }
    return n;
}

bool is_one_of(const json & value, const std::vector<json> & all) {
    return std::find(all.begin(), all.end(), value) != all.end();
}

// Whether `text` is a value of the schema above.
bool matches(const std::string & text) {
    try {
        const json all = json::parse(text);
        std::set<std::string> names;
        for (const auto & item : all.items()) {
            names.insert(item.key());
        }
        const bool mixed = names.erase("mixed") > 0;
        if (names != std::set<std::string>{ "unit", "code", "kind", "n", "note", "more", "list" }) {
            return false;
        }
        const auto n_code = n_characters(all.at("code").get<std::string>());
        const int n = all.at("n").get<int>();
        const json list = all.at("list");
        bool right = is_one_of(all.at("unit"), { "celsius", "fahrenheit", "cel", "<b> \"q\"" }) && n_code >= 2 && n_code <= 4 &&
                     all.at("kind") == "a b" && n >= 3 && n <= 12 && all.at("note").is_string() && list.is_array() &&
                     list.size() >= 1 && list.size() <= 2 && all.at("more").size() == 1 &&
                     is_one_of(all.at("more").at("level"), { 1, 2, "high" });
        for (const auto & item : list) {
            right = right && is_one_of(item, { "u", "v" });
        }
        return right && (!mixed || is_one_of(all.at("mixed"), { "x", "7", 7 }));
    } catch (const std::exception &) {
        return false;
    }
}

common_chat_templates_inputs inputs_for(common_chat_tool_choice choice, bool plain) {
    common_chat_msg user;
    user.role = "user";
    user.content = "Pick.";
    common_chat_templates_inputs inputs;
    inputs.messages = { user };
    inputs.tools = functions(plain);
    inputs.tool_choice = choice;
    inputs.parallel_tool_calls = false;
    inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    return inputs;
}

// Templates of which a strict function is refused, with the reason.
const std::set<std::string> k_refused = {
    // Arguments in a notation of its own, which upstream's grammar leaves free.
    "google-gemma-4-31B-it-interleaved",
    "google-gemma-4-31B-it",
};
// Calls that nothing announces.
const std::set<std::string> k_bare = {
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
};

// Templates that fail on a schema whose type is a list, or a reference.
const std::set<std::string> k_plain = {
    "ByteDance-Seed-OSS",
    "GigaChat3-10B-A1.8B",
    "GigaChat3.1-10B-A1.8B",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
};

// Upstream finds no parser for it once a schema nests.
const char * const k_unreadable = "CohereForAI-c4ai-command-r-plus-tool_use";

bool apply(const la::testing::Template & tmpl, common_chat_tool_choice choice, bool plain, common_chat_params & params) {
    try {
        params = common_chat_templates_apply(tmpl.chat->compiled.get(), inputs_for(choice, plain));
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

} // namespace

TEST(strict_arguments_match_their_schema_or_are_refused) {
    size_t n_kept = 0;
    size_t n_rewritten = 0;
    size_t n_texts = 0;
    size_t n_unread = 0; // free text before the call spelled a mark of the format by chance: raw, then
    for (const auto & tmpl : la::testing::calling_templates()) {
        for (const auto choice : { COMMON_CHAT_TOOL_CHOICE_AUTO, COMMON_CHAT_TOOL_CHOICE_REQUIRED }) {
            const bool required = choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED;
            common_chat_params params;
            const bool plain = k_plain.count(tmpl.name) > 0;
            const bool readable = apply(tmpl, choice, true, params);
            CHECK(readable == (tmpl.name != k_unreadable));
            if (!readable) {
                continue;
            }
            CHECK(apply(tmpl, choice, false, params) == !plain);
            bool refused = false;
            try {
                std::string rules;
                const auto arguments = la::testing::arguments_of(functions(plain)[0], true, rules);
                enforce_arguments(params, functions(plain), { arguments }, rules);
            } catch (const Error & error) {
                CHECK(error.status == LA_ERR_UNSUPPORTED && error.param == "tools");
                CHECK(std::string(error.what()).find("pick") != std::string::npos);
                refused = true;
            }
            const bool listed = k_refused.count(tmpl.name) > 0;
            CHECK(refused == listed);
            if (refused != listed) {
                std::printf("  %s\n", tmpl.name.c_str());
            }
            if (refused || !required) {
                continue;
            }
            ++n_kept;
            n_rewritten += params.grammar.find("arguments-one") != std::string::npos;
            const auto format = la::testing::calling_format(params, "");
            la::testing::GrammarTexts texts(tighten_json_rules(params.grammar), 7);
            for (int i = 0; i < 60; ++i) {
                const std::string text = texts.next();
                const Read read = la::testing::read(format, text, {});
                ++n_texts;
                if (read.calls.empty()) {
                    ++n_unread;
                    CHECK(!read.content.empty() || !read.reasoning.empty());
                    continue;
                }
                const bool right = read.calls.size() == 1 && read.calls[0].name == "pick" && matches(read.calls[0].arguments);
                CHECK(right);
                if (!right) {
                    std::printf("  %s: %s\n", tmpl.name.c_str(), text.c_str());
                    for (const auto & call : read.calls) {
                        std::printf("  call %s <%s>\n", call.name.c_str(), call.arguments.c_str());
                    }
                    break;
                }
                const auto ends = la::testing::character_ends(text);
                CHECK(la::testing::read(format, text, ends) == read);
            }
        }
    }
    std::printf("%zu templates keep to it, %zu of them rewritten; %zu texts of their grammars, %zu not read as calls\n",
                n_kept, n_rewritten, n_texts, n_unread);
    CHECK(n_unread * 50 < n_texts);
    CHECK(n_kept + k_refused.size() + 1 == la::testing::calling_templates().size());
}

// Text is free up to where a call of a known function begins; other braces are text.
TEST(calls_that_nothing_announces_are_kept_to_a_schema_where_they_may_come) {
    const std::string call = R"("pick", "parameters": {"unit": "cel", "code": "ab", "kind": "a b", "n": 3, "note": "", )"
                             R"("more": {"level": 1}, "list": ["u"]}})";
    size_t n_seen = 0;
    for (const auto & tmpl : la::testing::calling_templates()) {
        if (k_bare.count(tmpl.name) == 0) {
            continue;
        }
        ++n_seen;
        common_chat_params params;
        CHECK(apply(tmpl, COMMON_CHAT_TOOL_CHOICE_AUTO, false, params));
        CHECK(params.grammar.empty());
        std::string rules;
        auto loose = params;
        enforce_arguments(loose, functions(), { la::testing::arguments_of(functions()[0], false, rules) }, rules);
        CHECK(loose.grammar.empty() && loose.parser == params.parser);

        std::string strict_rules;
        const auto strict = la::testing::arguments_of(functions()[0], true, strict_rules);
        enforce_arguments(params, functions(), { strict }, strict_rules);
        CHECK(!params.grammar.empty() && !params.grammar_lazy);
        const auto format = la::testing::calling_format(params, params.generation_prompt);
        const std::string grammar = tighten_json_rules(params.grammar);
        for (const char * begun : { "{\"name\": ", "{\"type\": \"function\", \"name\": " }) {
            for (const char * before : { "", "I pick {\"a\": 1}: " }) {
                const std::string text = before + (begun + call);
                CHECK(la::testing::is_text_of(grammar, params.generation_prompt + text));
                for (const auto & cuts : { std::vector<size_t>(), la::testing::character_ends(text) }) {
                    const Read read = la::testing::read(format, text, cuts);
                    CHECK(read.content == before && read.calls.size() == 1 && read.ordered);
                    if (read.calls.empty()) {
                        continue;
                    }
                    CHECK(read.calls[0].name == "pick" && matches(read.calls[0].arguments));
                }
            }
        }
        for (const char * text : { "", "Hello.", "{\"name\": \"other\", \"parameters\": {}} is one", "{ \"a\": {}, \"b" }) {
            CHECK(la::testing::is_text_of(grammar, params.generation_prompt + text));
            const Read read = la::testing::read(format, text, la::testing::character_ends(text));
            CHECK(read.content == text && read.calls.empty());
        }
        for (const char * rest : { "", ", \"parameters\": {}}", ", \"parameters\": {\"unit\": \"kelvin\"}}" }) {
            CHECK(!la::testing::is_text_of(grammar, params.generation_prompt + "{\"name\": \"pick\"" + rest));
        }
        la::testing::GrammarTexts texts(grammar, 7);
        for (int i = 0; i < 60; ++i) {
            const std::string text = texts.next().substr(params.generation_prompt.size());
            const Read read = la::testing::read(format, text, {});
            // White space around a text is left out, and half a mark at its very end.
            const size_t at = text.find(read.content);
            const bool whole = at != std::string::npos && text.find_first_not_of(" \t\r\n") >= at &&
                               text.find_first_not_of(" \t\r\n{\"", at + read.content.size()) == std::string::npos;
            const bool right = read.calls.empty() ? whole : matches(read.calls[0].arguments);
            CHECK(right);
            if (!right) {
                std::printf("  <%s> <%s>\n", text.c_str(), read.content.c_str());
            }
        }
    }
    CHECK(n_seen == k_bare.size());
}

TEST_MAIN
