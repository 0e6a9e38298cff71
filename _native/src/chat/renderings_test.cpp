// Each of upstream's templates writes an assistant's message with calls as its model is to write one: reading that gives the
// message back, in every split.
#include "chat/answer.h"
#include "chat/calls.h"
#include "chat/schema.h"
#include "chat/typed.h"
#include "sampling/trigger.h"
#include "testing/answers.h"
#include "testing/arguments.h"
#include "testing/check.h"
#include "testing/grammar_texts.h"
#include "testing/messages.h"
#include "testing/templates.h"
#include "text/phases.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace la;
using la::testing::CallingMessage;
using la::testing::Read;
using json = nlohmann::json;

namespace {

using Parts = std::map<std::string, std::set<std::string>>; // of templates

// What ends a turn: a token without a text to the reader.
constexpr const char * k_ends[] = {
    "<|im_end|>", "<|END_OF_TURN_TOKEN|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|end_of_msg|>", "<|end_of_text|>",
    "<|call|>", "<|calls|>", "<|end|>", "<|return|>", "<|tool_response>", "<turn|>", "</s>", "</assistant>", "<sep>",
    "<|message_sep|>", "<seed:eos>", "[e~[", "<end_of_sentence>", "<SPECIAL_12>", "<｜end▁of▁sentence｜>", "<｜hy_eos:opensource｜>",
};

// What a template does not write of a message with calls, wherever the message has it.
const Parts k_unwritten = {
    { "Apertus-8B-Instruct", { "reasoning" } },
    { "Cohere2MoE", { "content" } },
    { "CohereForAI-c4ai-command-r7b-12-2024-tool_use", { "content" } },
    { "GigaChat3-10B-A1.8B", { "call 2", "reasoning" } },
    { "GigaChat3.1-10B-A1.8B", { "call 2", "reasoning" } },
    { "Kimi-K2-Instruct", { "reasoning" } },
    { "MiMo-VL", { "reasoning" } },
    { "MiniMax-M1", { "content", "reasoning" } },
    { "Mistral-Small-3.2-24B-Instruct-2506", { "content", "reasoning" } },
    { "NVIDIA-Nemotron-Nano-v2", { "reasoning" } },
    { "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", { "content", "reasoning" } },
    { "NousResearch-Hermes-3-Llama-3.1-8B-tool_use", { "content", "reasoning" } },
    { "Qwen-QwQ-32B", { "reasoning" } },
    { "Qwen-Qwen2.5-7B-Instruct", { "reasoning" } },
    { "Qwen3-Coder", { "reasoning" } },
    { "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", { "content", "reasoning" } },
    { "deepseek-ai-DeepSeek-V3.1", { "reasoning" } },
    { "fireworks-ai-llama-3-firefunction-v2", { "reasoning" } },
    { "google-gemma-4-31B-it-interleaved", { "content" } },
    { "ibm-granite-granite-4.0", { "reasoning" } },
    { "ibm-granite-granite-4.1", { "reasoning" } },
    { "llama-cpp-deepseek-r1", { "reasoning" } },
    { "meetkai-functionary-medium-v3.1", { "reasoning" } },
    { "meetkai-functionary-medium-v3.2", { "reasoning" } },
    { "meta-llama-Llama-3.1-8B-Instruct", { "content", "reasoning" } },
    { "meta-llama-Llama-3.2-3B-Instruct", { "content", "reasoning" } },
    { "meta-llama-Llama-3.3-70B-Instruct", { "content", "reasoning" } },
    { "mistralai-Mistral-Nemo-Instruct-2407", { "content", "reasoning" } },
    { "moonshotai-Kimi-K2", { "reasoning" } },
    { "muse-glimmer", { "content" } },
    { "openai-gpt-oss-120b", { "call 2", "content" } },
    { "unsloth-Apriel-1.5", { "reasoning" } },
    { "unsloth-mistral-Devstral-Small-2507", { "content", "reasoning" } },
};

// What is not read as the message: cases of a template, "*" for all, and why. Each must differ.
struct Difference {
    const char * family;
    std::set<std::string> cases;
    const char * why;
};

const std::vector<Difference> k_differences = {
    { "Apriel-1.6-15b-Thinker-fixed", { "one", "two", "content", "nested", "unicode", "empty" },
      "its prompts begin a thinking, its messages without thoughts do not: no model writes them so" },
    { "openbmb-MiniCPM5-1B", { "one", "two", "content", "nested", "unicode", "empty" }, "as above; of what nests it writes nothing" },
    { "CohereForAI-c4ai-command-r-plus-tool_use", { "*" },
      "its prompts end in instructions behind the conversation: no rendering goes on from one" },
    { "ByteDance-Seed-OSS", { "nested" }, "it writes lists and objects as Python does; our grammar has them written as JSON" },
    { "LFM2.5-8B-A1B", { "one", "two", "content", "nested", "unicode", "reasoning", "all" },
      "it writes texts as Python does, in single quotes; our grammar has them written as JSON" },
    { "MiniMax-M1", { "two", "all" }, "several calls in one block: upstream's grammar has each written in a block of its own" },
    { "MiniMax-M2", { "two", "all" }, "as above" },
    { "NVIDIA-Nemotron-Nano-v2", { "content", "all" }, "it writes text and calls as two turns: an answer is one" },
    { "llama-cpp-deepseek-r1", { "content", "all" }, "it writes no calls beside text" },
    { "meta-llama-Llama-3.1-8B-Instruct", { "two", "all" }, "it refuses more than one call" },
    { "meta-llama-Llama-3.2-3B-Instruct", { "two", "all" }, "as above" },
    { "meta-llama-Llama-3.3-70B-Instruct", { "two", "all" }, "as above" },
    { "openai-gpt-oss-120b", { "content" }, "it writes text beside a call as a thought" },
    { "upstage-Solar-Open-100B", { "*" },
      "upstream takes the id in its own probe for a constant: its grammar has every call named so, whatever the template writes" },
};

// What a grammar does not admit though the template writes it so.
const std::vector<Difference> k_refused = {
    { "meta-llama-Llama-3.1-8B-Instruct", { "*" }, "nothing announces its calls: no grammar, unless they are required" },
    { "meta-llama-Llama-3.2-3B-Instruct", { "*" }, "as above" },
    { "meta-llama-Llama-3.3-70B-Instruct", { "*" }, "as above" },
    { "google-gemma-4-31B-it", { "content", "all" }, "it writes text behind the calls: where they end, the answer does" },
    { "Reka-Edge", { "unicode" }, "it escapes a character as two surrogates, one of which could stand alone" },
};

struct Rendering {
    std::vector<std::string> texts; // without the marks that end the turn, the longest first
    AnswerFormatPtr format;
    ToolCalls calls;
    std::string begun; // by the prompt
};

// As a request asks.
ChatInputs inputs_for(const la::testing::Template & tmpl, const CallingMessage & one, bool thinking) {
    ChatInputs inputs;
    inputs.chat_template = tmpl.chat;
    auto & prompt = inputs.prompt;
    prompt.messages = { la::testing::question() };
    prompt.tools = la::testing::tools(one.message.tool_calls[0].name == "plan");
    prompt.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
    prompt.parallel_tool_calls = true;
    prompt.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    prompt.enable_thinking = thinking;
    inputs.answer = prompt;
    inputs.answer.tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
    for (const auto & tool : prompt.tools) {
        inputs.arguments.push_back(la::testing::arguments_of(tool, false, inputs.argument_rules));
    }
    return inputs;
}

bool begins_with(const std::string & text, const std::string & start) {
    return text.compare(0, start.size(), start) == 0;
}

// `text` up to each of the marks that end a turn in it, the longest first; all of it if there is none.
std::vector<std::string> without_end(const std::string & text) {
    std::set<size_t> found;
    for (const std::string end : k_ends) {
        for (size_t at = 0; (at = text.find(end, at)) != std::string::npos; at += end.size()) {
            found.insert(at);
        }
    }
    std::vector<std::string> texts;
    for (auto at = found.rbegin(); at != found.rend(); ++at) {
        texts.push_back(text.substr(0, *at));
    }
    return texts.empty() ? std::vector<std::string>{ text } : texts;
}

// What a model would have written to say this, and how it is read: behind a prompt that the rendering goes on from, with
// thinking or without. Some templates write a message without thoughts otherwise than their prompts begin one: it is then
// read together with its beginning. Nothing if no prompt fits.
std::optional<Rendering> render(const la::testing::Template & tmpl, const CallingMessage & one) {
    std::optional<Rendering> other;
    for (const bool thinking : { true, false }) {
        ChatInputs inputs = inputs_for(tmpl, one, thinking);
        const auto plain = apply_template(*tmpl.chat, inputs.prompt);
        const std::string prompt = plain.prompt;
        const ToolCalls calls = prepare_calls(inputs, plain);
        const std::string begun = calls.params.generation_prompt;
        inputs.prompt.messages.push_back(one.message);
        inputs.prompt.add_generation_prompt = false;
        const auto whole = apply_template(*tmpl.chat, inputs.prompt).prompt;
        if (begins_with(whole, prompt)) {
            const auto format = la::testing::calling_format(calls.params, begun);
            return Rendering{ without_end(whole.substr(prompt.size())), format, calls, begun };
        }
        const std::string before = prompt.substr(0, prompt.size() - begun.size());
        if (!other && begins_with(whole, before)) {
            const auto format = la::testing::calling_format(calls.params, "");
            other = Rendering{ without_end(whole.substr(before.size())), format, calls, "" };
        }
    }
    return other;
}

std::string trimmed(const std::string & text) {
    const size_t from = text.find_first_not_of(" \t\r\n");
    return from == std::string::npos ? "" : text.substr(from, text.find_last_not_of(" \t\r\n") + 1 - from);
}

// What of the message stands in the text; the rest is added to `unwritten`.
common_chat_msg written(common_chat_msg message, const std::string & text, std::set<std::string> & unwritten) {
    if (text.find(message.content) == std::string::npos) {
        unwritten.insert("content");
        message.content.clear();
    }
    if (text.find(message.reasoning_content) == std::string::npos) {
        unwritten.insert("reasoning");
        message.reasoning_content.clear();
    }
    size_t at = 0;
    for (size_t i = 0; i < message.tool_calls.size(); ++i) {
        auto & call = message.tool_calls[i];
        at = text.find(call.name, at);
        if (at == std::string::npos) {
            unwritten.insert("call " + std::to_string(i + 1));
            message.tool_calls.resize(i);
            break;
        }
        at += call.name.size();
        if (text.find(call.id) == std::string::npos) {
            call.id.clear();
        }
    }
    return message;
}

std::string difference(const Read & read, const common_chat_msg & message) {
    if (read.calls.size() != message.tool_calls.size()) {
        return std::to_string(read.calls.size()) + " calls";
    }
    for (size_t i = 0; i < read.calls.size(); ++i) {
        const auto & call = message.tool_calls[i];
        if (read.calls[i].name != call.name) {
            return "name " + read.calls[i].name;
        }
        try {
            if (json::parse(read.calls[i].arguments) != json::parse(call.arguments)) { // in whatever order
                return "arguments " + read.calls[i].arguments;
            }
        } catch (const std::exception &) {
            return "arguments are no JSON: " + read.calls[i].arguments;
        }
        if (!call.id.empty() && read.calls[i].id != call.id) {
            return "id " + read.calls[i].id;
        }
    }
    if (trimmed(read.content) != message.content) {
        return "content <" + read.content + ">";
    }
    return trimmed(read.reasoning) == message.reasoning_content ? "" : "reasoning <" + read.reasoning + ">";
}

// Whether the grammar lets the text come; a lazy one must have begun. The white space at the end is the template's.
bool is_admitted(const Rendering & rendering, std::string text) {
    const auto & params = rendering.calls.params;
    const std::string grammar = tighten_json_rules(params.grammar);
    text.erase(text.find_last_not_of(" \t\r\n") + 1);
    if (grammar.empty() || !params.grammar_lazy) {
        return !grammar.empty() && la::testing::is_text_of(grammar, rendering.begun + text);
    }
    Trigger trigger(params.grammar_triggers);
    for (size_t at = 0; at < text.size(); ++at) {
        std::string seen;
        for (const auto & part : trigger.push(1, std::string_view(text).substr(at, 1))) {
            seen += part.text;
        }
        if (!seen.empty()) {
            return la::testing::is_text_of(grammar, seen + text.substr(at + 1));
        }
    }
    return false;
}

bool is_calling(const Rendering & rendering, std::string text) {
    const auto & params = rendering.calls.params;
    PhaseFinder phases(params.thinking_start_tag, params.thinking_end_tags, rendering.calls.marks);
    text = rendering.begun + text;
    for (std::string_view rest = text; !rest.empty();) {
        rest.remove_prefix(phases.push(rest));
    }
    return phases.phase() == PhaseFinder::calling;
}

// A message as its template writes it, and as it is read in one piece.
struct Written {
    std::string family;
    const CallingMessage * one;
    Rendering rendering;
    std::string text;
    Read read;
};

struct Survey {
    std::vector<Written> read;
    Parts different;
    Parts unwritten;
};

// Reads the longest of the texts that calls something and is read as what it says. Returns why there is none.
std::string find(const std::string & family, const CallingMessage & one, const Rendering & rendering, Survey & survey) {
    std::string why = "it calls nothing";
    for (const auto & text : rendering.texts) {
        std::set<std::string> missing;
        const auto message = written(one.message, text, missing);
        if (message.tool_calls.empty()) {
            continue;
        }
        Read read = la::testing::read(rendering.format, text, {});
        const std::string now = difference(read, message);
        if (now.empty()) {
            survey.read.push_back({ family, &one, rendering, text, std::move(read) });
            if (!missing.empty()) {
                survey.unwritten[family].insert(missing.begin(), missing.end());
            }
            return {};
        }
        why = why[0] == 'i' ? now + ": " + text : why;
    }
    return why;
}

Parts listed(const std::vector<Difference> & differences) {
    Parts all;
    for (const auto & difference : differences) {
        for (const auto & one : la::testing::messages_with_calls()) {
            if (difference.cases.count("*") > 0 || difference.cases.count(one.name) > 0) {
                all[difference.family].insert(one.name);
            }
        }
    }
    return all;
}

const Survey & survey() {
    static const Survey all = [] {
        Survey found;
        const Parts expected = listed(k_differences);
        for (const auto & tmpl : la::testing::calling_templates()) {
            for (const auto & one : la::testing::messages_with_calls()) {
                std::string why = "it goes on from no prompt";
                try {
                    if (const auto rendering = render(tmpl, one)) {
                        why = find(tmpl.name, one, *rendering, found);
                    }
                } catch (const std::exception & e) {
                    why = e.what();
                }
                if (why.empty()) {
                    continue;
                }
                found.different[tmpl.name].insert(one.name);
                const auto known = expected.find(tmpl.name);
                if (known == expected.end() || known->second.count(one.name) == 0) {
                    std::printf("  %s, %s: %s\n", tmpl.name.c_str(), one.name, why.c_str());
                }
            }
        }
        return found;
    }();
    return all;
}

// What is in one of them only.
void show(const char * what, const Parts & found, const Parts & expected) {
    for (const bool vain : { false, true }) {
        for (const auto & [family, parts] : vain ? expected : found) {
            const Parts & others = vain ? found : expected;
            const auto other = others.find(family);
            for (const auto & part : parts) {
                if (other == others.end() || other->second.count(part) == 0) {
                    std::printf("  %s%s: %s, %s\n", what, vain ? ", listed in vain" : "", family.c_str(), part.c_str());
                }
            }
        }
    }
}

} // namespace

TEST(a_templates_own_calls_read_as_the_message) {
    const size_t n_templates = la::testing::calling_templates().size();
    std::printf("%zu of %zu messages of %zu templates\n", survey().read.size(),
                n_templates * la::testing::messages_with_calls().size(), n_templates);
    CHECK(n_templates >= 60);
    CHECK(survey().different == listed(k_differences));
    show("not read", survey().different, listed(k_differences));
    CHECK(survey().unwritten == k_unwritten);
    show("not written", survey().unwritten, k_unwritten);
}

TEST(every_split_of_them_reads_as_the_whole) {
    std::mt19937 random(9);
    size_t n_splits = 0;
    for (const auto & one : survey().read) {
        const auto ends = la::testing::character_ends(one.text);
        std::vector<std::vector<size_t>> splits = { ends };
        for (const size_t cut : ends) {
            splits.push_back({ cut });
        }
        for (int i = 0; i < 4; ++i) {
            splits.push_back(la::testing::some_of(ends, random));
        }
        n_splits += splits.size();
        for (const auto & split : splits) {
            const Read read = la::testing::read(one.rendering.format, one.text, split);
            CHECK(read == one.read && read.ordered);
            if (!(read == one.read)) {
                std::printf("  %s, %zu pieces: %s\n", one.family.c_str(), split.size() + 1, one.text.c_str());
                break;
            }
        }
    }
    std::printf("%zu splits\n", n_splits);
}

TEST(the_grammar_begins_with_the_call_and_admits_it) {
    Parts refused;
    for (const auto & one : survey().read) {
        if (!is_admitted(one.rendering, one.text)) {
            refused[one.family].insert(one.one->name);
        }
    }
    // Of what cannot be read nothing needs to be admitted.
    Parts expected = listed(k_refused);
    for (auto & [family, parts] : expected) {
        const auto unread = survey().different.find(family);
        for (const auto & part : unread == survey().different.end() ? std::set<std::string>() : unread->second) {
            parts.erase(part);
        }
    }
    CHECK(refused == expected);
    show("not admitted", refused, expected);
}

TEST(a_call_is_known_for_one_so_that_stop_strings_leave_it_alone) {
    for (const auto & one : survey().read) {
        CHECK(is_calling(one.rendering, one.text));
        if (!is_calling(one.rendering, one.text)) {
            std::printf("  %s: %s\n", one.family.c_str(), one.text.c_str());
        }
        CHECK(!is_calling(one.rendering, "Functions, {\"name\": 1}, to=me, >>> 1 + 1, [x]. "));
    }
}

TEST(required_calls_come_without_a_text_before) {
    for (const auto & tmpl : la::testing::calling_templates()) {
        if (tmpl.name != "openai-gpt-oss-120b") {
            continue;
        }
        ChatInputs inputs = inputs_for(tmpl, la::testing::messages_with_calls()[0], true);
        inputs.answer.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
        const auto calls = prepare_calls(inputs, apply_template(*tmpl.chat, inputs.prompt));
        const std::string begun = calls.params.generation_prompt;
        const std::string call = " to=functions.get_weather<|channel|>commentary json<|message|>{\"city\": \"Paris\"}";
        const std::string thought = "<|channel|>analysis<|message|>Well.<|end|><|start|>assistant";
        const std::string preamble = "<|channel|>commentary<|message|>Well.<|end|><|start|>assistant";
        CHECK(la::testing::is_text_of(calls.params.grammar, begun + call));
        CHECK(la::testing::is_text_of(calls.params.grammar, begun + thought + call));
        CHECK(!la::testing::is_text_of(calls.params.grammar, begun + preamble + call));
    }
}

TEST(a_message_is_gone_on_with_as_the_template_writes_one) {
    for (const char * name : { "LFM2-8B-A1B", "LFM2.5-Instruct", "LFM2.5-8B-A1B" }) {
        for (const auto & [family, source] : la::testing::upstream_templates()) {
            if (family != name) {
                continue;
            }
            const auto chat = compile_template(nullptr, source);
            common_chat_templates_inputs inputs;
            common_chat_msg begun;
            begun.role = "assistant";
            begun.content = "It is";
            inputs.messages = { la::testing::question(), begun };
            inputs.add_generation_prompt = false;
            inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
            inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
            const auto params = apply_template(*chat, inputs);
            const bool thinks = source.find("<think>") != std::string::npos;
            CHECK(params.generation_prompt == std::string("<|im_start|>assistant\n") + (thinks ? "<think></think>" : "") + "It is");
            const size_t at = params.prompt.size() - params.generation_prompt.size();
            CHECK(params.prompt.compare(at, std::string::npos, params.generation_prompt) == 0);
            CHECK(thinks == (family == "LFM2.5-8B-A1B"));
            auto format = std::make_shared<AnswerFormat>();
            format->parser = common_chat_parser_params(params);
            format->parser.reasoning_format = inputs.reasoning_format;
            format->parser.is_continuation = true;
            format->parser.parser.load(params.parser);
            const Read read = la::testing::read(format, " warm.", {});
            CHECK(read.content == " warm." && read.reasoning.empty());
        }
    }
}

TEST_MAIN
