// What AnswerParser makes of each generation in upstream's tests/test-chat.cpp, in every split, and of what fuzzing makes
// of them. Upstream's test is compiled into this program as it stands in the pinned source: nothing of it is copied.
#include "chat/answer.h"
#include "log/log_ring.h"
#include "testing/answers.h"
#include "testing/check.h"

#include "chat.h"
#include "log.h"

#include <cctype>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

using la::testing::Read;

struct Generation {
    std::string family; // file name of the template
    std::string text;
    la::AnswerFormatPtr format;
    bool cut_short = false;  // upstream reads it as a partial text only
    common_chat_msg message; // upstream's reading in one piece; not of one cut short
};

// Collects while upstream's test runs.
struct Recorder {
    std::vector<Generation> all;
    std::string family;
    std::string partial; // the longest partial text since the last whole one
    la::AnswerFormatPtr partial_format;

    void begin(const char * path) {
        end();
        family = std::filesystem::path(path).filename().string();
    }

    void end() {
        if (!partial.empty()) {
            all.push_back({ family, partial, partial_format, true, {} });
            partial.clear();
        }
    }

    void read(const common_peg_arena & parser, const std::string & text, bool is_partial,
              const common_chat_parser_params & params, const common_chat_msg & message) {
        if (is_partial) {
            if (partial.empty()) {
                partial_format = format_of(parser, params);
            }
            partial = text;
            return;
        }
        partial.clear();
        const bool again = !all.empty() && all.back().text == text && all.back().family == family &&
                           all.back().format->parser.generation_prompt == params.generation_prompt &&
                           all.back().format->parser.parser.save() == parser.save();
        if (!again) {
            all.push_back({ family, text, format_of(parser, params), false, message });
        }
    }

    static la::AnswerFormatPtr format_of(const common_peg_arena & parser, const common_chat_parser_params & params) {
        auto format = std::make_shared<la::AnswerFormat>();
        format->parser = params;
        format->parser.parser = parser;
        format->calls = true;
        format->late_ids = la::has_late_ids(parser);
        return format;
    }
};

Recorder & recorder() {
    static Recorder the_recorder;
    return the_recorder;
}

common_chat_msg recorded_parse(const common_peg_arena & parser, const std::string & text, bool is_partial,
                               const common_chat_parser_params & params) {
    const auto message = common_chat_peg_parse(parser, text, is_partial, params);
    recorder().read(parser, text, is_partial, params, message);
    return message;
}

// Upstream's test says which template comes next in its log.
template <typename... Args> void recorded_log(const char *, const Args &...) {}
void recorded_log(const char *, const char * path, const char *) {
    recorder().begin(path);
}

} // namespace

#undef LOG_INF
#define LOG_INF(...) recorded_log(__VA_ARGS__)
#define common_chat_peg_parse recorded_parse
#define main upstream_main
#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include LA_UPSTREAM_TEST_CHAT
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif
#undef main
#undef common_chat_peg_parse
#undef LOG_INF

// Upstream's test also speaks of its server, which is not part of ours. Those cases are not run.
json server_chat_convert_responses_to_chatcmpl(const json &) {
    std::abort();
}
json oaicompat_chat_params_parse(json &, const server_chat_params &, std::vector<raw_buffer> &) {
    std::abort();
}

namespace {

const std::vector<Generation> & generations() {
    if (recorder().all.empty()) {
        la::install_log();
        const auto before = std::filesystem::current_path();
        std::filesystem::current_path(LA_UPSTREAM_DIR);
        // An empty filter: the tests of the parsers, for every template.
        const char * arguments[] = { "test-chat", "--template", "" };
        upstream_main(3, const_cast<char **>(arguments));
        recorder().end();
        std::filesystem::current_path(before);
    }
    return recorder().all;
}

void show(const char * what, const Read & read) {
    std::printf("  %s: content <%s> reasoning <%s>\n", what, read.content.c_str(), read.reasoning.c_str());
    for (const auto & call : read.calls) {
        std::printf("    call %s %s <%s>\n", call.id.c_str(), call.name.c_str(), call.arguments.c_str());
    }
}

bool same(const Read & read, const common_chat_msg & message) {
    bool equal = read.content == message.content && read.reasoning == message.reasoning_content &&
                 read.calls.size() == message.tool_calls.size();
    for (size_t i = 0; equal && i < read.calls.size(); ++i) {
        const auto & ours = read.calls[i];
        const auto & theirs = message.tool_calls[i];
        equal = ours.name == theirs.name && ours.arguments == theirs.arguments && !ours.id.empty() &&
                (theirs.id.empty() || ours.id == theirs.id);
    }
    return equal;
}

// Generations of which we say more than upstream, with the reason: the end of a text, and of which family.
struct Difference {
    const char * family;
    const char * end;
    const char * why;
};

constexpr Difference k_differences[] = {
    { "openai-gpt-oss-120b.jinja", " to=container.exec<|channel|>commentary<|message|>python3 -c 'print(\"hello\")'",
      "a call of a tool that was not offered is all the answer that there is: upstream drops it, we show it raw" },
    { "openai-gpt-oss-120b.jinja", "<|channel|>commentary to=python <|constrain|>code<|message|>print(\"hello\")",
      "as above" },
};

const Difference * difference_of(const Generation & generation) {
    for (const auto & one : k_differences) {
        const std::string end = one.end;
        if (generation.family == one.family && generation.text.size() >= end.size() &&
            generation.text.compare(generation.text.size() - end.size(), end.size(), end) == 0) {
            return &one;
        }
    }
    return nullptr;
}

// Runs of letters and digits, with how often each stands in `text`.
void count_words(const std::string & text, std::map<std::string, int> & words) {
    std::string word;
    for (size_t i = 0; i <= text.size(); ++i) {
        const auto c = static_cast<unsigned char>(i < text.size() ? text[i] : ' ');
        if (std::isalnum(c) || c >= 0x80) {
            word += static_cast<char>(c);
        } else if (!word.empty()) {
            ++words[word];
            word.clear();
        }
    }
}

std::map<std::string, int> words_of(const std::string & text) {
    std::map<std::string, int> words;
    count_words(text, words);
    return words;
}

// JSON's escapes of white space and quotes as what they stand for.
std::string unescaped(const std::string & json) {
    std::string text;
    for (size_t i = 0; i < json.size(); ++i) {
        const bool escape = json[i] == '\\' && i + 1 < json.size();
        text += escape ? ' ' : json[i];
        i += escape ? 1 : 0;
    }
    return text;
}

std::map<std::string, int> words_of(const Read & read) {
    std::map<std::string, int> words;
    count_words(read.content, words);
    count_words(read.reasoning, words);
    for (const auto & call : read.calls) {
        count_words(call.name, words);
        count_words(unescaped(call.arguments), words);
    }
    return words;
}

bool ends_with(const std::string & text, const std::string & end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Its beginning is an argument's or the thinking's last word, its end came raw, since the text broke off in between.
bool is_torn(const std::string & word, const Read & read) {
    for (size_t at = 1; at < word.size(); ++at) {
        if (read.content.find(word.substr(at)) == std::string::npos) {
            continue;
        }
        const std::string head = word.substr(0, at);
        if (ends_with(read.reasoning, head)) {
            return true;
        }
        for (const auto & call : read.calls) {
            if (ends_with(call.arguments, head)) {
                return true;
            }
        }
    }
    return false;
}

// Words of a generation that are the model's own: all of them are in the message, none in the format around it.
std::set<std::string> own_words(const Generation & generation) {
    const auto in_text = words_of(generation.text);
    const auto in_message = words_of(la::testing::read(generation.format, generation.text, {}));
    std::set<std::string> own;
    for (const auto & [word, n] : in_text) {
        const auto found = in_message.find(word);
        if (word.size() >= 3 && found != in_message.end() && found->second == n) {
            own.insert(word);
        }
    }
    return own;
}

int n_in(const std::string & text, const std::string & word) {
    int n = 0;
    for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += word.size()) {
        ++n;
    }
    return n;
}

constexpr size_t k_longest_mark = 64; // with a function's name

// At a character's end.
size_t somewhere(const std::string & text, std::mt19937 & random) {
    const auto ends = la::testing::character_ends(text);
    return ends.empty() ? 0 : ends[random() % ends.size()];
}

} // namespace

TEST(upstreams_generations_are_there) {
    std::set<std::string> families;
    size_t n_bytes = 0;
    size_t n_cut_short = 0;
    for (const auto & generation : generations()) {
        families.insert(generation.family);
        n_bytes += generation.text.size();
        n_cut_short += generation.cut_short;
    }
    std::printf("%zu generations (%zu cut short) of %zu templates, %zu bytes\n", generations().size(), n_cut_short,
                families.size(), n_bytes);
    CHECK(generations().size() - n_cut_short >= 400);
    CHECK(families.size() >= 40);
}

TEST(every_split_of_every_generation_reads_as_the_whole) {
    std::mt19937 random(4);
    size_t n_splits = 0;
    size_t n_streamed = 0;
    size_t n_whole = 0;
    std::set<const Difference *> differences;
    for (const auto & generation : generations()) {
        if (generation.cut_short) {
            continue;
        }
        ++n_whole;
        const auto & format = generation.format;
        const auto & text = generation.text;
        const Read whole = la::testing::read(format, text, {});
        const int before = la::testing::n_failed();
        if (const auto * difference = difference_of(generation)) {
            CHECK(!same(whole, generation.message)); // or it is not to be listed
            auto shown = generation.message;
            shown.content += difference->end;
            CHECK(same(whole, shown));
            differences.insert(difference);
        } else {
            CHECK(same(whole, generation.message));
        }
        CHECK(whole.ordered);
        const auto ends = la::testing::character_ends(text);
        std::vector<std::vector<size_t>> splits = { ends };
        for (const size_t cut : ends) {
            splits.push_back({ cut });
        }
        for (int i = 0; i < 8; ++i) {
            splits.push_back(la::testing::some_of(ends, random));
        }
        n_splits += splits.size();
        for (const auto & split : splits) {
            const Read read = la::testing::read(format, text, split);
            n_streamed += &split == &splits.front() && read.n_early > 0;
            if (!(read == whole) || !read.ordered) {
                CHECK(read == whole);
                CHECK(read.ordered);
                std::printf("  %zu pieces, the first ends at %zu\n", split.size() + 1, split.empty() ? 0 : split.front());
                show("split", read);
                break;
            }
        }
        if (la::testing::n_failed() != before) {
            show("whole", whole);
            std::printf("  %s: %s\n", generation.family.c_str(), text.c_str());
        }
    }
    std::printf("%zu generations in %zu splits; of %zu something was out before the end\n", n_whole, n_splits, n_streamed);
    CHECK(n_streamed * 100 >= n_whole * 90);
    CHECK(differences.size() == std::size(k_differences));
}

TEST(a_generation_that_is_cut_doubled_or_spliced_loses_nothing) {
    std::mt19937 random(5);
    size_t n_texts = 0;
    size_t n_lost = 0;
    for (size_t i = 0; i < generations().size(); ++i) {
        const auto & generation = generations()[i];
        const auto & text = generation.text;
        const auto own = own_words(generation);
        std::vector<std::string> texts = { text };
        for (int n = 0; n < 3; ++n) {
            const size_t at = somewhere(text, random);
            const size_t from = somewhere(text, random);
            const auto & other = generations()[random() % generations().size()].text;
            texts.push_back(text.substr(0, at));
            texts.push_back(text.substr(from));
            texts.push_back(text.substr(0, at) + text.substr(from));
            texts.push_back(text + text.substr(from));
            texts.push_back(text.substr(0, at) + other.substr(somewhere(other, random)));
        }
        for (const auto & bad : texts) {
            ++n_texts;
            const auto ends = la::testing::character_ends(bad);
            for (const auto & split : { std::vector<size_t>(), n_texts % 4 == 0 ? ends : la::testing::some_of(ends, random) }) {
                const Read read = la::testing::read(generation.format, bad, split);
                const auto said = words_of(read);
                std::string lost;
                for (const auto & [word, n] : words_of(bad)) {
                    const auto found = said.find(word);
                    const bool there = (found != said.end() && found->second >= n) || n_in(read.content, word) >= n;
                    // A mark that was cut short, with a name in it, is no more than a mark.
                    if (own.count(word) > 0 && !there && !is_torn(word, read) &&
                        bad.rfind(word) + k_longest_mark < bad.size()) {
                        lost += " " + word;
                    }
                }
                CHECK(read.ordered);
                if (!lost.empty()) {
                    ++n_lost;
                    std::printf("  %s, %zu pieces: lost%s of: %s\n", generation.family.c_str(), split.size() + 1,
                                lost.c_str(), bad.c_str());
                    show("read", read);
                    break;
                }
            }
        }
    }
    std::printf("%zu texts, something was lost of %zu\n", n_texts, n_lost);
    CHECK(n_lost == 0);
}

TEST_MAIN
