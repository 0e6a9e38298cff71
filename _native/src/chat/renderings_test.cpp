// Each of upstream's templates writes an assistant's message with calls as its model is to write one: reading that gives the
// message back, in every split.
#include "chat/answer.h"
#include "chat/arguments.h"
#include "testing/answers.h"
#include "testing/check.h"
#include "testing/templates.h"

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace la;
using la::testing::Read;
using json = nlohmann::json;

namespace {

using Parts = std::map<std::string, std::set<std::string>>; // of templates

// `nested`: with one whose schema nests, which one template's analysis fails on.
std::vector<common_chat_tool> tools(bool nested) {
    std::vector<common_chat_tool> all = {
        { "get_weather", "Weather somewhere", R"({"type": "object", "properties": {"city": {"type": "string"},
          "days": {"type": "integer"}}, "required": ["city"]})" },
        { "read_clock", "The time", R"({"type": "object", "properties": {}})" },
        { "plan", "A plan", R"({"type": "object", "properties": {"steps": {"type": "array", "items": {"type": "object",
          "properties": {"name": {"type": "string"}, "hours": {"type": "number"}, "done": {"type": "boolean"}},
          "required": ["name"]}}, "owner": {"type": "object", "properties": {"name": {"type": "string"}, "tags":
          {"type": "array", "items": {"type": "string"}}}, "required": ["name"]}}, "required": ["steps"]})" },
    };
    if (!nested) {
        all.pop_back();
    }
    return all;
}

common_chat_msg user() {
    common_chat_msg message;
    message.role = "user";
    message.content = "How is the weather?";
    return message;
}

struct Case {
    const char * name;
    common_chat_msg message;
};

const std::vector<Case> & cases() {
    struct Call {
        const char * name;
        const char * arguments;
    };
    const auto make = [](const char * content, const char * reasoning, const std::vector<Call> & calls) {
        common_chat_msg message;
        message.role = "assistant";
        message.content = content;
        message.reasoning_content = reasoning;
        for (const auto & call : calls) {
            // Nine letters and digits: Mistral's templates take no other.
            message.tool_calls.push_back({ call.name, call.arguments, "call0000" + std::to_string(message.tool_calls.size()) });
        }
        return message;
    };
    const Call paris = { "get_weather", R"({"city": "Paris"})" };
    static const std::vector<Case> all = {
        { "one", make("", "", { paris }) },
        { "two", make("", "", { { "get_weather", R"({"city": "Paris", "days": 3})" }, { "get_weather", R"({"city": "Rome"})" } }) },
        { "content", make("I will look.", "", { paris }) },
        { "nested", make("", "", { { "plan", R"({"steps": [{"name": "a b", "hours": 1.5, "done": false}, {"name": "c"}],
          "owner": {"name": "Zo", "tags": ["x", "y"]}})" } }) },
        { "unicode", make("", "", { { "get_weather", "{\"city\": \"\xC3\x8E\xC3\xA9 \xE6\x9D\xB1\xE4\xBA\xAC \xF0\x9F\x98\x80\"}" } }) },
        { "empty", make("", "", { { "read_clock", "{}" } }) },
        { "reasoning", make("", "I should look it up.", { paris }) },
        { "all", make("One moment.", "They ask for weather.", { paris, { "read_clock", "{}" } }) },
    };
    return all;
}

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
    { "meetkai-functionary-medium-v3.2", { "two", "content", "all" }, "upstream reads no mark before a call" },
    { "meta-llama-Llama-3.1-8B-Instruct", { "two", "all" }, "it refuses more than one call" },
    { "meta-llama-Llama-3.2-3B-Instruct", { "two", "all" }, "as above" },
    { "meta-llama-Llama-3.3-70B-Instruct", { "two", "all" }, "as above" },
    { "openai-gpt-oss-120b", { "content" }, "it writes text beside a call as a thought" },
    { "upstage-Solar-Open-100B", { "*" },
      "upstream takes the id in its own probe for a constant: its grammar has every call named so, whatever the template writes" },
};

struct Rendering {
    std::vector<std::string> texts; // without the marks that end the turn, the longest first
    AnswerFormatPtr format;
};

common_chat_templates_inputs inputs_for(const Case & one, bool thinking) {
    common_chat_templates_inputs inputs;
    inputs.messages = { user() };
    inputs.tools = tools(one.message.tool_calls[0].name == "plan");
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
    inputs.parallel_tool_calls = true;
    inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    inputs.enable_thinking = thinking;
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
std::optional<Rendering> render(const la::testing::Template & tmpl, const Case & one) {
    std::optional<Rendering> other;
    for (const bool thinking : { true, false }) {
        auto inputs = inputs_for(one, thinking);
        auto params = common_chat_templates_apply(tmpl.compiled.get(), inputs);
        const std::string prompt = params.prompt;
        const std::string begun = params.generation_prompt;
        if (!params.grammar.empty()) {
            enforce_arguments(params, inputs.tools, {}); // as for a request
        }
        inputs.messages.push_back(one.message);
        inputs.add_generation_prompt = false;
        const auto whole = common_chat_templates_apply(tmpl.compiled.get(), inputs).prompt;
        if (begins_with(whole, prompt)) {
            return Rendering{ without_end(whole.substr(prompt.size())), la::testing::calling_format(params, begun) };
        }
        const std::string before = prompt.substr(0, prompt.size() - begun.size());
        if (!other && begins_with(whole, before)) {
            other = Rendering{ without_end(whole.substr(before.size())), la::testing::calling_format(params, "") };
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

Parts listed() {
    Parts all;
    for (const auto & difference : k_differences) {
        for (const auto & one : cases()) {
            if (difference.cases.count("*") > 0 || difference.cases.count(one.name) > 0) {
                all[difference.family].insert(one.name);
            }
        }
    }
    return all;
}

void show(const char * what, const Parts & found, const Parts & expected) {
    for (const auto * all : { &found, &expected }) {
        for (const auto & [family, parts] : *all) {
            for (const auto & part : parts) {
                const auto other = (all == &found ? expected : found).find(family);
                if (other == (all == &found ? expected : found).end() || other->second.count(part) == 0) {
                    std::printf("  %s %s: %s, %s\n", what, all == &found ? "but not listed" : "is listed in vain", family.c_str(),
                                part.c_str());
                }
            }
        }
    }
}

} // namespace

TEST(a_templates_own_calls_read_as_the_message_in_every_split) {
    size_t n_read = 0;
    size_t n_splits = 0;
    std::mt19937 random(9);
    Parts different;
    Parts unwritten;
    const size_t n_templates = la::testing::calling_templates().size();
    CHECK(n_templates >= 60);
    for (const auto & tmpl : la::testing::calling_templates()) {
        for (const auto & one : cases()) {
            std::string why = "its rendering goes on from no prompt";
            std::string text;
            Read whole;
            std::optional<Rendering> rendering;
            try {
                rendering = render(tmpl, one);
            } catch (const std::exception & e) {
                why = e.what();
            }
            for (const auto & candidate : rendering ? rendering->texts : std::vector<std::string>()) {
                std::set<std::string> missing;
                const auto message = written(one.message, candidate, missing);
                if (message.tool_calls.empty()) {
                    continue;
                }
                whole = la::testing::read(rendering->format, candidate, {});
                const std::string now = difference(whole, message);
                if (text.empty() || now.empty()) {
                    text = candidate;
                    why = now;
                }
                if (now.empty()) {
                    if (!missing.empty()) {
                        unwritten[tmpl.name].insert(missing.begin(), missing.end());
                    }
                    break;
                }
            }
            if (!why.empty()) {
                different[tmpl.name].insert(one.name);
                if (listed()[tmpl.name].count(one.name) == 0) {
                    std::printf("  %s, %s: %s: %s\n", tmpl.name.c_str(), one.name, why.c_str(), text.c_str());
                }
                continue;
            }
            ++n_read;
            const auto ends = la::testing::character_ends(text);
            std::vector<std::vector<size_t>> splits = { ends };
            for (const size_t cut : ends) {
                splits.push_back({ cut });
            }
            for (int i = 0; i < 4; ++i) {
                splits.push_back(la::testing::some_of(ends, random));
            }
            n_splits += splits.size();
            for (const auto & split : splits) {
                const Read read = la::testing::read(rendering->format, text, split);
                CHECK(read == whole && read.ordered);
                if (!(read == whole)) {
                    std::printf("  %s, %s, %zu pieces: %s\n", tmpl.name.c_str(), one.name, split.size() + 1, text.c_str());
                    break;
                }
            }
        }
    }
    std::printf("%zu messages of %zu templates in %zu splits, %zu of a message\n", n_read, n_templates, n_splits,
                n_read ? n_splits / n_read : 0);
    CHECK(unwritten == k_unwritten);
    CHECK(different == listed());
    show("not written", unwritten, k_unwritten);
    show("not read", different, listed());
}

TEST_MAIN
