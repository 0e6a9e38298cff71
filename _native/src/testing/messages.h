// Messages with calls, and the tools that they call, for tests that go through templates.
#pragma once

#include "chat.h" // common's

#include <string>
#include <vector>

namespace la::testing {

// `nested`: with one whose schema nests, which one template's analysis fails on.
inline std::vector<common_chat_tool> tools(bool nested) {
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

inline common_chat_msg question() {
    common_chat_msg message;
    message.role = "user";
    message.content = "How is the weather?";
    return message;
}

struct CallingMessage {
    const char * name;
    common_chat_msg message;
};

inline const std::vector<CallingMessage> & messages_with_calls() {
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
    static const std::vector<CallingMessage> all = {
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

} // namespace la::testing
