#include "testing/check.h"
#include "text/phases.h"

#include <random>
#include <string>

using la::PhaseFinder;

namespace {

// The same text, a letter for each byte's phase: s, t, p, c.
std::string phases(PhaseFinder finder, const std::string & text, const std::vector<size_t> & cuts) {
    std::string result;
    size_t from = 0;
    for (size_t i = 0; i <= cuts.size(); ++i) {
        const size_t to = i < cuts.size() ? cuts[i] : text.size();
        std::string_view rest(text.data() + from, to - from);
        while (!rest.empty()) {
            const char letter = "stpc"[finder.phase()];
            const size_t n = finder.push(rest);
            result.append(n, letter);
            rest.remove_prefix(n);
        }
        from = to;
    }
    return result;
}

PhaseFinder finder() {
    return PhaseFinder("<think>", { "</think>", "[end]" }, { "<call>" });
}

} // namespace

TEST(thinking_lies_between_its_marks) {
    CHECK(phases(finder(), "a<think>b</think>\n\nc", {}) == "ssssssss"
                                                           "ttttttttt"
                                                           "pps");
    CHECK(phases(finder(), "<think>b[end]c", {}) == "ssssssstttttts");
}

TEST(it_knows_the_mark_it_met) {
    auto one = finder();
    one.push("a<think>");
    CHECK(one.phase() == PhaseFinder::thinking && one.n_mark() == 7);
    one.push("b<");
    CHECK(!one.within_mark());
    one.push("</th");
    CHECK(one.within_mark());
    one.push("b[end]");
    CHECK(one.phase() == PhaseFinder::pausing && one.n_mark() == 5 && !one.within_mark());
}

TEST(it_may_come_again) {
    CHECK(phases(finder(), "<think>[end]<think>b", {}) == "ssssssstttttssssssst");
}

TEST(what_looks_like_a_mark_is_none) {
    CHECK(phases(finder(), "<<think><</think>c", {}) == std::string(8, 's') + std::string(9, 't') + "s");
    CHECK(phases(finder(), "</think><thin", {}) == std::string(13, 's'));
}

TEST(a_call_lasts_and_is_none_within_thinking) {
    CHECK(phases(finder(), "a<call><think>b", {}) == "sssssss" + std::string(8, 'c'));
    CHECK(phases(finder(), "<think><call>", {}) == "sssssss" + std::string(6, 't'));
}

TEST(without_marks_all_is_said) {
    CHECK(phases(PhaseFinder(), "a", {}) == "s");
    CHECK(phases(PhaseFinder("", { "</think>" }, {}), "a</think>b", {}) == std::string(10, 's'));
    CHECK(phases(PhaseFinder("<think>", {}, {}), "<think>b", {}) == std::string(8, 's'));
    CHECK(phases(PhaseFinder("<think>", { "" }, { "" }), "<think>b", {}) == std::string(8, 's'));
}

TEST(phases_do_not_depend_on_the_split) {
    std::mt19937 rng(7);
    const std::vector<std::string> parts = { "<think>", "</think>", "[end]", "<", "think>", "</", "a", " ", "\n", "[e" };
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        for (int i = 0; i < 12; ++i) {
            text += rng() % 40 == 0 ? "<call>" : parts[rng() % parts.size()];
        }
        std::vector<size_t> cuts;
        for (size_t at = rng() % 4; at < text.size(); at += rng() % 4) {
            cuts.push_back(at);
        }
        CHECK(phases(finder(), text, cuts) == phases(finder(), text, {}));
    }
}

TEST_MAIN
