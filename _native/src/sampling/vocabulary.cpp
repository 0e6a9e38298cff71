#include "sampling/vocabulary.h"

#include "common.h"

#include <algorithm>

namespace la {

namespace {

struct Entry {
    DecodedPiece text;
    llama_token token;
};

} // namespace

Vocabulary::Vocabulary(const llama_vocab * vocab) : vocab_(vocab), n_tokens_(llama_vocab_n_tokens(vocab)) {
    std::vector<Entry> entries;
    for (llama_token token = 0; token < n_tokens_; ++token) {
        if (is_end(token)) {
            ends_.push_back(token);
            continue;
        }
        const std::string text = piece(token);
        if (text.empty() || text[0] == '\0') {
            continue; // no grammar admits it
        }
        auto decoded = decode_piece(text);
        if (decoded.partial.n_remain < 0) {
            if ((static_cast<uint8_t>(text[0]) & 0xC0) == 0x80) {
                continuations_.push_back(token);
            }
        } else {
            characters_.insert(characters_.end(), decoded.chars.begin(), decoded.chars.end());
            entries.push_back({ std::move(decoded), token });
        }
    }
    std::sort(characters_.begin(), characters_.end());
    characters_.erase(std::unique(characters_.begin(), characters_.end()), characters_.end());
    std::sort(entries.begin(), entries.end(), [](const Entry & a, const Entry & b) {
        return a.text.chars != b.text.chars ? a.text.chars < b.text.chars : a.token < b.token;
    });

    nodes_.push_back({ 0, 0, 0, 0 });
    std::vector<uint32_t> path = { 0 }; // open nodes, by depth
    const auto close_to = [&](size_t depth) {
        for (; path.size() > depth + 1; path.pop_back()) {
            nodes_[path.back()].skip = static_cast<uint32_t>(nodes_.size());
        }
    };
    const std::vector<uint32_t> * last = nullptr;
    for (const auto & entry : entries) {
        const auto & chars = entry.text.chars;
        size_t shared = 0;
        while (last && shared < last->size() && shared < chars.size() && (*last)[shared] == chars[shared]) {
            ++shared;
        }
        close_to(shared);
        for (size_t i = shared; i < chars.size(); ++i) {
            const auto place = std::lower_bound(characters_.begin(), characters_.end(), chars[i]);
            path.push_back(static_cast<uint32_t>(nodes_.size()));
            nodes_.push_back({ static_cast<uint32_t>(place - characters_.begin()), static_cast<uint32_t>(i + 1), 0,
                               static_cast<uint32_t>(tokens_.size()) });
        }
        tokens_.push_back({ entry.token, entry.text.partial });
        last = &chars;
    }
    close_to(0);
    nodes_[0].skip = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({ 0, 0, 0, static_cast<uint32_t>(tokens_.size()) });
}

std::string Vocabulary::piece(llama_token token) const {
    return common_token_to_piece(vocab_, token, true);
}

} // namespace la
