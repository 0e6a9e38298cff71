#include "speculative/pace.h"
#include "testing/check.h"

#include <cmath>

using la::Acceptance;
using la::Guessable;
using la::GuessPace;

namespace {

// The seconds of a step on a machine where a guessed token costs `share` of a plain step.
double step_s(int n_guessed, double share) {
    return 0.01 * (1 + share * n_guessed);
}

int allot_one(GuessPace & pace, const Acceptance & acceptance, int n_streams = 1, int n_available = 64, int n_most = 64) {
    std::vector<Guessable> guessables = { { &acceptance, n_available, 0, 0, true, 0 } };
    pace.allot(guessables, n_streams, n_most);
    return guessables[0].n;
}

// Decodes n_tokens where each guessed token is right with certainty or never, and returns the seconds of a plain decode
// over those that it took.
double speedup(double share, bool right, int n_tokens, double allowance) {
    GuessPace pace(4);
    Acceptance acceptance(0.6, allowance);
    double seconds = 0;
    int n_done = 0;
    while (n_done < n_tokens) {
        const int n = allot_one(pace, acceptance);
        const double step = step_s(n, share);
        seconds += step;
        pace.note_step(1, n, step);
        const int n_right = right ? n : 0;
        for (int i = 0; i <= n_right; ++i) {
            acceptance.note_token();
        }
        if (n > 0) {
            acceptance.note(n, n_right, n * pace.token_cost(1, n, 0));
        }
        n_done += 1 + n_right;
    }
    return n_done * step_s(0, share) / seconds;
}

} // namespace

TEST(nothing_is_guessed_before_a_plain_step_was_measured) {
    GuessPace pace(4);
    const Acceptance sure(0.99, 8);
    CHECK(allot_one(pace, sure) == 0);
    pace.note_step(1, 0, 0.01);
    CHECK(allot_one(pace, sure) > 0);
    CHECK(allot_one(pace, sure, 2) == 0); // of two streams it was not
}

TEST(what_comes_true_is_guessed_far_and_what_does_not_is_left) {
    for (const double share : { 0.02, 0.1, 0.3 }) {
        CHECK(speedup(share, true, 400, 0.4) > 0.6 / share / (1 + 0.6 / share) * 1.5);
    }
    CHECK(speedup(0.05, true, 400, 0.4) > 4);
    for (const double share : { 0.02, 0.1, 0.3, 0.6, 0.9, 1.5 }) {
        CHECK(speedup(share, false, 64, 0.4) > 0.95);
        CHECK(speedup(share, false, 1000, 2) > 0.98);
    }
}

TEST(a_token_that_costs_a_step_is_not_guessed) {
    GuessPace pace(4);
    const Acceptance likely(0.8, 8);
    pace.note_step(1, 0, 0.01);
    for (int i = 0; i < 20; ++i) {
        pace.note_step(1, 4, 0.01 * 5);
        pace.note_step(1, 0, 0.01);
    }
    CHECK(allot_one(pace, likely) == 0);
}

TEST(a_price_seen_once_does_not_stand_for_ever) {
    GuessPace pace(4);
    const Acceptance likely(0.9, 8);
    pace.note_step(1, 0, 0.01);
    pace.note_step(1, 1, 1.0);
    int n_refused = 0;
    while (allot_one(pace, likely) == 0 && n_refused < 1000) {
        ++n_refused;
    }
    CHECK(n_refused > 0 && n_refused < 300);
}

TEST(bounds_are_kept) {
    GuessPace pace(4);
    const Acceptance sure(0.99, 8);
    pace.note_step(1, 0, 0.01);
    pace.note_step(3, 0, 0.01);
    pace.note_step(3, 4, 0.0101);
    CHECK(allot_one(pace, sure, 1, 3) <= 3);
    CHECK(allot_one(pace, sure, 1, 64, 2) <= 2);
    std::vector<Guessable> guessables = { { &sure, 9, 0, 0, true, 0 },
                                           { &sure, 9, 10, 0, true, 0 },
                                           { &sure, 9, 0, 0, true, 0 } };
    pace.allot(guessables, 3, 12);
    CHECK(guessables[1].n == 0); // it has fewer than it wants at least
    CHECK(guessables[0].n > 0 && guessables[0].n + guessables[2].n <= 12);
}

TEST(who_does_not_ask_what_it_costs_gets_all_there_is_room_for) {
    GuessPace pace(4);
    const Acceptance hopeless(0.01, 0);
    std::vector<Guessable> guessables = { { &hopeless, 9, 0, 0, false, 0 }, { &hopeless, 9, 0, 0, false, 0 } };
    pace.allot(guessables, 2, 12);
    CHECK(guessables[0].n == 9 && guessables[1].n == 3);
}

TEST(many_streams_risk_less) {
    GuessPace pace(16);
    for (const int n_streams : { 1, 16 }) {
        pace.note_step(n_streams, 0, 0.01);
        pace.note_step(n_streams, 4, 0.0102);
    }
    const Acceptance likely(0.6, 1);
    CHECK(allot_one(pace, likely, 1) > allot_one(pace, likely, 16));
}

TEST(a_plain_step_is_taken_now_and_then) {
    GuessPace pace(1);
    const Acceptance sure(0.99, 8);
    pace.note_step(1, 0, 0.01);
    int n_in_a_row = 0;
    while (n_in_a_row < 1000 && allot_one(pace, sure) > 0) {
        pace.note_step(1, 8, 0.011);
        ++n_in_a_row;
    }
    CHECK(n_in_a_row > 8 && n_in_a_row < 100);
}

TEST(an_untried_guess_teaches_too) {
    Acceptance acceptance(0.6, 0);
    for (int i = 0; i < 30; ++i) {
        acceptance.note_untried(false);
    }
    CHECK(acceptance.p() < 0.05);
    for (int i = 0; i < 30; ++i) {
        acceptance.note_untried(true);
    }
    CHECK(acceptance.p() > 0.9);
    acceptance.note(3, 0, 0);
    const double low = acceptance.p();
    for (int i = 0; i < 200; ++i) {
        acceptance.note_idle();
    }
    CHECK(std::fabs(acceptance.p() - 0.6) < 0.05 && low > acceptance.p());
    CHECK(std::fabs(Acceptance(0.5, 0).expected(2) - 0.75) < 1e-9);
}

TEST_MAIN
