#include "prefix/prefix.h"
#include "testing/check.h"

#include <numeric>

using la::place;
using la::PrefixRules;
using la::SlotView;
using la::Tokens;

namespace {

Tokens range(int n, int from = 0) {
    Tokens tokens(n);
    std::iota(tokens.begin(), tokens.end(), from);
    return tokens;
}

const Tokens k_empty;

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
    CHECK(place(range(900), slots, {}).wait);
    CHECK(!place(range(900, 5000), slots, {}).wait);
    const std::vector<SlotView> done = { { &coming, nullptr, false, 1 }, { &k_empty, nullptr, true, 0 } };
    const auto placed = place(range(900), done, {});
    CHECK(!placed.wait && placed.source == 0 && placed.n_reused == 899);
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
    PrefixRules rules;
    rules.can_truncate = false;
    rules.can_wait = false;
    const Tokens longer = range(120);
    const Tokens part = range(60);
    CHECK(place(range(100), { { &longer, nullptr, true, 1 } }, rules).n_reused == 0);
    CHECK(place(range(100), { { &part, nullptr, true, 1 } }, rules).n_reused == 60);
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
