#include "speculative/step_prices.h"
#include "testing/check.h"

#include <cmath>

using la::SlotRows;
using la::step_graphs;
using la::StepGraph;
using la::StepPrices;

namespace {

bool operator==(StepGraph a, StepGraph b) {
    return a.n_sequences == b.n_sequences && a.n_rows == b.n_rows;
}

std::vector<StepGraph> graphs_of(const std::vector<SlotRows> & rows, bool partitioned = true) {
    std::vector<StepGraph> graphs;
    step_graphs(rows, partitioned, graphs);
    return graphs;
}

bool are(const std::vector<StepGraph> & found, const std::vector<StepGraph> & expected) {
    return std::equal(found.begin(), found.end(), expected.begin(), expected.end(),
                      [](StepGraph a, StepGraph b) { return a == b; });
}

bool near(double a, double b, double share = 0.02) {
    return std::fabs(a - b) <= share * b;
}

StepGraph one(int32_t n_rows) {
    return { 1, n_rows };
}

} // namespace

TEST(a_partitioned_cache_computes_equal_rows_of_neighbours_at_a_time) {
    CHECK(graphs_of({}).empty());
    CHECK(are(graphs_of({ { 3, 9 } }), { { 1, 9 } }));
    CHECK(are(graphs_of({ { 0, 1 }, { 1, 1 }, { 2, 1 } }), { { 3, 3 } }));
    CHECK(are(graphs_of({ { 0, 5 }, { 1, 5 } }), { { 2, 10 } }));
    CHECK(are(graphs_of({ { 0, 5 }, { 1, 1 }, { 2, 1 } }), { { 3, 3 }, { 1, 4 } }));
    CHECK(are(graphs_of({ { 0, 5 }, { 1, 1 }, { 2, 5 } }), { { 3, 3 }, { 1, 4 }, { 1, 4 } }));
    CHECK(are(graphs_of({ { 0, 2 }, { 1, 3 }, { 2, 5 } }), { { 3, 6 }, { 2, 2 }, { 1, 2 } }));
    CHECK(are(graphs_of({ { 0, 2 }, { 2, 2 } }), { { 1, 2 }, { 1, 2 } })); // a gap
    CHECK(are(graphs_of({ { 0, 5 }, { 1, 1 }, { 3, 2 } }, false), { { 3, 8 } }));
}

TEST(prices_lie_on_lines_between_what_was_seen) {
    StepPrices prices(4);
    CHECK(prices.seconds(one(1)) == 0 && !prices.knows(one(1)));
    prices.note({ one(1) }, 0.010);
    CHECK(near(prices.seconds(one(1)), 0.010) && prices.knows(one(1)) && !prices.knows(one(2)));
    CHECK(prices.seconds(one(9)) > 0.010 && prices.seconds(one(9)) < 0.030); // hope
    prices.note({ one(5) }, 0.030);
    CHECK(near(prices.seconds(one(3)), 0.020) && near(prices.seconds(one(5)), 0.030));
    CHECK(near(prices.seconds(one(9)), 0.040)); // half of what a row was found to cost
    prices.note({ one(9) }, 0.031);
    CHECK(near(prices.seconds(one(7)), 0.0305));
}

TEST(one_preempted_step_changes_no_price) {
    StepPrices prices(4);
    for (int i = 0; i < 20; ++i) {
        prices.note({ one(1) }, 0.010);
        prices.note({ one(4) }, 0.020);
    }
    prices.note({ one(4) }, 0.500);
    const double ratio = prices.seconds(one(4)) / prices.seconds(one(1));
    CHECK(near(ratio, 2.0));
    prices.note({ one(1) }, 0.010);
    prices.note({ one(1) }, 0.010);
    CHECK(near(prices.seconds(one(4)), 0.020, 0.06));
    // Neither does a first one: it is out of line with what fewer rows cost.
    prices.note({ one(8) }, 0.500);
    CHECK(prices.seconds(one(8)) < 0.040);
    prices.note({ one(8) }, 0.030);
    CHECK(near(prices.seconds(one(8)), 0.030, 0.15));
    StepPrices others(4);
    others.note({ one(1) }, 0.010);
    others.note({ one(2) }, 0.500);
    CHECK(others.seconds(one(2)) < 0.025);
    others.note({ one(8) }, 0.020); // more rows never cost less
    CHECK(others.seconds(one(2)) < 0.021);
}

TEST(what_all_steps_have_in_common_is_no_ones_price) {
    StepPrices prices(4);
    for (int i = 0; i < 20; ++i) {
        prices.note({ one(1) }, 0.010);
        prices.note({ one(4) }, 0.020);
        prices.note({ one(8) }, 0.036);
    }
    for (int i = 0; i < 30; ++i) { // half as fast from here on, and nothing guessed far
        prices.note({ one(1) }, 0.020);
    }
    CHECK(near(prices.seconds(one(1)), 0.020, 0.05));
    CHECK(near(prices.seconds(one(8)) / prices.seconds(one(1)), 3.6, 0.15));
}

TEST(the_unknown_graph_of_a_step_is_what_the_others_leave) {
    StepPrices prices(4);
    for (int i = 0; i < 3; ++i) {
        prices.note({ { 4, 4 } }, 0.030);
    }
    prices.note({ { 4, 4 }, one(3) }, 0.050);
    CHECK(near(prices.seconds(one(3)), 0.020) && near(prices.seconds(StepGraph{ 4, 4 }), 0.030));
}

TEST(doubt_is_slow_and_ends_with_the_next_that_is_seen) {
    StepPrices prices(4);
    prices.note({ one(1) }, 0.010);
    prices.note({ one(4) }, 0.030);
    for (int i = 0; i < 50; ++i) {
        prices.doubt(1);
    }
    CHECK(prices.seconds(one(4)) < 0.028 && prices.seconds(one(4)) > 0.026);
    for (int i = 0; i < 2000; ++i) {
        prices.doubt(1);
    }
    CHECK(near(prices.seconds(one(4)), 0.020));
    prices.note({ one(4) }, 0.030);
    CHECK(near(prices.seconds(one(4)), 0.030));
}

TEST_MAIN
