#include "planner/planner.h"
#include "testing/check.h"

#include <map>

using la::StepBudget;

namespace {

std::vector<la::Share> plan_step(const std::vector<la::Work> & works, int32_t n_batch, int32_t n_prefill) {
    std::vector<la::Share> shares{ { 7, 7 } }; // of the step before
    la::plan_step(works, n_batch, n_prefill, shares);
    return shares;
}

std::map<int, int> as_map(const std::vector<la::Share> & shares) {
    std::map<int, int> all;
    for (const auto & share : shares) {
        CHECK(share.n_tokens > 0);
        CHECK(all.emplace(share.slot, share.n_tokens).second);
    }
    return all;
}

} // namespace

TEST(decoding_comes_first_and_prompts_share_the_rest) {
    const auto shares = plan_step({ { 0, 0 }, { 1, 1000 }, { 2, 0 } }, 512, 64);
    CHECK(shares[0].slot == 0 && shares[1].slot == 2);
    CHECK((as_map(shares) == std::map<int, int>{ { 0, 1 }, { 1, 64 }, { 2, 1 } }));
}

TEST(a_short_prompt_does_not_wait_for_a_long_one) {
    CHECK((as_map(plan_step({ { 0, 3000 }, { 1, 20 } }, 512, 100)) == std::map<int, int>{ { 0, 80 }, { 1, 20 } }));
}

TEST(equal_prompts_get_equal_parts) {
    CHECK((as_map(plan_step({ { 0, 500 }, { 1, 500 }, { 2, 500 } }, 512, 300)) ==
           std::map<int, int>{ { 0, 100 }, { 1, 100 }, { 2, 100 } }));
}

// Different parts would be a graph each.
TEST(what_does_not_divide_is_left_over) {
    CHECK((as_map(plan_step({ { 0, 500 }, { 1, 500 }, { 2, 500 } }, 512, 64)) ==
           std::map<int, int>{ { 0, 21 }, { 1, 21 }, { 2, 21 } }));
    CHECK((as_map(plan_step({ { 0, 500 }, { 1, 10 }, { 2, 500 }, { 3, 500 } }, 512, 75)) ==
           std::map<int, int>{ { 0, 21 }, { 1, 10 }, { 2, 21 }, { 3, 21 } }));
}

TEST(parts_too_small_are_not_made) {
    // Slot, what it has left, guesses, arrival. The one that ends first and the oldest are served.
    CHECK((as_map(plan_step({ { 0, 300, 0, 4 }, { 1, 400, 0, 1 }, { 2, 20, 0, 3 }, { 3, 30, 0, 2 } }, 512, 24)) ==
           std::map<int, int>{ { 1, 12 }, { 2, 12 } }));
    CHECK((as_map(plan_step({ { 0, 300, 0, 4 }, { 1, 400, 0, 1 }, { 2, 20, 0, 3 }, { 3, 30, 0, 2 } }, 512, 60)) ==
           std::map<int, int>{ { 1, 20 }, { 2, 20 }, { 3, 20 } }));
    CHECK((as_map(plan_step({ { 0, 30, 0, 1 }, { 1, 30, 0, 2 }, { 2, 30, 0, 3 } }, 512, 40)) ==
           std::map<int, int>{ { 0, 20 }, { 1, 20 } }));
    CHECK((as_map(plan_step({ { 0, 30, 0, 3 }, { 1, 30, 0, 2 }, { 2, 30, 0, 1 } }, 512, 40)) ==
           std::map<int, int>{ { 1, 20 }, { 2, 20 } }));
}

// However many short ones arrive.
TEST(nobody_starves) {
    int32_t n_left = 400;
    uint64_t arrival = 1;
    for (int step = 0; step < 100 && n_left > 0; ++step, arrival += 8) {
        std::vector<la::Work> works{ { 0, n_left, 0, 0 } };
        for (int i = 1; i < 8; ++i) {
            works.push_back({ i, 30, 0, arrival + static_cast<uint64_t>(i) });
        }
        n_left -= as_map(plan_step(works, 512, 8)).at(0);
    }
    CHECK(n_left == 0);
}

TEST(the_batch_is_never_exceeded) {
    for (int n_batch = 4; n_batch < 40; ++n_batch) {
        int n = 0;
        for (const auto & [slot, n_tokens] :
             as_map(plan_step({ { 0, 0 }, { 1, 0 }, { 2, 50 }, { 3, 7 } }, n_batch, 30))) {
            n += n_tokens;
        }
        CHECK(n <= n_batch);
        CHECK(n <= 32);
    }
}

TEST(less_budget_than_prompts_still_moves_on) {
    const auto shares = as_map(plan_step({ { 0, 9 }, { 1, 9 }, { 2, 9 } }, 16, 2));
    int n = 0;
    for (const auto & [slot, n_tokens] : shares) {
        n += n_tokens;
    }
    CHECK(n == 2);
}

TEST(budget_is_open_when_nobody_decodes) {
    StepBudget budget(512);
    CHECK(budget.n_prefill(0, 1) == 512);
    CHECK(budget.n_prefill(3, 1) == StepBudget::k_first_guess);
}

TEST(budget_follows_what_was_measured) {
    StepBudget budget(512);
    for (int i = 0; i < 50; ++i) {
        budget.note_step(4, 0, 0.020, true);   // a decode step: 20 ms
        budget.note_step(4, 40, 0.060, true);  // with 40 prompt tokens: 1 ms each more
    }
    CHECK(budget.n_prefill(4, 1) >= 23 && budget.n_prefill(4, 1) <= 25);
    CHECK(budget.prefill_token_s() > 0.0009 && budget.prefill_token_s() < 0.0011);
}

TEST(each_crowd_has_a_step_of_its_own) {
    StepBudget budget(512);
    CHECK(budget.decode_step_s(1) == 0 && budget.decode_step_s(0) == 0);
    for (int i = 0; i < 50; ++i) {
        budget.note_step(1, 0, 0.010, true);
        budget.note_step(9, 0, 0.050, true);
    }
    const auto near = [](double a, double b) { return a > b - 1e-6 && a < b + 1e-6; };
    CHECK(near(budget.decode_step_s(1), 0.010));
    CHECK(near(budget.decode_step_s(5), 0.030));
    CHECK(near(budget.decode_step_s(9), 0.050));
    CHECK(near(budget.decode_step_s(16), 0.050));
    StepBudget other(512);
    other.note_step(9, 0, 0.050, true);
    CHECK(near(other.decode_step_s(2), 0.050));
}

TEST(a_part_beside_decoders_costs_a_graph_more) {
    StepBudget budget(512);
    budget.note_step(0, 512, 0.512, false); // 1 ms each
    budget.note_step(4, 0, 0.020, true);
    CHECK(budget.n_prefill(4, 1) >= 23 && budget.n_prefill(4, 1) <= 24);
    CHECK(budget.n_prefill(4, 1, 0.010) >= 13 && budget.n_prefill(4, 1, 0.010) <= 14);
    CHECK(budget.n_prefill(4, 1, 1) == StepBudget::k_min_tokens);
    for (int i = 0; i < 50; ++i) {
        budget.note_step(4, 30, 0.060, true); // 1 ms each, and 10 ms
    }
    CHECK(budget.n_prefill(4, 1) >= 13 && budget.n_prefill(4, 1) <= 14);
    CHECK(budget.prefill_token_s() > 0.0009 && budget.prefill_token_s() < 0.0011);
    CHECK(budget.spare_s(4, 1) > 0.0239 && budget.spare_s(4, 1) < 0.0241);
}

// Each of them will decode soon, and make a step as long.
TEST(many_prompts_may_take_longer_than_one) {
    StepBudget budget(512);
    const auto near = [](double a, double b) { return a > b - 1e-6 && a < b + 1e-6; };
    CHECK(budget.spare_s(0, 4) == 0 && budget.spare_s(1, 4) == 0);
    for (int i = 0; i < 50; ++i) {
        budget.note_step(1, 0, 0.100, true);
        budget.note_step(9, 0, 0.500, true);
        budget.note_step(0, 100, 2, false); // 20 ms each
    }
    CHECK(near(budget.spare_s(1, 0), 1.2 * 0.100) && near(budget.spare_s(1, 1), 1.2 * 0.100));
    CHECK(near(budget.spare_s(1, 9), 2.2 * 0.500 - 0.100));
    CHECK(budget.n_prefill(1, 9) == 50);
    CHECK(near(budget.decode_step_s(14), 0.600)); // nobody has seen so many
    CHECK(near(budget.spare_s(9, 6), 2.2 * 0.600 - 0.500));
}

TEST(fast_steps_leave_a_prompt_more) {
    StepBudget budget(512);
    budget.note_step(0, 100, 0.100, false); // 1 ms each
    budget.note_step(4, 0, 0.010, true);
    CHECK(budget.spare_s(4, 1) > 0.0299 && budget.spare_s(4, 1) < 0.0301);
    CHECK(budget.n_prefill(4, 1) >= 29 && budget.n_prefill(4, 1) <= 30);
    CHECK(budget.spare_s(0, 1) == 0); // nobody decodes
}

TEST(a_slice_leaves_time_for_the_step_behind_it) {
    StepBudget budget(512);
    const auto near = [](double a, double b) { return a > b - 1e-6 && a < b + 1e-6; };
    CHECK(budget.gap_s(4, 1) == 0 && budget.slice_s(4, 1) == 0);
    budget.note_step(4, 0, 0.010, true);
    CHECK(near(budget.gap_s(4, 1), 0.010 * StepBudget::k_gap));
    CHECK(near(budget.slice_s(4, 1), budget.gap_s(4, 1) - 0.010));
    budget.note_step_behind_slice(4, 0.014);
    CHECK(near(budget.slice_s(4, 1), budget.gap_s(4, 1) - 0.014));
    CHECK(near(budget.decode_step_s(4), 0.010)); // says nothing of those that follow each other
    for (int i = 0; i < 200; ++i) {
        budget.note_step_behind_slice(4, 0.150);
    }
    // What was seen undisturbed is long ago: where no step is undisturbed, these tell.
    CHECK(budget.decode_step_s(4) > 0.095 && budget.decode_step_s(4) < 0.101);
    CHECK(budget.slice_s(4, 1) > 0.8 * budget.decode_step_s(4)); // prompts go on
    budget.note_step_behind_slice(7, 0.300);
    CHECK(near(budget.decode_step_s(7), 0.200));
    budget.note_step(12, 0, 0.500, true);
    CHECK(near(budget.gap_s(4, 9), 0.500 * StepBudget::k_gap)); // the crowd that is to come
}

TEST(a_step_that_others_made_long_is_no_price) {
    StepBudget budget(512);
    for (int i = 0; i < 20; ++i) {
        budget.note_step(4, 0, 0.010, true);
    }
    budget.note_step(4, 0, 0.100, true);
    CHECK(budget.decode_step_s(4) < 0.0103);
    for (int i = 0; i < 60; ++i) {
        budget.note_step(4, 0, 0.020, true);
    }
    CHECK(budget.decode_step_s(4) > 0.019); // but where all are longer, it is
}

TEST(budget_has_a_floor) {
    StepBudget budget(512);
    budget.note_step(4, 0, 0.001, true);
    budget.note_step(0, 100, 1.0, false);
    CHECK(budget.n_prefill(1, 1) == StepBudget::k_min_tokens);
}

TEST_MAIN
