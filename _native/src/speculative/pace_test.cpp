#include "speculative/pace.h"
#include "testing/check.h"

#include <cmath>

using la::Acceptance;
using la::Guessable;
using la::GuessPace;
using la::SlotRows;

namespace {

// The seconds of a step on a machine where a guessed token costs `share` of a plain step.
double step_s(int n_guessed, double share) {
    return 0.01 * (1 + share * n_guessed);
}

std::vector<int32_t> slots_of(int n_streams) {
    std::vector<int32_t> slots;
    for (int i = 0; i < n_streams; ++i) {
        slots.push_back(i);
    }
    return slots;
}

// A step of so many streams, of which the first guesses; all of them: with `equally`.
void note(GuessPace & pace, int n_streams, int n_guessed, double seconds, bool equally = false) {
    std::vector<SlotRows> rows;
    for (int i = 0; i < n_streams; ++i) {
        rows.push_back({ i, i == 0 || equally ? 1 + n_guessed : 1 });
    }
    pace.note_step(rows, seconds);
}

int allot_one(GuessPace & pace, const Acceptance & acceptance, int n_streams = 1, int n_available = 64, int n_most = 64) {
    std::vector<Guessable> guessables = { { &acceptance, 0, n_available, 0, 0, true, 0 } };
    pace.allot(guessables, slots_of(n_streams), n_most);
    return guessables[0].n;
}

// Decodes n_tokens where each guessed token is right with certainty or never, and returns the seconds of a plain decode
// over those that it took.
double speedup(double share, bool right, int n_tokens, double allowance) {
    GuessPace pace(4, true);
    Acceptance acceptance(0.6, 0.95, allowance);
    double seconds = 0;
    int n_done = 0;
    while (n_done < n_tokens) {
        const int n = allot_one(pace, acceptance);
        const double step = step_s(n, share);
        seconds += step;
        pace.note_step({ { 0, 1 + n } }, step);
        const int n_right = right ? n : 0;
        for (int i = 0; i <= n_right; ++i) {
            acceptance.note_token();
        }
        if (n > 0) {
            acceptance.note(n, n_right, n * pace.token_cost({ { 0, 1 + n } }, 0));
        }
        n_done += 1 + n_right;
    }
    return n_done * step_s(0, share) / seconds;
}

} // namespace

TEST(nothing_is_guessed_before_a_plain_step_was_measured) {
    GuessPace pace(4, true);
    const Acceptance sure(0.99, 0.99, 8);
    CHECK(allot_one(pace, sure) == 0);
    note(pace, 1, 0, 0.01);
    CHECK(allot_one(pace, sure) > 0);
    CHECK(allot_one(pace, sure, 2) == 0); // of two streams it was not
}

TEST(what_comes_true_is_guessed_far_and_what_does_not_is_left) {
    for (const double share : { 0.02, 0.1, 0.3 }) {
        CHECK(speedup(share, true, 400, 0.4) > 0.6 / share / (1 + 0.6 / share) * 1.5);
    }
    CHECK(speedup(0.05, true, 400, 0.4) > 4);
    CHECK(speedup(0.5, true, 400, 1.5) > 1.6);
    for (const double share : { 0.02, 0.1, 0.3, 0.6, 0.9, 1.5 }) {
        CHECK(speedup(share, false, 64, 1.5) > 0.95);
        CHECK(speedup(share, false, 1000, 2) > 0.98);
    }
}

TEST(a_token_that_costs_a_step_is_not_guessed) {
    GuessPace pace(4, true);
    const Acceptance likely(0.8, 0.8, 8);
    for (int i = 0; i < 20; ++i) {
        note(pace, 1, 0, 0.01);
        note(pace, 1, 4, 0.01 * 5);
    }
    note(pace, 1, 0, 0.01);
    CHECK(allot_one(pace, likely) == 0);
}

TEST(a_price_seen_once_does_not_stand_for_ever) {
    GuessPace pace(4, true);
    const Acceptance likely(0.9, 0.9, 8);
    note(pace, 1, 0, 0.01);
    note(pace, 1, 1, 0.0204);
    int n_refused = 0;
    while (allot_one(pace, likely, 1, 1) == 0 && n_refused < 1000) {
        ++n_refused;
    }
    CHECK(n_refused > 0 && n_refused < 300);
}

TEST(a_dear_second_row_does_not_hide_cheap_ones_behind_it) {
    // Kernels that compute one row and those that compute many are not the same: two rows cost 1.9 times, eight 2.
    GuessPace pace(1, true);
    Acceptance acceptance(0.9, 0.97, 8);
    const auto price = [](int n) { return n == 0 ? 0.01 : 0.0185 + 0.0002 * n; };
    int longest = 0;
    for (int i = 0; i < 30; ++i) {
        const int n = allot_one(pace, acceptance);
        longest = n > longest ? n : longest;
        pace.note_step({ { 0, 1 + n } }, price(n));
        if (n > 0) {
            acceptance.note(n, n, n * pace.token_cost({ { 0, 1 + n } }, 0));
        }
    }
    CHECK(longest >= 8);
}

TEST(bounds_are_kept) {
    GuessPace pace(4, false);
    const Acceptance sure(0.99, 0.99, 8);
    note(pace, 1, 0, 0.01);
    note(pace, 3, 0, 0.01);
    note(pace, 3, 1, 0.0101, true);
    CHECK(allot_one(pace, sure, 1, 3) <= 3);
    CHECK(allot_one(pace, sure, 1, 64, 2) <= 2);
    std::vector<Guessable> guessables = { { &sure, 0, 9, 0, 0, true, 0 },
                                           { &sure, 1, 9, 10, 0, true, 0 },
                                           { &sure, 2, 9, 0, 0, true, 0 } };
    pace.allot(guessables, slots_of(3), 12);
    CHECK(guessables[1].n == 0); // it has fewer than it wants at least
    CHECK(guessables[0].n > 0 && guessables[0].n + guessables[2].n <= 12);
}

TEST(who_does_not_ask_what_it_costs_gets_all_there_is_room_for) {
    GuessPace pace(4, true);
    const Acceptance hopeless(0.01, 0.01, 0);
    std::vector<Guessable> guessables = { { &hopeless, 0, 9, 0, 0, false, 0 }, { &hopeless, 1, 9, 0, 0, false, 0 } };
    pace.allot(guessables, slots_of(2), 12);
    CHECK(guessables[0].n == 9 && guessables[1].n == 3);
}

TEST(many_streams_risk_less) {
    GuessPace pace(16, false);
    for (const int n_streams : { 1, 16 }) {
        note(pace, n_streams, 0, 0.01);
        note(pace, n_streams, 4, 0.0102);
    }
    const Acceptance likely(0.6, 0.6, 1);
    CHECK(allot_one(pace, likely, 1) > allot_one(pace, likely, 16));
}

TEST(streams_that_guess_go_equally_far) {
    // Each graph reads the weights.
    const auto price = [](int32_t n_rows) { return 0.01 * (2 + 0.25 * n_rows); };
    GuessPace pace(4, true);
    for (int i = 0; i < 5; ++i) {
        for (const int n : { 0, 1, 4, 8 }) {
            note(pace, 4, n, price(4 * (1 + n)), true);
            pace.note_step({ { 0, 1 + n } }, price(1 + n));
        }
    }
    note(pace, 4, 0, price(4));
    const Acceptance sure(0.9, 0.9, 16);
    const Acceptance hopeless(0.01, 0.01, 16);
    std::vector<Guessable> all = { { &sure, 0, 30, 0, 0, true, 0 }, { &sure, 1, 9, 0, 0, true, 0 },
                                   { &sure, 2, 12, 0, 0, true, 0 }, { &sure, 3, 30, 0, 0, true, 0 } };
    pace.allot(all, slots_of(4), 100);
    CHECK(all[0].n > 2 && all[0].n == all[1].n && all[1].n == all[2].n && all[2].n == all[3].n);
    std::vector<Guessable> some = { { &sure, 0, 30, 0, 0, true, 0 }, { &hopeless, 1, 30, 0, 0, true, 0 },
                                    { &hopeless, 2, 30, 0, 0, true, 0 }, { &hopeless, 3, 30, 0, 0, true, 0 } };
    pace.allot(some, slots_of(4), 100);
    CHECK(some[0].n != 1 && some[1].n == 0 && some[3].n == 0); // one token more would be a graph of its own
}

TEST(a_plain_step_is_taken_now_and_then) {
    GuessPace pace(1, true);
    const Acceptance sure(0.99, 0.99, 8);
    note(pace, 1, 0, 0.01);
    int longest = 0;
    for (int i = 0; i < 6; ++i) {
        int n_in_a_row = 0;
        while (n_in_a_row < 1000 && allot_one(pace, sure) > 0) {
            note(pace, 1, 8, 0.011);
            ++n_in_a_row;
        }
        CHECK(n_in_a_row >= 4 && n_in_a_row < 100);
        longest = n_in_a_row > longest ? n_in_a_row : longest;
        note(pace, 1, 0, 0.01);
    }
    CHECK(longest > 32); // seldom, once it is known what they cost
}

TEST(an_untried_guess_teaches_too) {
    Acceptance acceptance(0.6, 0.6, 0);
    for (int i = 0; i < 30; ++i) {
        acceptance.note_untried(false);
    }
    CHECK(acceptance.p() < 0.12);
    for (int i = 0; i < 200; ++i) {
        acceptance.note_untried(true);
    }
    CHECK(acceptance.p() > 0.9);
    acceptance.note(3, 0, 0);
    const double low = acceptance.p();
    for (int i = 0; i < 400; ++i) {
        acceptance.note_idle();
    }
    CHECK(std::fabs(acceptance.p() - 0.6) < 0.05 && low < 0.5);
    CHECK(std::fabs(Acceptance(0.5, 0.5, 0).expected(2) - 0.75) < 1e-9);
}

TEST(a_row_of_right_ones_promises_more) {
    Acceptance acceptance(0.4, 0.95, 0);
    const double first = acceptance.p();
    for (int i = 0; i < 6; ++i) {
        acceptance.note_untried(true);
    }
    CHECK(acceptance.p() > 0.85 && first < 0.45);
    acceptance.note_untried(false);
    CHECK(acceptance.p() < 0.6); // what was just found
    acceptance.note(5, 5, 1);
    CHECK(acceptance.p() > 0.7 && acceptance.affordable() > 3.9);
}

TEST_MAIN
