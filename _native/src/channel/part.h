// A piece of an answer that has more than text: reasoning and tool calls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace la {

struct AnswerPart {
    enum Kind { content, reasoning, call };

    Kind kind = content;
    std::string text;  // of a call: of its arguments
    int32_t index = 0; // of a call
    std::string id;    // of a call, once, with its first part
    std::string name;

    bool operator==(const AnswerPart & other) const {
        return kind == other.kind && text == other.text && index == other.index && id == other.id && name == other.name;
    }
};

// Appends `part` to `parts`, joined with the last one where they belong together.
void append_part(std::vector<AnswerPart> & parts, AnswerPart part);

} // namespace la
