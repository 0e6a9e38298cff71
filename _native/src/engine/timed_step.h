// One step of a context, in turn with whoever else computes in this process.
#pragma once

#include "base/clock.h"
#include "engine/compute_gate.h"
#include "log/log_ring.h"

#include "llama.h"

#include <atomic>
#include <exception>
#include <optional>
#include <type_traits>

namespace la {

struct TimedStep {
    int32_t result; // of llama_decode or llama_encode; -3: it threw
    double seconds; // inside it, without the wait for the turn
};

// The turn of a step that lets others compute in the middle.
class StepTurn {
  public:
    explicit StepTurn(const ComputeGate::Owner & owner) : owner_(&owner), turn_(std::in_place, owner), start_s_(now_s()) {}

    // What `others` do takes turns of its own, and its time is not the step's.
    template <typename F> void pause(const F & others) {
        struct Pause {
            StepTurn & turn;
            const double start_s = now_s();

            ~Pause() {
                turn.turn_.emplace(*turn.owner_);
                turn.start_s_ += now_s() - start_s;
            }
        };
        turn_.reset();
        const Pause pause{ *this };
        others();
    }

    // Of the step's own.
    double seconds() const { return now_s() - start_s_; }

  private:
    const ComputeGate::Owner * owner_;
    std::optional<ComputeGate::Turn> turn_;
    double start_s_;
};

// `compute` calls llama_decode or llama_encode on `ctx`, and may be given the turn. `aborted` is set by the context's abort
// callback: what upstream logs of such a step is no error.
template <typename F>
TimedStep timed_step(llama_context * ctx, const ComputeGate::Owner & owner, std::atomic<bool> & aborted, const F & compute) {
    TimedStep step = { 0, 0 };
    aborted.store(false, std::memory_order_relaxed);
    try {
        StepTurn turn(owner);
        const ExpectedFailure quiet(aborted);
        if constexpr (std::is_invocable_v<F, StepTurn &>) {
            step.result = compute(turn);
        } else {
            step.result = compute();
        }
        if (step.result == 0) {
            llama_synchronize(ctx); // a device computes on; the time is wanted, and what it computed is next
        }
        step.seconds = turn.seconds();
    } catch (const std::exception &) {
        step.result = -3;
    }
    return step;
}

} // namespace la
