#include "embedding/packing.h"
#include "testing/check.h"

using namespace la;

namespace {

using Lengths = std::vector<int32_t>;

bool equal(const std::vector<Packed> & packed, const std::vector<std::pair<size_t, size_t>> & expected) {
    if (packed.size() != expected.size()) {
        return false;
    }
    for (size_t i = 0; i < packed.size(); ++i) {
        if (packed[i].source != expected[i].first || packed[i].input != expected[i].second) {
            return false;
        }
    }
    return true;
}

} // namespace

TEST(inputs_are_packed_until_the_tokens_are_used_up) {
    const Lengths lengths = { 10, 10, 10, 10 };
    CHECK(equal(pack_inputs({ { 0, 0, &lengths, 0 } }, 35, 8), { { 0, 0 }, { 0, 1 }, { 0, 2 } }));
    CHECK(equal(pack_inputs({ { 0, 0, &lengths, 2 } }, 35, 8), { { 0, 2 }, { 0, 3 } }));
    CHECK(equal(pack_inputs({ { 0, 0, &lengths, 0 } }, 35, 2), { { 0, 0 }, { 0, 1 } }));
    CHECK(pack_inputs({ { 0, 0, &lengths, 4 } }, 35, 2).empty());
    CHECK(pack_inputs({}, 35, 2).empty());
}

TEST(an_input_longer_than_a_step_goes_alone) {
    const Lengths lengths = { 100, 5, 100 };
    CHECK(equal(pack_inputs({ { 0, 0, &lengths, 0 } }, 50, 8), { { 0, 0 } }));
    CHECK(equal(pack_inputs({ { 0, 0, &lengths, 1 } }, 50, 8), { { 0, 1 } })); // the long one waits for a step of its own
}

TEST(requests_take_turns) {
    const Lengths many = { 10, 10, 10, 10, 10, 10 };
    const Lengths one = { 10 };
    CHECK(equal(pack_inputs({ { 0, 0, &many, 0 }, { 0, 0, &one, 0 } }, 40, 8), { { 0, 0 }, { 1, 0 }, { 0, 1 }, { 0, 2 } }));
    // Who was served longest ago comes first, so that nobody is left out by a step that holds few.
    CHECK(equal(pack_inputs({ { 0, 5, &many, 1 }, { 0, 4, &one, 0 } }, 10, 8), { { 1, 0 } }));
}

TEST(a_higher_priority_goes_first) {
    const Lengths low = { 10, 10 };
    const Lengths high = { 10, 10 };
    CHECK(equal(pack_inputs({ { 0, 0, &low, 0 }, { 1, 9, &high, 0 } }, 30, 8), { { 1, 0 }, { 1, 1 }, { 0, 0 } }));
}

TEST_MAIN
