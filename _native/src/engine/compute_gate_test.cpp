#include "engine/compute_gate.h"

#include "testing/check.h"

#include <atomic>
#include <chrono>
#include <thread>

using namespace la;

namespace {

void compute(const ComputeGate::Owner & owner) {
    const ComputeGate::Turn turn(owner);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

} // namespace

TEST(a_turn_is_seen_by_others_only) {
    const ComputeGate::Owner one, other;
    compute(one);
    CHECK(ComputeGate::others_turn_s(one) == 0);
    CHECK(ComputeGate::others_turn_s(other) >= 0.002);
    const double since = now_s();
    CHECK(!ComputeGate::others_since(other, since));
    compute(one);
    compute(other);
    CHECK(ComputeGate::others_since(other, since) && ComputeGate::others_since(one, since));
}

TEST(nobody_makes_room_for_who_is_gone) {
    const ComputeGate::Owner stays;
    {
        const ComputeGate::Owner goes;
        compute(goes);
        compute(stays);
        CHECK(ComputeGate::others_turn_s(stays) > 0);
    }
    CHECK(ComputeGate::others_turn_s(stays) == 0);
    const ComputeGate::Owner comes;
    CHECK(ComputeGate::others_turn_s(comes) > 0);
    {
        const ComputeGate::Owner last;
        compute(last);
    }
    CHECK(ComputeGate::others_turn_s(stays) == 0);
}

TEST(a_short_turn_is_had_only_while_nobody_computes) {
    const ComputeGate::Owner somebody;
    {
        const ComputeGate::Turn turn(somebody);
        const ComputeGate::ShortTurn refused;
        CHECK(!refused.is_had());
    }
    std::thread waits;
    std::atomic<bool> is_its_turn{ false };
    {
        const ComputeGate::ShortTurn first;
        CHECK(first.is_had());
        const ComputeGate::ShortTurn second;
        CHECK(!second.is_had());
        waits = std::thread([&] {
            const ComputeGate::Turn turn(somebody);
            is_its_turn = true;
        });
        CHECK(!is_its_turn);
    }
    waits.join(); // it got its turn
    CHECK(is_its_turn);
    const ComputeGate::ShortTurn again;
    CHECK(again.is_had());
}

TEST_MAIN
