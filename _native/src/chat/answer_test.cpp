#include "chat/answer.h"

#include "log/log_ring.h"
#include "testing/answers.h"
#include "testing/check.h"
#include "testing/templates.h"

#include "chat-peg-parser.h"

#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace la;
using la::testing::Read;
using la::testing::read;
using la::testing::take;

namespace {

// Thinking, text and calls as templates of Hermes' kind have them.
AnswerFormatPtr hermes(const std::string & generation_prompt = {}) {
    install_log(); // upstream warns of each text that does not parse
    const auto tools = common_json::parse(R"([{"type": "function", "function": {"name": "get", "parameters":
        {"type": "object", "properties": {"a": {"type": "string"}}}}}, {"type": "function", "function": {"name":
        "get_more", "parameters": {"type": "object", "properties": {"b": {"type": "array"}}}}}])");
    const auto arena = build_chat_peg_parser([&](common_chat_peg_builder & p) {
        auto call = p.standard_json_tools("<tool_call>", "</tool_call>", tools, false, true, "name", "arguments");
        return p.prefix(generation_prompt, "<think>") +
               p.optional(p.literal("<think>") + p.reasoning(p.until("</think>")) + p.literal("</think>")) +
               p.content(p.until("<tool_call>")) + p.optional(p.one_or_more(call + p.space())) + p.end();
    });
    auto format = std::make_shared<AnswerFormat>();
    format->parser.format = COMMON_CHAT_FORMAT_PEG_NATIVE;
    format->parser.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    format->parser.generation_prompt = generation_prompt;
    format->parser.parser.load(arena.save());
    format->calls = true;
    return format;
}

constexpr const char * k_arguments_begin = "<tool_call>{\"name\": \"get\", \"arguments\": {\"a\": \"";

const char * const k_answers[] = {
    "Just text, with a < and a <tool and {\"braces\": [1]}.",
    "<think>First I think\nabout <it>.</think>Then I say it.",
    "<think>Only thought, cut short by the limit",
    "<tool_call>{\"name\": \"get\", \"arguments\": {\"a\": \"x \\\"y\\\" }{ \"}}</tool_call>",
    "I call.\n<tool_call>{\"name\": \"get_more\", \"arguments\": {\"b\": [1, {\"c\": null}]}}</tool_call>\n"
    "<tool_call>{\"name\": \"get\", \"arguments\": {}}</tool_call>",
    "<think>Both?</think>Yes.<tool_call>{\"name\": \"get\", \"arguments\": {\"a\": \"\xC3\xA9\xE2\x82\xAC\"}}</tool_call>",
    "<tool_call>{\"name\": \"get\", \"arguments\": {\"a\": \"cut sho",
    "",
};

} // namespace

TEST(every_split_reads_as_the_whole) {
    const auto format = hermes();
    for (const std::string text : k_answers) {
        const Read whole = read(format, text, {});
        CHECK(whole.ordered);
        for (size_t cut = 0; cut <= text.size(); ++cut) {
            const Read split = read(format, text, { cut });
            CHECK(split == whole);
            CHECK(split.ordered);
        }
        std::vector<size_t> all;
        for (size_t cut = 1; cut < text.size(); ++cut) {
            all.push_back(cut);
        }
        CHECK(read(format, text, all) == whole);
    }
}

TEST(the_parts_are_told_apart) {
    const Read call = read(hermes(), k_answers[5], {});
    CHECK(call.reasoning == "Both?");
    CHECK(call.content == "Yes.");
    CHECK(call.calls.size() == 1 && call.calls[0].name == "get" && call.calls[0].id == "id0");
    CHECK(common_json::parse(call.calls[0].arguments) == common_json::parse("{\"a\": \"\xC3\xA9\xE2\x82\xAC\"}"));
    const Read calls = read(hermes(), k_answers[4], {});
    CHECK(calls.calls.size() == 2 && calls.calls[0].name == "get_more" && calls.calls[1].name == "get");
}

TEST(text_that_does_not_parse_is_not_lost) {
    const auto format = hermes();
    for (const std::string text : { "<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
                                    "<tool_call>no JSON at all</tool_call> and more",
                                    "Before <tool_call>{\"name\": 7}", "<think>a</think>b<tool_call>]" }) {
        for (size_t cut = 0; cut <= text.size(); ++cut) {
            const Read split = read(format, text, { cut });
            CHECK(split.calls.empty());
            // Every word is somewhere; the marks around what was read before the fault may be gone.
            CHECK(text.find(split.content.substr(split.content.find_first_not_of('b'))) != std::string::npos ||
                  split.content.empty());
            CHECK(split.content.size() + split.reasoning.size() + 15 >= text.size());
        }
    }
    const std::string raw = "<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>";
    CHECK(read(format, raw, {}).content == raw);
}

TEST(a_call_cut_short_before_its_name_is_shown) {
    const std::string text = "<tool_call>{\"name\": \"get_mo";
    CHECK(read(hermes(), text, {}).content == text);
    CHECK(read(hermes(), " \n", {}).content.size() <= 2);
}

TEST(deep_nesting_is_given_up_before_the_stack_is) {
    std::string text = "<tool_call>{\"name\": \"get_more\", \"arguments\": {\"b\": " + std::string(500000, '[');
    const Read deep = read(hermes(), text, {});
    CHECK(deep.content == text);
}

TEST(arguments_cut_anywhere_read_alike_in_pieces) {
    const auto format = hermes();
    const std::string text = std::string("I call. ") + k_arguments_begin +
        "x \\\"y\\\" \\u00e9\\ud83d\\ude00 \xC3\xA9 <tool_ca {[\", \"n\" : -12.5e+3, \"l\":[ ], \"m\": {\"o\": {}, \"t\": [true, null,\n"
        "    {\"u\": \"\"}]},   \"b\": false  } }\n</tool_call>\n<tool_call>{\"name\": \"get_more\", \"arguments\": {\"b\": [\"abcdefghijkl\", 1]}}"
        "</tool_call>";
    for (size_t n = 1; n <= text.size(); ++n) {
        const std::string cut = text.substr(0, n);
        if (n < text.size() && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) {
            continue; // within a character
        }
        const Read whole = read(format, cut, {});
        const Read split = read(format, cut, la::testing::character_ends(cut));
        CHECK(split == whole);
        CHECK(split.ordered);
        if (!(split == whole)) {
            std::printf("  ... %s\n", cut.substr(cut.size() - std::min<size_t>(cut.size(), 30)).c_str());
        }
    }
}

TEST(arguments_that_break_off_are_not_lost) {
    const auto format = hermes();
    const std::string begin = std::string(k_arguments_begin) + "as long as it has to be";
    for (const std::string wrong : { "\", \"b\" 7}}</tool_call>", "\\x\"}}</tool_call>", "\"]}</tool_call>", "\"} and more", "\n\"}}</tool_call>" }) {
        const std::string text = begin + wrong;
        const Read split = read(format, text, la::testing::character_ends(text));
        std::string said = split.content;
        for (const auto & call : split.calls) {
            said += call.arguments;
        }
        for (const std::string word : { "as long as it has to be", "</tool_call>", "and more" }) {
            CHECK(text.find(word) == std::string::npos || word[0] == '<' || said.find(word) != std::string::npos);
        }
    }
}

TEST(a_prompt_that_opens_the_thinking_is_continued) {
    const auto format = hermes("<|im_start|>assistant\n<think>");
    const Read thought = read(format, "hm</think>yes", { 1, 4 });
    CHECK(thought.reasoning == "hm");
    CHECK(thought.content == "yes");
}

TEST(tokens_of_the_thinking_are_counted) {
    const std::string text = "<think>ab</think>yes";
    std::vector<size_t> characters;
    for (size_t i = 1; i < text.size(); ++i) {
        characters.push_back(i);
    }
    CHECK(read(hermes(), text, characters).n_reasoning == 9);
    CHECK(read(hermes(), "yes", { 1 }).n_reasoning == 0);
}

TEST(parts_join_where_they_belong_together) {
    std::vector<AnswerPart> parts;
    append_part(parts, { AnswerPart::content, "a", 0, {}, {} });
    append_part(parts, { AnswerPart::content, "b", 0, {}, {} });
    append_part(parts, { AnswerPart::call, {}, 0, "i", "n" });
    append_part(parts, { AnswerPart::call, "{", 0, {}, {} });
    append_part(parts, { AnswerPart::call, "}", 0, {}, {} });
    append_part(parts, { AnswerPart::call, {}, 1, "j", "n" });
    CHECK(parts.size() == 3);
    CHECK(parts[0].text == "ab" && parts[1].text == "{}" && parts[1].id == "i" && parts[2].index == 1);
}

// What a token of free text costs, the last reading included; 0 where the format has no text that stands alone.
static double reading_us(const AnswerFormatPtr & format, const std::string & start, int n_tokens, const char * stop) {
    std::mt19937 random(1);
    AnswerParser parser(format);
    std::vector<AnswerPart> parts;
    parser.push(start);
    const double before = la::testing::cpu_s();
    for (int i = 0; i < n_tokens; ++i) {
        std::string text = " ";
        for (int j = 0; j < 4; ++j) {
            text += static_cast<char>('a' + random() % 26);
        }
        text += random() % 30 == 0 ? stop : "";
        parser.push(text);
        parser.update(false, parts);
    }
    const bool held_back = parts.empty();
    parser.update(true, parts);
    return held_back ? 0 : 1e6 * (la::testing::cpu_s() - before) / n_tokens;
}

static bool costs_as_much_late(const AnswerFormatPtr & format, const std::string & start, int & n_read,
                               const char * stop = ".\n") {
    double early = 0;
    for (int i = 0; i < 10; ++i) {
        early += reading_us(format, start, 100, stop) / 10;
    }
    const double late = reading_us(format, start, 8000, stop);
    if (late > 0 && late >= 2 * early) {
        std::printf("    %.2f us a token of 100, %.2f of 8,000\n", early, late);
    }
    n_read += late > 0 ? 1 : 0;
    return late == 0 || late < 2 * early;
}

TEST(reading_costs_as_much_late_as_early) {
    int n_read = 0;
    CHECK(costs_as_much_late(hermes(), "", n_read));
    CHECK(costs_as_much_late(hermes(), "<think>", n_read));
    CHECK(costs_as_much_late(hermes(), k_arguments_begin, n_read, "\\u00e9\\n"));
    CHECK(n_read == 3);
}

TEST(reading_costs_as_much_late_as_early_with_all_templates) {
    const auto templates = la::testing::upstream_templates();
    if (templates.empty()) {
        std::printf("    skipped: LA_UPSTREAM_DIR is not set\n");
        return;
    }
    install_log();
    int n_read = 0;
    for (const auto & [name, source] : templates) {
        for (const bool tools : { false, true }) {
            common_chat_templates_inputs inputs;
            inputs.messages.push_back({});
            inputs.messages.back().role = "user";
            inputs.messages.back().content = "Hello";
            inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
            if (tools) {
                inputs.tools.push_back({ "get", "Gets.", R"({"type": "object", "properties": {"a": {"type": "string"}}})" });
            }
            const auto params = common_chat_templates_apply(common_chat_templates_init(nullptr, source).get(), inputs);
            auto format = std::make_shared<AnswerFormat>();
            format->parser = common_chat_parser_params(params);
            format->parser.reasoning_format = inputs.reasoning_format;
            format->parser.parse_tool_calls = format->calls = tools;
            if (!params.parser.empty()) {
                format->parser.parser.load(params.parser);
            }
            const bool ok = costs_as_much_late(format, "", n_read);
            if (!ok) {
                std::printf("%s%s\n", name.c_str(), tools ? ", with tools" : "");
            }
            CHECK(ok);
        }
    }
    std::printf("    %d of %zu formats\n", n_read, 2 * templates.size());
    CHECK(n_read > 100);
}

TEST_MAIN
