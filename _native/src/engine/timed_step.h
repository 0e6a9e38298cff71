// One step of a context, in turn with whoever else computes in this process.
#pragma once

#include "base/clock.h"
#include "engine/compute_gate.h"
#include "log/log_ring.h"

#include "llama.h"

#include <atomic>
#include <exception>

namespace la {

struct TimedStep {
    int32_t result; // of llama_decode or llama_encode; -3: it threw
    double seconds; // inside it, without the wait for the turn
};

// `compute` calls llama_decode or llama_encode on `ctx`. `aborted` is set by the context's abort callback: what upstream
// logs of such a step is no error.
template <typename F>
TimedStep timed_step(llama_context * ctx, const ComputeGate::Owner & owner, std::atomic<bool> & aborted, const F & compute) {
    TimedStep step = { 0, 0 };
    aborted.store(false, std::memory_order_relaxed);
    try {
        const ComputeGate::Turn turn(owner);
        const ExpectedFailure quiet(aborted);
        const double start = now_s();
        step.result = compute();
        if (step.result == 0) {
            llama_synchronize(ctx); // a device computes on; the time is wanted, and what it computed is next
        }
        step.seconds = now_s() - start;
    } catch (const std::exception &) {
        step.result = -3;
    }
    return step;
}

} // namespace la
