#include "prefix/prefix.h"
#include "testing/check.h"
#include "testing/tokens.h"

using la::Placement;
using la::PrefixRules;
using la::SlotView;
using la::StoredView;
using la::Tokens;
using la::testing::range;

namespace {

const Tokens k_empty;

Placement place(const Tokens & prompt, const std::vector<SlotView> & slots, const PrefixRules & rules,
                const std::vector<StoredView> & stored = {}) {
    return la::place(prompt, slots, stored, rules);
}

PrefixRules no_cuts() {
    PrefixRules rules;
    rules.can_cut = false;
    return rules;
}

} // namespace

TEST(common_prefix_counts) {
    CHECK(la::common_prefix({ 1, 2, 3 }, { 1, 2, 4, 5 }) == 2);
    CHECK(la::common_prefix({}, { 1 }) == 0);
}

TEST(an_empty_slot_is_taken_first) {
    const Tokens old = range(50, 1000);
    const auto placed = place(range(100), { { &old, nullptr, true, 5 }, { &k_empty, nullptr, true, 9 } }, {});
    CHECK(placed.slot == 1 && placed.n_reused == 0 && placed.source == -1);
}

TEST(the_least_recently_used_is_overwritten) {
    const Tokens a = range(50, 1000);
    const Tokens b = range(50, 2000);
    CHECK(place(range(100), { { &a, nullptr, true, 5 }, { &b, nullptr, true, 3 } }, {}).slot == 1);
}

TEST(who_decodes_together_lies_side_by_side) {
    PrefixRules rules;
    rules.neighbours = true;
    const Tokens a = range(50, 1000);
    const Tokens b = range(50, 2000);
    const SlotView free_a = { &a, nullptr, true, 5 };
    const SlotView free_b = { &b, nullptr, true, 3 };
    const SlotView empty = { &k_empty, nullptr, true, 0 };
    const SlotView busy = { &b, nullptr, false, 9 };
    CHECK(place(range(100), { free_a, busy, free_b, empty }, rules).slot == 2);           // of neighbours the older
    CHECK(place(range(100), { free_b, busy, free_a, busy, free_b }, rules).slot == 2);    // before that, a gap
    CHECK(place(range(100), { busy, busy, free_a, empty }, rules).slot == 2);             // before an empty one apart
    CHECK(place(range(100), { free_a, free_b, empty }, rules).slot == 2);                 // nobody decodes
    CHECK(place(range(100), { busy, busy, free_a, empty }, {}).slot == 3);                // it does not count
}

TEST(the_next_turn_goes_to_its_own_slot) {
    const Tokens turn = range(80);
    const Tokens other = range(50, 1000);
    const auto placed = place(range(100), { { &other, nullptr, true, 1 }, { &turn, nullptr, true, 9 } }, {});
    CHECK(placed.slot == 1 && placed.n_reused == 80 && placed.source == -1);
}

TEST(one_token_is_always_computed) {
    const Tokens same = range(100);
    CHECK(place(range(100), { { &same, nullptr, true, 1 } }, {}).n_reused == 99);
}

TEST(a_running_slot_is_copied) {
    const Tokens running = range(90);
    const auto placed = place(range(100), { { &running, nullptr, false, 1 }, { &k_empty, nullptr, true, 0 } }, {});
    CHECK(placed.slot == 1 && placed.source == 0 && placed.n_reused == 90);
}

TEST(a_short_shared_part_is_not_worth_a_copy) {
    const Tokens running = range(20);
    const auto placed = place(range(100), { { &running, nullptr, false, 1 }, { &k_empty, nullptr, true, 0 } }, {});
    CHECK(placed.slot == 1 && placed.source == -1 && placed.n_reused == 0);
}

TEST(waiting_for_a_prefill_beats_doing_it_twice) {
    const Tokens coming = range(1000);
    const Tokens so_far = range(100);
    const std::vector<SlotView> slots = { { &so_far, &coming, false, 1 }, { &k_empty, nullptr, true, 0 } };
    const auto waits = place(range(900), slots, {});
    CHECK(waits.wait && waits.source == 0 && waits.checkpoint == 899);
    CHECK(!place(range(900, 5000), slots, {}).wait);
    const std::vector<SlotView> done = { { &coming, nullptr, false, 1 }, { &k_empty, nullptr, true, 0 } };
    const auto placed = place(range(900), done, {});
    CHECK(!placed.wait && placed.source == 0 && placed.n_reused == 899);
}

TEST(nobody_waits_for_a_few_tokens_more) {
    const Tokens coming = range(1000);
    const Tokens so_far = range(895);
    const std::vector<SlotView> slots = { { &so_far, &coming, false, 1 }, { &k_empty, nullptr, true, 0 } };
    const auto placed = place(range(900), slots, {}); // 899 are of use
    CHECK(!placed.wait && placed.source == 0 && placed.n_reused == 895);
    const Tokens early = range(800);
    CHECK(place(range(900), { { &early, &coming, false, 1 }, { &k_empty, nullptr, true, 0 } }, {}).wait);
}

TEST(once_the_shared_part_is_there_nobody_waits_for_the_tail) {
    Tokens coming = range(1000);
    const Tokens so_far = range(950);
    Tokens mine = range(1100);
    for (size_t i = 940; i < mine.size(); ++i) {
        mine[i] += 100000;
    }
    const auto placed = place(mine, { { &so_far, &coming, false, 1 }, { &k_empty, nullptr, true, 0 } }, {});
    CHECK(!placed.wait && placed.source == 0 && placed.n_reused == 940);
}

TEST(a_recurrent_state_is_reused_only_whole) {
    const Tokens longer = range(120);
    const Tokens part = range(60);
    CHECK(place(range(100), { { &longer, nullptr, true, 1, 120 } }, no_cuts()).n_reused == 0);
    CHECK(place(range(100), { { &part, nullptr, true, 1, 60 } }, no_cuts()).n_reused == 60);
}

TEST(a_window_is_cut_only_as_far_as_it_reaches) {
    const Tokens longer = range(120);
    CHECK(place(range(100), { { &longer, nullptr, true, 1, 101 } }, no_cuts()).n_reused == 0);
    CHECK(place(range(100), { { &longer, nullptr, true, 1, 99 } }, no_cuts()).n_reused == 99);
}

TEST(who_waits_for_a_state_that_cannot_be_cut_asks_for_a_checkpoint) {
    const Tokens coming = range(1000);
    const Tokens so_far = range(100);
    Tokens mine = range(1100);
    for (size_t i = 800; i < mine.size(); ++i) {
        mine[i] += 100000;
    }
    const auto waits = place(mine, { { &so_far, &coming, false, 1, 100 }, { &k_empty, nullptr, true, 0 } }, no_cuts());
    CHECK(waits.wait && waits.source == 0 && waits.checkpoint == 800);
    const Tokens past = range(900);
    const auto late = place(mine, { { &past, &coming, false, 1, 900 }, { &k_empty, nullptr, true, 0 } }, no_cuts());
    CHECK(!late.wait && late.slot == 1 && late.n_reused == 0 && late.checkpoint == 800);
    PrefixRules nowhere = no_cuts();
    nowhere.can_keep = false;
    CHECK(!place(mine, { { &so_far, &coming, false, 1, 100 }, { &k_empty, nullptr, true, 0 } }, nowhere).wait);
}

TEST(a_stored_state_is_had_back) {
    const Tokens kept = range(500);
    const std::vector<StoredView> stored = { { &kept, 0 } };
    const auto placed = place(range(400), { { &k_empty, nullptr, true, 0 } }, {}, stored);
    CHECK(placed.slot == 0 && placed.stored == 0 && placed.n_reused == 399);
    const Tokens own = range(390);
    CHECK(place(range(400), { { &own, nullptr, true, 0 } }, {}, stored).stored == -1); // nine tokens are not worth it
    PrefixRules off;
    off.can_reuse = false;
    CHECK(place(range(400), { { &k_empty, nullptr, true, 0 } }, off, stored).stored == -1);
}

TEST(a_stored_state_that_cannot_be_cut_serves_whole) {
    const Tokens kept = range(300);
    const std::vector<StoredView> stored = { { &kept, 300 } };
    CHECK(place(range(400), { { &k_empty, nullptr, true, 0 } }, no_cuts(), stored).n_reused == 300);
    const auto shorter = place(range(200), { { &k_empty, nullptr, true, 0 } }, no_cuts(), stored);
    CHECK(shorter.n_reused == 0 && shorter.checkpoint == 199);
}

TEST(a_copy_costs_what_it_moves) {
    PrefixRules rules;
    rules.copy_tokens = 8;
    rules.copy_share = 0.1;
    const Tokens running = range(1000);
    Tokens mine = range(2000);
    for (size_t i = 90; i < mine.size(); ++i) {
        mine[i] += 100000;
    }
    const std::vector<SlotView> slots = { { &running, nullptr, false, 1 }, { &k_empty, nullptr, true, 0 } };
    CHECK(place(mine, slots, rules).source == -1); // 90 of 1,000 tokens moved cost 108
    rules.copy_share = 0.01;
    CHECK(place(mine, slots, rules).source == 0);
}

TEST(somebody_elses_conversation_is_copied_not_overwritten) {
    Tokens conversation = range(1000);
    const Tokens prompt = [] {
        Tokens tokens = range(100);
        for (size_t i = 60; i < tokens.size(); ++i) {
            tokens[i] += 100000;
        }
        return tokens;
    }();
    const auto placed = place(prompt, { { &conversation, nullptr, true, 9 }, { &k_empty, nullptr, true, 0 } }, {});
    CHECK(placed.slot == 1 && placed.source == 0 && placed.n_reused == 60);
    const auto alone = place(prompt, { { &conversation, nullptr, true, 9 } }, {});
    CHECK(alone.slot == 0 && alone.source == -1 && alone.n_reused == 60);
}

TEST(without_the_cache_everything_is_computed) {
    PrefixRules rules;
    rules.can_reuse = false;
    const Tokens same = range(100);
    const std::vector<SlotView> slots = { { &same, nullptr, true, 1 }, { &same, &same, false, 1 } };
    const auto placed = place(range(100), slots, rules);
    CHECK(placed.slot == 0 && placed.n_reused == 0 && placed.source == -1 && !placed.wait);
}

TEST(a_full_house_waits) {
    const Tokens running = range(10);
    CHECK(place(range(100), { { &running, nullptr, false, 1 } }, {}).slot == -1);
}

TEST_MAIN
