// Against std::regex over the whole text, as upstream asks it, for the triggers of all of upstream's chat templates.
#include "base/error.h"
#include "log/log_ring.h"
#include "sampling/trigger.h"
#include "testing/check.h"
#include "testing/templates.h"

#include "chat.h"

#include "../src/llama-grammar.h" // relative to common/, as upstream's own common includes it

#include <map>
#include <random>
#include <string>
#include <vector>

using namespace la;

namespace {

using Triggers = std::vector<common_grammar_trigger>;

common_grammar_trigger pattern(const std::string & value) {
    return { COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN, value, -1 };
}

common_grammar_trigger word(const std::string & value) {
    return { COMMON_GRAMMAR_TRIGGER_TYPE_WORD, value, -1 };
}

// Which parts the grammar sees first, as upstream finds out: one joined text, and the token that it begins in.
struct Found {
    int at = -1; // the piece that brought it
    std::string text;
    int first = -1;
    bool operator==(const Found & other) const { return at == other.at && text == other.text && first == other.first; }
};

Found by_regex(const Triggers & triggers, const std::vector<std::string> & pieces) {
    std::vector<llama_grammar_trigger_pattern> patterns;
    for (const auto & trigger : triggers) {
        std::string text = trigger.value;
        if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
            text = regex_escape(text);
        } else if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL) {
            text = "^" + text + "$";
        }
        patterns.push_back({ text, std::regex(text) });
    }
    std::string text;
    for (size_t i = 0; i < pieces.size(); ++i) {
        text += pieces[i];
        for (const auto & one : patterns) {
            const size_t start = one.find(text);
            if (start != std::string::npos) {
                size_t end = 0;
                for (size_t first = 0; first <= i; ++first) {
                    end += pieces[first].size();
                    if (end > start) {
                        return { static_cast<int>(i), text.substr(start), static_cast<int>(first) };
                    }
                }
                return { static_cast<int>(i), "", -1 };
            }
        }
    }
    return {};
}

Found by_trigger(const Triggers & triggers, const std::vector<std::string> & pieces) {
    Trigger trigger(triggers);
    for (size_t i = 0; i < pieces.size(); ++i) {
        const auto parts = trigger.push(static_cast<llama_token>(i), pieces[i]);
        if (!parts.empty()) {
            Found found = { static_cast<int>(i), "", parts.front().token };
            for (const auto & part : parts) {
                found.text += part.text;
            }
            return found;
        }
    }
    return {};
}

std::vector<std::string> split(const std::string & text, std::mt19937 & random) {
    std::vector<std::string> pieces;
    const size_t longest = 1 + random() % 12;
    for (size_t at = 0; at < text.size();) {
        const size_t n = random() % (longest + 1); // some tokens have no text
        pieces.push_back(text.substr(at, n));
        at += n;
    }
    return pieces;
}

// Fragments of what the triggers look for, and of what is beside it.
std::string text_for(const Triggers & triggers, std::mt19937 & random) {
    static const std::vector<std::string> others = { " ", "\n", "to", "all", "a", ">>>", ">", "<", "<|start|>assistant", " to",
        " to=", "self", "user", "<|message|>", "<|channel|>", "commentary", "analysis", "functions", "=", "text", "[", "{",
        "ö", "<|", "|>", "functions.x", "  \t" };
    // What the patterns match.
    static const std::vector<std::string> whole = { "  to", "<|channel|>analysis to=functions", "<|start|>assistant  to",
        "<|start|>assistant<|channel|>commentary to", " to=x<|message|>", "<|start|>assistant to=selfish<|message|>",
        " to=self<|message|>", "aab", "acdto", "abcd", "aa to", ">>>all", "[x]", "[]" };
    std::string text = random() % 4 == 0 ? whole[random() % whole.size()] : "";
    for (unsigned n = random() % 14; n > 0; --n) {
        const auto & value = triggers[random() % triggers.size()].value;
        const unsigned kind = random() % 6;
        if (kind == 0) {
            text += random() % 2 ? value : whole[random() % whole.size()];
        } else if (kind == 1) {
            const size_t from = random() % value.size();
            text += value.substr(random() % 2 ? 0 : from, 1 + random() % value.size());
        } else {
            text += others[random() % others.size()];
        }
    }
    return text;
}

void compare(const Triggers & triggers, int n_texts, std::mt19937 & random) {
    int n_found = 0;
    for (int i = 0; i < n_texts; ++i) {
        const auto pieces = split(text_for(triggers, random), random);
        const Found expected = by_regex(triggers, pieces);
        const Found found = by_trigger(triggers, pieces);
        if (!(found == expected)) {
            std::printf("'%s' in", triggers.front().value.c_str());
            for (const auto & piece : pieces) {
                std::printf(" '%s'", piece.c_str());
            }
            std::printf(": %d '%s', upstream %d '%s'\n", found.at, found.text.c_str(), expected.at, expected.text.c_str());
        }
        CHECK(found == expected);
        n_found += expected.at >= 0;
    }
    CHECK(n_found > n_texts / 50);
    CHECK(n_found < n_texts);
}

Triggers triggers_of(const std::string & source) {
    const auto templates = common_chat_templates_init(nullptr, source);
    common_chat_templates_inputs inputs;
    inputs.messages.push_back({});
    inputs.messages.back().role = "user";
    inputs.messages.back().content = "Hello";
    inputs.tools.push_back({ "get", "Gets.", R"({"type": "object", "properties": {"a": {"type": "string"}}})" });
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
    return common_chat_templates_apply(templates.get(), inputs).grammar_triggers;
}

} // namespace

TEST(patterns_of_each_kind_are_found_as_regular_expressions_are) {
    std::mt19937 random(3);
    for (const Triggers & triggers : std::vector<Triggers>{
             { pattern("a+(b|cd|)to$") },
             { pattern("^\\s+to$"), word("<|") },
             { pattern(">>>(?!all)") },
             { pattern("(?:^|<\\|start\\|>assistant)( to=(?!self<\\|message\\|>)(?!user<\\|message\\|>)[^<]*?<\\|message\\|>)") },
             { pattern("a[bc]*?d"), pattern("(\\s*)to"), pattern("\\[x?\\]") },
             { { COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL, "a*( to)", -1 } },
             { word("aab"), word("ab"), word("ö") },
         }) {
        compare(triggers, 3000, random);
    }
}

TEST(other_expressions_are_refused) {
    for (const char * text : { "a{2}", "\\d", "(a)(b)", "[a-z]", "(?:ab|c)*", "a$b", "(a", "a)", "*", "(?=a)", "\\bx", ".", "(?!)" }) {
        bool refused = false;
        try {
            TriggerPattern::expression(text);
        } catch (const Error &) {
            refused = true;
        }
        if (!refused) {
            std::printf("%s\n", text);
        }
        CHECK(refused);
    }
}

TEST(what_cannot_be_part_of_a_match_is_forgotten) {
    PatternSearch search(TriggerPattern::expression("<\\|start\\|>assistant(\\s+to)"), 0);
    for (int i = 0; i < 1000; ++i) {
        CHECK(!search.push("some text with < and <|st and so on "));
    }
    CHECK(search.needed_from() == 36000);
    CHECK(!search.push("<|start|>assistant "));
    CHECK(search.needed_from() == 36000);
    CHECK(search.push(" to") == size_t(36018));
}

TEST(after_a_false_alarm_the_search_goes_on) {
    Trigger trigger({ word("<call>"), pattern("^x") });
    CHECK(trigger.push(1, "a <call>b").size() == 1);
    trigger.go_on();
    CHECK(trigger.push(2, "x").empty()); // not the beginning
    CHECK(trigger.push(3, " <ca").empty());
    const auto parts = trigger.push(4, "ll> c");
    CHECK(parts.size() == 2 && parts[0].token == 3 && parts[0].text == "<ca" && parts[1].text == "ll> c");
}

TEST(tokens_are_triggers_whatever_they_spell) {
    Trigger trigger({ { COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN, "<call>", 7 }, word("zz") });
    CHECK(trigger.push(6, "a <call>").empty());
    const auto parts = trigger.push(7, "");
    CHECK(parts.size() == 1 && parts[0].token == 7 && parts[0].text.empty());
}

TEST(waiting_costs_as_much_late_as_early) {
    for (const Triggers & triggers : std::vector<Triggers>{
             { word("<tool_call>") },
             { pattern("^\\s+to$"), pattern("<\\|start\\|>assistant(\\s+to)"), pattern(">>>(?!all)") },
         }) {
        std::mt19937 random(1);
        Trigger trigger(triggers);
        const auto cost = [&](int n_tokens) {
            const double before = la::testing::cpu_s();
            for (int i = 0; i < n_tokens; ++i) {
                std::string text = " ";
                for (int j = 0; j < 4; ++j) {
                    text += static_cast<char>(' ' + random() % 95);
                }
                CHECK(trigger.push(1, text).empty());
            }
            return 1e6 * (la::testing::cpu_s() - before) / n_tokens;
        };
        const double early = cost(2000);
        cost(50000);
        const double late = cost(2000);
        std::printf("    %.2f us a token of the first 2,000, %.2f after 52,000\n", early, late);
        CHECK(late < 2 * early);
    }
}

// LA_UPSTREAM_DIR names the pinned source.
TEST(triggers_of_all_templates) {
    const auto templates = la::testing::upstream_templates();
    if (templates.empty()) {
        std::printf("    skipped: LA_UPSTREAM_DIR is not set\n");
        return;
    }
    install_log();
    std::mt19937 random(5);
    std::map<std::string, Triggers> all; // each set once
    int n_templates = 0;
    int n_lazy = 0;
    for (const auto & [name, source] : templates) {
        ++n_templates;
        Triggers triggers;
        try {
            triggers = triggers_of(source);
        } catch (const std::exception & e) {
            std::printf("    %s takes no tools: %s\n", name.c_str(), e.what());
        }
        std::string key;
        for (const auto & trigger : triggers) {
            key += std::to_string(trigger.type) + trigger.value + '\n';
        }
        n_lazy += !triggers.empty();
        all[key] = std::move(triggers);
    }
    CHECK(n_templates >= 60);
    CHECK(n_lazy > n_templates / 2);
    for (const auto & [key, triggers] : all) {
        if (!triggers.empty()) {
            compare(triggers, 1500, random);
        }
    }
    std::printf("    %d templates, %d with triggers, %zu different\n", n_templates, n_lazy, all.size());
}

TEST_MAIN
