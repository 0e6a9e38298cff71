#include "prefix/store.h"
#include "testing/check.h"
#include "testing/tokens.h"

using la::KeptState;
using la::KeptStatePtr;
using la::PrefixStore;
using la::Tokens;
using la::testing::range;

namespace {

KeptStatePtr state(Tokens tokens, size_t size) {
    auto kept = std::make_shared<KeptState>();
    kept->tokens = std::move(tokens);
    kept->data.reset(new uint8_t[size]);
    kept->size = size;
    return kept;
}

} // namespace

TEST(the_longest_unused_leaves_first) {
    PrefixStore store(100, true);
    store.put(state(range(5, 100), 40));
    store.put(state(range(5, 200), 40));
    store.use(0);
    store.put(state(range(5, 300), 40));
    CHECK(store.bytes() == 80);
    CHECK(store.covers(range(5, 100)) && !store.covers(range(5, 200)) && store.covers(range(5, 300)));
}

TEST(a_state_that_is_used_outlives_its_removal) {
    PrefixStore store(100, true);
    store.put(state(range(5, 100), 60));
    const KeptStatePtr used = store.use(0);
    store.put(state(range(5, 200), 60));
    CHECK(!store.covers(range(5, 100)));
    CHECK(used->tokens == range(5, 100) && used->size == 60);
}

TEST(a_longer_one_replaces_its_beginning) {
    PrefixStore store(100, true);
    store.put(state(range(10), 20));
    store.put(state(range(30), 50));
    CHECK(store.bytes() == 50 && store.views().size() == 1);
    CHECK(store.covers(range(10)));
    CHECK(store.views()[0].first_cut == 0);
}

TEST(what_cannot_be_cut_is_kept_beside_what_it_begins) {
    PrefixStore store(100, false);
    store.put(state(range(10), 20));
    store.put(state(range(30), 50));
    CHECK(store.bytes() == 70);
    CHECK(!store.covers(range(20)) && store.covers(range(30)));
    CHECK(store.views()[1].first_cut == 30);
    store.put(state(range(30), 50));
    CHECK(store.bytes() == 70);
}

TEST(without_a_budget_nothing_fits) {
    const PrefixStore store(0, true);
    CHECK(!store.fits(1));
}

TEST_MAIN
