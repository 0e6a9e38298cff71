// Reading one answer in pieces, as the tests of several formats do.
#pragma once

#include "chat/answer.h"

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace la::testing {

// What the parts of an answer amount to.
struct Read {
    std::string content;
    std::string reasoning;
    std::vector<common_chat_tool_call> calls;
    int32_t n_reasoning = 0;
    size_t n_early = 0;  // updates before the last one that brought something
    bool ordered = true; // id and name came once, with a call's first part

    bool operator==(const Read & other) const {
        return content == other.content && reasoning == other.reasoning && calls == other.calls;
    }
};

inline void take(const std::vector<AnswerPart> & parts, Read & read) {
    for (const auto & part : parts) {
        if (part.kind == AnswerPart::content) {
            read.content += part.text;
        } else if (part.kind == AnswerPart::reasoning) {
            read.reasoning += part.text;
        } else {
            const auto index = static_cast<size_t>(part.index);
            const bool first = index == read.calls.size();
            read.ordered = read.ordered && index <= read.calls.size() && first == !part.id.empty() &&
                           first == !part.name.empty();
            if (first) {
                read.calls.push_back({ part.name, {}, part.id });
            }
            if (index < read.calls.size()) {
                read.calls[index].arguments += part.text;
            }
        }
    }
}

// In pieces that end at `cuts`, updated after each.
inline Read read(const AnswerFormatPtr & format, const std::string & text, const std::vector<size_t> & cuts) {
    int n_ids = 0;
    AnswerParser parser(format, [&] { return "id" + std::to_string(n_ids++); });
    Read result;
    size_t from = 0;
    for (const size_t to : cuts) {
        std::vector<AnswerPart> parts;
        parser.push(std::string_view(text).substr(from, to - from));
        parser.update(false, parts);
        take(parts, result);
        result.n_early += parts.empty() ? 0 : 1;
        from = to;
    }
    std::vector<AnswerPart> parts;
    parser.push(std::string_view(text).substr(from));
    parser.update(true, parts);
    take(parts, result);
    result.n_reasoning = parser.n_reasoning();
    return result;
}

// Where a text may be cut: the engine hands out whole characters.
inline std::vector<size_t> character_ends(const std::string & text) {
    std::vector<size_t> ends;
    for (size_t at = 1; at < text.size(); ++at) {
        if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80) {
            ends.push_back(at);
        }
    }
    return ends;
}

// Some of `all`, in order.
inline std::vector<size_t> some_of(const std::vector<size_t> & all, std::mt19937 & random) {
    std::vector<size_t> some;
    const unsigned share = 2 + random() % 12;
    for (const size_t cut : all) {
        if (random() % share == 0) {
            some.push_back(cut);
        }
    }
    return some;
}

} // namespace la::testing
