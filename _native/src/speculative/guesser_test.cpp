#include "base/error.h"
#include "speculative/guesser.h"
#include "testing/check.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>

using la::Guesser;
using la::Prediction;
using la::SharedNgrams;
using la::SpeculationSpec;
using Tokens = std::vector<llama_token>;

namespace {

// Of a literal: it is not copied.
la_speculation open_to(const char * kinds) {
    return { { kinds, std::strlen(kinds) }, -1, -1, -1, -1, -1, -1, -1 };
}

Tokens count(int from, int to) {
    Tokens tokens;
    for (int i = from; i < to; ++i) {
        tokens.push_back(i);
    }
    return tokens;
}

Tokens operator+(Tokens a, const Tokens & b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

// What a prediction of `predicted` guesses after `said`.
Tokens guess_after(const Tokens & predicted, const Tokens & said, int n = 4) {
    Prediction prediction(predicted);
    for (const llama_token token : said) {
        prediction.note(token);
    }
    Tokens out;
    prediction.guess(n, out);
    return out;
}

std::string refused(const la_speculation & speculation) {
    try {
        SpeculationSpec spec(speculation, {});
        return "";
    } catch (const la::Error & e) {
        return e.what();
    }
}

} // namespace

TEST(a_prediction_is_followed) {
    const Tokens text = count(100, 160);
    CHECK(guess_after(text, {}) == count(100, 104));
    CHECK(guess_after(text, count(100, 120)) == count(120, 124));
    CHECK(guess_after(text, count(100, 158)) == count(158, 160));
    CHECK(guess_after(text, text).empty());
}

TEST(an_edited_answer_comes_back_to_its_prediction) {
    const Tokens text = count(100, 200);
    const Tokens begun = count(100, 120);
    CHECK(guess_after(text, begun + Tokens{ 1 }).empty());
    CHECK(guess_after(text, begun + Tokens{ 1, 2, 3 } + count(125, 127)) == count(127, 131)); // replaced
    CHECK(guess_after(text, begun + Tokens{ 1, 2, 3 } + count(120, 122)) == count(122, 126)); // inserted
    CHECK(guess_after(text, begun + count(140, 142)) == count(142, 146));                     // left out
    CHECK(guess_after(text, begun + Tokens{ 1 } + count(190, 192)).empty());                  // far off two may be chance
    CHECK(guess_after(text, begun + Tokens{ 1 } + count(190, 194)) == count(194, 198));
    CHECK(guess_after(text, count(100, 180) + Tokens{ 1 } + count(104, 108)) == count(108, 112)); // said again
}

TEST(what_was_said_of_a_prediction_is_counted) {
    Prediction prediction(count(100, 150));
    for (const llama_token token : count(100, 110) + Tokens{ 1, 2 } + count(112, 132)) {
        prediction.note(token);
    }
    CHECK(prediction.n_said() == 30);
    CHECK(prediction.n_unsaid() == 20);
    Prediction none(count(100, 110));
    for (int i = 0; i < 20; ++i) {
        none.note(5);
    }
    CHECK(none.n_said() == 0 && none.n_unsaid() == 10);
}

TEST(every_kind_of_lookup_finds_what_was_said_before) {
    const Tokens phrase = count(500, 560);
    const Tokens said = count(0, 40) + phrase + count(40, 80) + phrase + count(80, 120) + count(500, 530);
    SharedNgrams shared(0);
    for (const char * kind : { "ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache" }) {
        auto speculation = open_to(kind);
        speculation.n_max = 8;
        Guesser guesser(SpeculationSpec(speculation, {}), {}, false);
        const int32_t n = guesser.look(said, 530, 16, shared);
        CHECK(n == 8);
        CHECK(guesser.guess() == count(531, 539));
        CHECK(guesser.source() == Guesser::lookup);
        guesser.cut(n);
        guesser.note_step(3, 0.1);
    }
}

TEST(lookups_survive_whatever_is_said) {
    std::mt19937 random(7);
    for (const char * kinds : { "ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache" }) {
        for (const int size_n : { 1, 2, 5, 30 }) {
            auto speculation = open_to(kinds);
            speculation.ngram_size_n = size_n;
            speculation.n_max = 6;
            SharedNgrams shared(size_n);
            Guesser guesser(SpeculationSpec(speculation, {}), {}, false);
            Tokens said;
            for (int i = 0; i < 300; ++i) {
                const auto last = static_cast<llama_token>(random() % 4);
                const int32_t n = guesser.look(said, last, static_cast<int32_t>(random() % 9), shared);
                CHECK(n <= 6 && n == static_cast<int32_t>(guesser.guess().size()));
                CHECK(std::all_of(guesser.guess().begin(), guesser.guess().end(), [](llama_token t) { return t >= 0 && t < 4; }));
                guesser.cut(n / 2);
                guesser.note_token(0, last);
                guesser.note_step(n / 4, 0.2);
                said.push_back(last);
            }
        }
    }
}

TEST(the_preferred_kind_is_asked_first_and_a_prediction_before_all) {
    const Tokens said = count(0, 60) + count(0, 30);
    SharedNgrams shared(0);
    SpeculationSpec spec(open_to("ngram-cache,ngram-simple"), {});
    Guesser predicting(spec, count(300, 340), false);
    CHECK(predicting.look(said, 30, 4, shared) == 4);
    CHECK(predicting.source() == Guesser::prediction && predicting.guess() == count(300, 304));
    predicting.note_token(0, 31); // the answer says something else
    CHECK(predicting.look(said, 30, 4, shared) > 0);
    CHECK(predicting.source() == Guesser::lookup && predicting.guess().front() == 31);
}

TEST(a_model_is_asked_when_nobody_knows_better) {
    SharedNgrams shared(0);
    SpeculationSpec spec(open_to("ngram-simple,draft-simple"), {});
    Guesser guesser(spec, {}, true);
    CHECK(guesser.look(count(0, 100), 1000, 5, shared) == 5);
    CHECK(guesser.source() == Guesser::model && guesser.guess().empty());
    guesser.guess() = count(0, 5);
    guesser.cut(3);
    CHECK(guesser.n_tried() == 3);
}

TEST(a_guess_that_was_not_tried_is_judged_nonetheless) {
    SharedNgrams shared(0);
    Guesser guesser(SpeculationSpec(open_to("ngram-simple"), {}), {}, false);
    const Tokens said = count(0, 60) + count(0, 30);
    const double before = guesser.acceptance().p();
    for (int i = 0; i < 10; ++i) {
        CHECK(guesser.look(said, 30, 4, shared) > 0);
        guesser.cut(0);
        guesser.note_token(0, 7);
    }
    CHECK(guesser.acceptance().p() < before / 2);
}

TEST(wrong_options_are_named) {
    CHECK(refused(open_to("ngram")).find("'ngram'") != std::string::npos);
    CHECK(refused(open_to("none")).empty());
    auto speculation = open_to("ngram-mod");
    speculation.n_max = 1000;
    CHECK(refused(speculation).find("n_max is 1000") != std::string::npos);
    speculation = open_to("ngram-mod");
    speculation.ngram_size_n = 0;
    CHECK(refused(speculation).find("ngram_size_n is 0") != std::string::npos);
    speculation.ngram_size_n = -1;
    speculation.p_min = 2;
    CHECK(refused(speculation).find("p_min") != std::string::npos);
}

TEST(what_is_left_open_is_the_engines) {
    auto speculation = open_to("ngram-mod,ngram-cache");
    speculation.n_max = 5;
    const SpeculationSpec engine(speculation, {});
    const SpeculationSpec request(open_to(""), engine);
    CHECK(request.n_max == 5 && request.kinds == engine.kinds);
    CHECK(SpeculationSpec(open_to("none"), engine).kinds.empty());
}

TEST_MAIN
