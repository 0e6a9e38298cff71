#include "targets.h"

#include "base/asserts.h"
#include "base/error.h"
#include "chat/answer.h"
#include "chat/render.h"
#include "chat/schema.h"
#include "chat/template_budget.h"
#include "log/log_ring.h"
#include "model/model.h"
#include "sampling/grammar_cache.h"
#include "sampling/grammar_limits.h"
#include "sampling/trigger.h"

#include "json-schema-to-grammar.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

namespace la::fuzz {

namespace {

constexpr uint64_t k_work = 2'000'000; // of a template: more inputs instead of longer ones

[[noreturn]] void fail(const char * what) {
    std::fprintf(stderr, "finding: %s\n", what);
    std::abort();
}

std::string read(const std::filesystem::path & path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::shared_ptr<Model> load(const std::string & path, const std::string & chat_template) {
    la_engine_params params;
    la_engine_params_init(&params);
    params.model_path = { path.data(), path.size() };
    params.chat_template = { chat_template.data(), chat_template.size() };
    return Model::load(EngineConfig(params), [](float) { return true; });
}

const char * const k_tools =
    R"([{"type":"function","function":{"name":"get","description":"Gets.","parameters":{"type":"object","properties":)"
    R"({"a":{"type":"string"},"b":{"type":"array","items":{"type":"integer"}}},"required":["a"]}}},)"
    R"({"type":"function","function":{"name":"get_more","parameters":{"type":"object","properties":{}}}}])";

// What Python makes of those: each function's arguments by rules of a grammar, the first one's kept to strictly.
const char * const k_arguments =
    R"(,"tool_arguments":[{"rule":"f0","strict":true,"outline":{"type":"object","properties":{"a":{"type":"string"},)"
    R"("b":{"type":"array","items":{}}},"required":["a"]},"by_name":{"a":{"rule":"a0","free":false,"texts":["x","y z"]},)"
    R"("b":{"rule":"b0","free":false,"texts":[]}}},{"rule":"f1","strict":false,"outline":{"type":"object","properties":{}},)"
    R"("by_name":{}}],"tool_rules":"f0 ::= \"{\\\"a\\\":\" a0 (\",\\\"b\\\":\" b0)? \"}\"\na0 ::= \"\\\"x\\\"\" | )"
    R"(\"\\\"y z\\\"\"\nb0 ::= \"[\" [0-9]{0,3} \"]\"\nf1 ::= \"{}\"\n")";

std::string chat(const std::string & content, const std::string & more) {
    return R"({"messages":[{"role":"user","content":")" + content + R"("}])" + more + "}";
}

// Compiles a grammar and goes a few tokens along it. Throws Error.
void follow(const Model & model, const std::string & grammar) {
    check_grammar_limits(grammar);
    GrammarCache cache;
    Matcher matcher(cache.get(model.vocab(), grammar), {});
    for (int i = 0; i < 8; ++i) {
        llama_token next = -1;
        size_t n = 0;
        const auto & admitted = matcher.admitted();
        admitted.each([&](llama_token token) { next = n++ * 3 <= admitted.size() ? token : next; }); // one from the middle
        if (next < 0) {
            return; // nothing can follow
        }
        if (!matcher.admits(next)) {
            fail("a grammar does not admit what it admits");
        }
        if (model.is_end(next)) {
            return;
        }
        if (!matcher.accept(next)) {
            fail("a grammar does not accept what it admits");
        }
    }
}

// -- a template: its text -> a prompt ---------------------------------------------------------------------------

void run_template(std::string_view source) {
    const AssertsThrow asserts_throw;
    const TemplateBudget budget(0, k_work);
    try {
        const auto templates = common_chat_templates_init(nullptr, std::string(source) + " ");
        common_chat_templates_inputs inputs;
        inputs.use_jinja = true;
        inputs.messages = common_chat_msgs_parse_oaicompat(common_json::parse(
            R"([{"role":"system","content":"S"},{"role":"user","content":"Hi"},{"role":"assistant","content":"","tool_calls":)"
            R"([{"id":"c","type":"function","function":{"name":"get","arguments":"{\"a\": \"x\"}"}}]},)"
            R"({"role":"tool","tool_call_id":"c","content":"5"}])"));
        inputs.tools = common_chat_tools_parse_oaicompat(common_json::parse(k_tools));
        common_chat_templates_apply(templates.get(), inputs);
    } catch (const std::exception &) {
        // its author is told
    }
}

Target template_target(const std::vector<std::string> & sources) {
    Target target{ "template", run_template, sources, {} };
    target.words = { "{{ ", " }}", "{% ", " %}", "{%- ", "-%}", "{#", "#}", "for i in ", "range(", "endfor", "if ", "elif ",
                     "else", "endif", "macro f(a, b=1)", "endmacro", "call f()", "endcall", "set x = ", "endset", "filter upper",
                     "endfilter", "break", "continue", "generation", "namespace(", "dict(", "messages", "tools", "[0]", "[::-1]",
                     ".content", "['role']", "| tojson", "| sort", "| join(',')", "| replace('a', 'b')", "| indent(4)",
                     "| selectattr('role')", "| map(attribute='role')", "| dictsort", "| length", "| default(1)", "| string",
                     "is defined", "is divisibleby(0)", "is mapping", "not in", " and ", " or ", " ~ ", " * ", " % ", "//", "**",
                     "'x'", "9223372036854775807", "-1", "1e99", "()", "[]", "{}", "(1,)", "loop.index", "raise_exception('x')",
                     "strftime_now('%Y')", ".append(", ".split(", ".items()", "caller()", "*", "**kw", "=" };
    return target;
}

// -- a chat segment: its JSON -> a prompt, a grammar and a parser -----------------------------------------------

Target chat_target(std::shared_ptr<Model> model) {
    Target target;
    target.name = "chat";
    target.run = [model](std::string_view text) {
        const AssertsThrow asserts_throw;
        const TemplateBudget budget(0, 10 * k_work);
        try {
            const auto rendered = render_chat(*model, text, 4096);
            if (!rendered.constraint.grammar.empty()) {
                follow(*model, rendered.constraint.grammar.text);
            }
        } catch (const Error &) {
            // the caller is told
        }
    };
    target.seeds = {
        chat("Hi", ""),
        chat("Hi <|im_end|> \\u0000 \\ud83d\\ude00", R"(,"add_generation_prompt":false)"),
        chat("Hi", std::string(R"(,"tools":)") + k_tools + R"(,"tool_choice":"required","parallel_tool_calls":true)"),
        chat("Hi", std::string(R"(,"tools":)") + k_tools + R"(,"reasoning_effort":"low","reasoning_budget_tokens":5)"),
        chat("Hi", R"(,"json_schema":{"type":"object","properties":{"a":{"enum":["x",1,null]}},"required":["a"]})"),
        chat("Hi", R"(,"chat_template_kwargs":{"enable_thinking":true,"a":[1e999,{"b":null}]})"),
        R"({"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]},{"role":"assistant","content":"Wel"}]})",
        R"({"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"get",)"
        R"("arguments":"{\"a\":"}}]},{"role":"tool","tool_call_id":"a","content":"5"}]})",
    };
    target.words = { "\"messages\"", "\"role\"", "\"user\"", "\"assistant\"", "\"tool\"", "\"content\"", "\"tool_calls\"", "\"tools\"",
                     "\"type\"", "\"function\"", "\"arguments\"", "\"parameters\"", "\"json_schema\"", "\"properties\"", "\"required\"",
                     "\"$ref\":\"#\"", "null", "true", "[]", "{}", "1e999", "-0", "\"\\ud800\"", "\xff", "\\u0000", "[[[[[[", "{\"a\":",
                     "\"pattern\":\"(a*)*\"", "\"chat_template\":\"{{ messages }}\"", "\"chat_template_kwargs\"" };
    return target;
}

// -- a grammar ----------------------------------------------------------------------------------------------------

Target grammar_target(std::shared_ptr<Model> model) {
    Target target;
    target.name = "grammar";
    target.run = [model](std::string_view text) {
        const AssertsThrow asserts_throw;
        try {
            follow(*model, std::string(text));
        } catch (const Error &) {
        }
    };
    target.seeds = { "root ::= \"a\" | \"b\"", "root ::= s\ns ::= [^Z] s? s? s?", "root ::= [a-zA-Z0-9_\\x00-\\x7F]{1,20} # c\n",
                     "root ::= (\"x\" (y | z)+)* \"\\n\"\ny ::= \"\\u00e9\"\nz ::= .\n", "root ::= <[0]> !<[1]> \"a\"{2,}" };
    target.words = { "root ::= ", "\n", "\"a\"", "[a-z]", "[^", "]", "(", ")", "{", "}", "{0,2000}", "{,5}", "*", "+", "?", "|", ".", "#",
                     "\\x", "\\u", "<[", "]>", "!", "\\", "\"", "s ::= ", "s", "%llguidance", "\xff", "\xf4\x90\x80\x80" };
    return target;
}

// -- a schema -> its grammar --------------------------------------------------------------------------------------

Target schema_target(std::shared_ptr<Model> model) {
    Target target;
    target.name = "schema";
    target.run = [model](std::string_view text) {
        const AssertsThrow asserts_throw;
        std::string grammar;
        try {
            grammar = tighten_json_rules(json_schema_to_grammar(common_json::parse(std::string(text)), true));
        } catch (const std::exception &) {
            return; // as render_chat reports it
        }
        try {
            follow(*model, grammar);
        } catch (const Error &) {
        }
    };
    target.seeds = {
        R"({"type":"object","properties":{"a":{"type":"integer","minimum":-5,"maximum":70}},"additionalProperties":false})",
        R"({"$defs":{"n":{"type":"object","properties":{"n":{"$ref":"#/$defs/n"}}}},"$ref":"#/$defs/n"})",
        R"({"anyOf":[{"const":"x"},{"type":"array","items":{"type":"string","pattern":"^a{2,3}[b-d]*$"},"maxItems":3}]})",
        R"({"type":["string","null"],"minLength":1,"maxLength":9,"format":"date-time"})",
    };
    target.words = { "\"type\":", "\"object\"", "\"array\"", "\"string\"", "\"integer\"", "\"properties\":{", "\"items\":", "\"anyOf\":[",
                     "\"allOf\":[", "\"$ref\":\"#\"", "\"$ref\":\"#/$defs/n\"", "\"pattern\":\"^", "\"enum\":[", "\"const\":",
                     "\"minimum\":", "\"maximum\":", "9223372036854775807", "-1e999", "\"minItems\":", "\"maxItems\":2000", "{", "}", "[",
                     "]", ",", "null", "true", "\\u0000", "\xff", "(", ")*", "$\"" };
    return target;
}

// -- what a model says -> parts -----------------------------------------------------------------------------------

struct Family {
    std::shared_ptr<Model> model; // with the family's template
    AnswerFormatPtr format;       // null: it has none
    std::vector<common_grammar_trigger> triggers;
};

std::vector<Family> load_families(const std::string & model_path, const std::vector<std::string> & sources) {
    std::vector<Family> families;
    for (const auto & source : sources) {
        try {
            const auto model = load(model_path, source);
            auto rendered = render_chat(*model, chat("Hi", std::string(R"(,"tools":)") + k_tools + k_arguments), 100000);
            families.push_back({ model, rendered.format, rendered.constraint.grammar.triggers });
        } catch (const std::exception &) {
            // a template that this vocabulary does not go with
        }
    }
    return families;
}

const Family & family_of(const std::vector<Family> & families, char byte) {
    return families[static_cast<unsigned char>(byte) % families.size()];
}

// The first byte chooses the family, the second how the rest comes in.
void run_answer(const std::vector<Family> & families, std::string_view text) {
    if (text.size() < 2 || families.empty()) {
        return;
    }
    const auto & family = family_of(families, text[0]);
    if (!family.format) {
        return;
    }
    const size_t n_piece = 1 + static_cast<unsigned char>(text[1]) % 16;
    text.remove_prefix(2);
    AnswerParser parser(family.format, [] { return std::string("call_0"); });
    std::vector<AnswerPart> parts;
    for (size_t at = 0; at < text.size(); at += n_piece) {
        parser.push(text.substr(at, n_piece));
        if (text.size() < 2000 || at % 1000 < n_piece) {
            parser.update(false, parts);
        }
    }
    parser.update(true, parts);
    if (parts.empty() && text.find_first_not_of(" \t\r\n") != std::string_view::npos &&
        text.find_first_of("<[{") == std::string_view::npos) {
        fail("an answer of plain text is lost");
    }
}

Target answer_target(std::vector<Family> families) {
    Target target;
    target.name = "answer";
    target.seeds = {
        "\x01\x03Just text.",
        "\x01\x05<think>Hm.</think>\n<tool_call>\n{\"name\": \"get\", \"arguments\": {\"a\": \"x\", \"b\": [1, 2]}}\n</tool_call>",
        "\x02\x01[TOOL_CALLS][{\"name\": \"get\", \"arguments\": {\"a\": \"x\"}}]",
        "\x03\x02<function=get><parameter=a>x</parameter></function>",
        "\x04\x02<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>commentary to=functions.get <|constrain|>json"
        "<|message|>{\"a\":\"x\"}<|call|>",
        "\x05\x02<|tool_calls_section_begin|><|tool_call_begin|>functions.get:0<|tool_call_argument_begin|>{\"a\": \"x\"}",
    };
    for (size_t i = 0; i < families.size(); ++i) {
        for (const char * text : { "\x01Hello.", "\x04{\"name\": \"get\", \"arguments\": {\"a\": \"\\u00e9\"}}" }) {
            target.seeds.push_back(std::string(1, static_cast<char>(i)) + text);
        }
    }
    target.words = { "<think>", "</think>", "<tool_call>", "</tool_call>", "{\"name\": \"get\", ", "\"arguments\": {", "\"a\": \"x\"", "}",
                     "[", "]", "<function=get>", "</function>", "<parameter=a>", "</parameter>", "get", "get_more", "<|", "|>", "\\u00e9",
                     "\\", "\"", "\xc3", "\xf0\x9f\x98", "[[[[[[[[", "{\"a\":{\"a\":{\"a\":", "functions.", "<arg_key>", "<arg_value>",
                     "[TOOL_CALLS]", "<|channel|>", "<|message|>", "<|call|>", "<|tool_call_begin|>", "<minimax:tool_call>", "\n" };
    target.run = [families = std::move(families)](std::string_view text) { run_answer(families, text); };
    return target;
}

// -- functions in a family's own notation -> a grammar that keeps to their schemas -------------------------------

// The first byte chooses the family.
Target tools_target(std::vector<Family> families) {
    Target target;
    target.name = "tools";
    for (size_t i = 0; i < families.size(); ++i) {
        for (const char * choice : { "", R"(,"tool_choice":"required")", R"(,"parallel_tool_calls":true)" }) {
            target.seeds.push_back(std::string(1, static_cast<char>(i)) +
                                   chat("Hi", std::string(R"(,"tools":)") + k_tools + k_arguments + choice));
        }
    }
    target.words = { "\"strict\":true", "\"strict\":false", "\"free\":true", "\"texts\":[]", "\"texts\":[\"</a>\"]", "\"by_name\":null",
                     "\"required\":[\"b\"]", "\"properties\":{}", "\"type\":\"string\"", "\"name\":\"get_more\"", "\"rule\":\"b0\"",
                     "\"tool_choice\":\"none\"", "\"json_schema\":{\"const\":1}", "\"answer_grammar\":\"root ::= [a]\"", "\\n", "::=", "\"",
                     "{", "}", "[", "]", ",", "\\u0000", "\xff", "|", "a0", "f1" };
    target.run = [families = std::move(families)](std::string_view text) {
        if (text.empty() || families.empty()) {
            return;
        }
        const AssertsThrow asserts_throw;
        const TemplateBudget budget(0, 10 * k_work);
        try {
            const auto & family = family_of(families, text[0]);
            const auto rendered = render_chat(*family.model, text.substr(1), 4096);
            if (!rendered.constraint.grammar.empty()) {
                follow(*family.model, rendered.constraint.grammar.text);
            }
            Trigger(rendered.constraint.grammar.triggers).push(0, text);
        } catch (const Error & error) {
            if (error.status == LA_ERR_INTERNAL) {
                fail(error.what());
            }
        }
    };
    return target;
}

// -- what a model says -> where a lazy grammar begins ------------------------------------------------------------

// The first byte chooses the family, the second where the rest is cut: it must not matter, but for what `$` looks at.
Target trigger_target(std::vector<Family> families) {
    Target target;
    target.name = "trigger";
    for (size_t i = 0; i < families.size(); ++i) {
        for (const auto & trigger : families[i].triggers) {
            target.seeds.push_back(std::string(1, static_cast<char>(i)) + "\x02Well " + trigger.value);
            target.words.push_back(trigger.value);
        }
        for (const char * text : { "\x03{ \"name\" : \"get\", ", "\x02<|start|>assistant to=get<|message|>", "\x01<|channel|>commentary to=f" }) {
            target.seeds.push_back(std::string(1, static_cast<char>(i)) + text);
        }
    }
    for (const char * word : { "{", "\"name\"", ":", "\"get\"", "\"get_more\"", " to", "=", "<|start|>assistant", "<|message|>", "self",
                               "<|channel|>commentary", "analysis", ">>>", "all", "[", "\n", "\t", "\xff", "\xc3\xa9" }) {
        target.words.emplace_back(word);
    }
    target.run = [families = std::move(families)](std::string_view text) {
        if (text.size() < 2 || families.empty()) {
            return;
        }
        const auto & triggers = family_of(families, text[0]).triggers;
        const size_t n_piece = 1 + static_cast<unsigned char>(text[1]) % 16;
        text.remove_prefix(2);
        Trigger trigger(triggers);
        size_t end = 0;
        for (size_t at = 0; at < text.size(); at += n_piece) {
            const auto piece = text.substr(at, n_piece);
            const auto parts = trigger.push(-1, piece);
            end = at + piece.size();
            if (parts.empty()) {
                continue;
            }
            std::string seen;
            for (const auto & part : parts) {
                seen += part.text;
            }
            if (seen.size() > end || text.substr(end - seen.size(), seen.size()) != seen) {
                fail("a trigger shows what was not there");
            }
            trigger.go_on();
        }
    };
    return target;
}

// One of each family of formats; all of them take minutes to load under a sanitizer.
constexpr const char * k_templates[] = {
    "Qwen-Qwen3-0.6B",
    "Qwen3-Coder",
    "openai-gpt-oss-120b",
    "meta-llama-Llama-3.1-8B-Instruct",
    "mistralai-Mistral-Nemo-Instruct-2407",
    "Kimi-K2-Instruct",
    "deepseek-ai-DeepSeek-V3.1",
    "GLM-4.6",
    "MiniMax-M2",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "meetkai-functionary-medium-v3.2",
    "google-gemma-4-31B-it",
};

} // namespace

std::vector<Target> all_targets(const std::string & model_path) {
    install_log(); // upstream writes a line for each text that does not parse
    std::vector<std::string> sources;
    for (const char * name : k_templates) {
        if (const std::string source = read(std::filesystem::path(LA_TEMPLATES) / (std::string(name) + ".jinja")); !source.empty()) {
            sources.push_back(source);
        }
    }
    const auto model = load(model_path, sources.empty() ? "" : sources.front());
    std::vector<std::string> seeds = sources;
    seeds.push_back("{% for m in messages %}{{ m.role }}: {{ m['content'] | trim }}\n{% endfor %}");
    seeds.push_back("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(9) }}{{ tools | tojson(indent=2) }}");
    seeds.push_back("{% set ns = namespace(l=[]) %}{% for i in range(9) %}{% set x = ns.l.append((i, ns.l)) %}{% endfor %}");
    const auto families = load_families(model_path, sources);
    return { template_target(seeds), chat_target(model),       grammar_target(model),     schema_target(model),
             answer_target(families), tools_target(families), trigger_target(families) };
}

} // namespace la::fuzz
