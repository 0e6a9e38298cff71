// Random texts of a grammar, and whether one is.
#pragma once

#include "../src/llama-grammar.h" // upstream's
#include "../src/unicode.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace la::testing {

class GrammarTexts {
  public:
    explicit GrammarTexts(const std::string & grammar, uint32_t seed) : random_(seed) {
        if (!parser_.parse(grammar.c_str()) || parser_.symbol_ids.count("root") == 0) {
            throw std::runtime_error("the grammar does not parse");
        }
        find_heights();
    }

    // Short ones are likelier than long ones.
    std::string next() {
        std::string text;
        n_steps_ = 0;
        write(parser_.symbol_ids.at("root"), text);
        return text;
    }

  private:
    static constexpr int k_free_steps = 60; // from there on the shortest way out is taken
    static constexpr int k_endless = 1 << 20;

    using Rule = llama_grammar_rule;

    // Where each alternative begins.
    static std::vector<size_t> alternatives(const Rule & rule) {
        std::vector<size_t> starts = { 0 };
        for (size_t i = 0; i < rule.size(); ++i) {
            if (rule[i].type == LLAMA_GRETYPE_ALT) {
                starts.push_back(i + 1);
            }
        }
        return starts;
    }

    static bool is_end(const llama_grammar_element & element) {
        return element.type == LLAMA_GRETYPE_END || element.type == LLAMA_GRETYPE_ALT;
    }

    int height(const Rule & rule, size_t start) const {
        int most = 0;
        for (size_t i = start; !is_end(rule[i]); ++i) {
            most = std::max(most, rule[i].type == LLAMA_GRETYPE_RULE_REF ? heights_[rule[i].value] : 0);
        }
        return std::min(most + 1, k_endless);
    }

    // How deep the shallowest way through each rule goes.
    void find_heights() {
        heights_.assign(parser_.rules.size(), k_endless);
        for (bool changed = true; changed;) {
            changed = false;
            for (size_t id = 0; id < parser_.rules.size(); ++id) {
                for (const size_t start : alternatives(parser_.rules[id])) {
                    const int now = height(parser_.rules[id], start);
                    changed = changed || now < heights_[id];
                    heights_[id] = std::min(heights_[id], now);
                }
            }
        }
    }

    void write(uint32_t id, std::string & text) {
        const Rule & rule = parser_.rules[id];
        const auto starts = alternatives(rule);
        size_t start = starts[random_() % starts.size()];
        if (++n_steps_ > k_free_steps) {
            start = *std::min_element(starts.begin(), starts.end(),
                                      [&](size_t a, size_t b) { return height(rule, a) < height(rule, b); });
        }
        for (size_t i = start; !is_end(rule[i]);) {
            if (rule[i].type == LLAMA_GRETYPE_RULE_REF) {
                write(rule[i].value, text);
                ++i;
            } else {
                i = write_character(rule, i, text);
            }
        }
    }

    size_t write_character(const Rule & rule, size_t at, std::string & text) {
        const bool any = rule[at].type == LLAMA_GRETYPE_CHAR_ANY;
        const bool negated = rule[at].type == LLAMA_GRETYPE_CHAR_NOT;
        std::vector<std::pair<uint32_t, uint32_t>> ranges;
        size_t end = at + 1;
        if (!any) {
            ranges.push_back({ rule[at].value, rule[at].value });
            for (; rule[end].type == LLAMA_GRETYPE_CHAR_ALT || rule[end].type == LLAMA_GRETYPE_CHAR_RNG_UPPER; ++end) {
                if (rule[end].type == LLAMA_GRETYPE_CHAR_RNG_UPPER) {
                    ranges.back().second = rule[end].value;
                } else {
                    ranges.push_back({ rule[end].value, rule[end].value });
                }
            }
        }
        if (any || negated) {
            static const uint32_t k_some[] = { 'a', 'b', ' ', '1', '\n', '"', '\\', '<', '>', '/', '{', '}', '\'', 0xE9, 0x6771 };
            std::vector<uint32_t> left;
            for (const uint32_t c : k_some) {
                if (std::none_of(ranges.begin(), ranges.end(), [&](auto range) { return range.first <= c && c <= range.second; })) {
                    left.push_back(c);
                }
            }
            append(left[random_() % left.size()], text);
        } else {
            const auto range = ranges[random_() % ranges.size()];
            append(range.first + random_() % (range.second - range.first + 1), text);
        }
        return end;
    }

    static void append(uint32_t c, std::string & text) {
        if (c < 0x80) {
            text += static_cast<char>(c);
        } else if (c < 0x800) {
            text += static_cast<char>(0xC0 | c >> 6);
            text += static_cast<char>(0x80 | (c & 0x3F));
        } else if (c < 0x10000) {
            text += static_cast<char>(0xE0 | c >> 12);
            text += static_cast<char>(0x80 | (c >> 6 & 0x3F));
            text += static_cast<char>(0x80 | (c & 0x3F));
        } else {
            text += static_cast<char>(0xF0 | c >> 18);
            text += static_cast<char>(0x80 | (c >> 12 & 0x3F));
            text += static_cast<char>(0x80 | (c >> 6 & 0x3F));
            text += static_cast<char>(0x80 | (c & 0x3F));
        }
    }

    llama_grammar_parser parser_;
    std::vector<int> heights_;
    std::mt19937 random_;
    int n_steps_ = 0;
};

inline bool is_text_of(const std::string & grammar, const std::string & text) {
    const std::unique_ptr<llama_grammar, decltype(&llama_grammar_free_impl)> state(
        llama_grammar_init_impl(nullptr, grammar.c_str(), "root", false, nullptr, 0, nullptr, 0), llama_grammar_free_impl);
    if (!state) {
        return false;
    }
    const auto & stacks = llama_grammar_get_stacks(state.get());
    for (const uint32_t character : unicode_cpts_from_utf8(text)) {
        llama_grammar_accept(state.get(), character);
        if (stacks.empty()) {
            return false;
        }
    }
    return std::any_of(stacks.begin(), stacks.end(), [](const auto & stack) { return stack.empty(); });
}

} // namespace la::testing
