#include "testing/check.h"
#include "text/stop.h"

#include <random>
#include <string>

using la::StopMatcher;

namespace {

struct Outcome {
    std::string text;
    bool stopped = false;
};

Outcome feed(std::vector<std::string> stops, const std::string & text, const std::vector<size_t> & cuts) {
    StopMatcher matcher(std::move(stops));
    Outcome outcome;
    size_t from = 0;
    for (size_t i = 0; i <= cuts.size() && !outcome.stopped; ++i) {
        const size_t to = i < cuts.size() ? cuts[i] : text.size();
        outcome.stopped = matcher.push(text.substr(from, to - from), outcome.text);
        from = to;
    }
    if (!outcome.stopped) {
        matcher.flush(outcome.text);
    }
    return outcome;
}

} // namespace

TEST(without_stops_text_passes_at_once) {
    StopMatcher matcher;
    std::string out;
    CHECK(!matcher.push("hello", out));
    CHECK(out == "hello" && matcher.n_held() == 0);
}

TEST(partial_stop_is_withheld_then_released) {
    StopMatcher matcher({ "STOP" });
    std::string out;
    CHECK(!matcher.push("abST", out));
    CHECK(out == "ab" && matcher.n_held() == 2);
    CHECK(!matcher.push("x", out));
    CHECK(out == "abSTx" && matcher.n_held() == 0);
}

TEST(stop_across_pieces_cuts_before_it) {
    StopMatcher matcher({ "\n\n" });
    std::string out;
    CHECK(!matcher.push("one\n", out));
    CHECK(matcher.push("\ntwo", out));
    CHECK(out == "one");
}

TEST(earliest_stop_wins) {
    CHECK(feed({ "world", "lo" }, "hello world", {}).text == "hel");
}

TEST(self_overlapping_stop) {
    const auto outcome = feed({ "aab" }, "aaaab!", { 1, 2, 3, 4 });
    CHECK(outcome.stopped && outcome.text == "aa");
}

TEST(result_does_not_depend_on_the_split) {
    std::mt19937 rng(11);
    for (int round = 0; round < 3000; ++round) {
        auto word = [&](size_t n) {
            std::string s(n, 'a');
            for (auto & c : s) {
                c = static_cast<char>('a' + rng() % 3);
            }
            return s;
        };
        std::vector<std::string> stops = { word(1 + rng() % 4), word(2 + rng() % 5) };
        const std::string text = word(rng() % 20);
        std::vector<size_t> cuts;
        for (size_t i = 1; i < text.size(); ++i) {
            if (rng() % 2) {
                cuts.push_back(i);
            }
        }
        const auto whole = feed(stops, text, {});
        const auto split = feed(stops, text, cuts);
        // One piece sees every stop at once; pieces see the one that completes first. Both must end before any stop
        // string appears in what was handed out, and agree on whether one occurs at all.
        CHECK(whole.stopped == split.stopped);
        for (const auto & stop : stops) {
            CHECK(split.text.find(stop) == std::string::npos);
        }
        CHECK(text.compare(0, split.text.size(), split.text) == 0);
    }
}

TEST_MAIN
