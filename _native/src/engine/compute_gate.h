// Whoever computes in this process takes turns by step: with their compute threads spinning against each other on the same
// cores, all of them crawl.
#pragma once

#include "base/clock.h"
#include "base/fork.h"

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace la {

// A first-come, first-served lock over the whole process.
class ComputeGate {
  public:
    // Somebody who takes turns. Once it is gone, its turns are no longer anybody's.
    class Owner {
      public:
        Owner() = default;
        ~Owner() { ComputeGate::one().forget(this); }
        Owner(const Owner &) = delete;
        Owner & operator=(const Owner &) = delete;
    };

    class Turn {
      public:
        explicit Turn(const Owner & owner) : owner_(&owner) {
            ComputeGate::one().enter();
            start_s_ = now_s();
        }
        ~Turn() { ComputeGate::one().leave({ owner_, start_s_, now_s() }); }
        Turn(const Turn &) = delete;
        Turn & operator=(const Turn &) = delete;

      private:
        const Owner * owner_;
        double start_s_ = 0;
    };

    // A turn for something short, had only if nobody computes now. It does not count as a step.
    class ShortTurn {
      public:
        ShortTurn() : is_had_(ComputeGate::one().try_enter()) {}
        ~ShortTurn() {
            if (is_had_) {
                ComputeGate::one().let_next();
            }
        }
        ShortTurn(const ShortTurn &) = delete;
        ShortTurn & operator=(const ShortTurn &) = delete;

        bool is_had() const { return is_had_; }

      private:
        const bool is_had_;
    };

    // How long the last turn of anybody but `owner` took, 0 if nobody else has taken one lately: what a step of the
    // owner's makes the others wait for.
    static double others_turn_s(const Owner & owner) {
        ComputeGate & gate = one();
        const std::lock_guard<std::mutex> lock(gate.mutex_);
        const Taken & taken = gate.last_.owner == &owner ? gate.before_ : gate.last_;
        return taken.owner && now_s() - taken.end_s < k_lately_s ? taken.end_s - taken.start_s : 0;
    }

    // Whether anybody but `owner` has ended a turn after `since_s` (now_s).
    static bool others_since(const Owner & owner, double since_s) {
        ComputeGate & gate = one();
        const std::lock_guard<std::mutex> lock(gate.mutex_);
        const Taken & taken = gate.last_.owner == &owner ? gate.before_ : gate.last_;
        return taken.owner && taken.end_s > since_s;
    }

  private:
    static constexpr double k_lately_s = 0.5;

    struct Taken {
        const Owner * owner = nullptr;
        double start_s = 0;
        double end_s = 0;
    };

    // The one piece of state that engines share: the cores are shared as well.
    static ComputeGate & one() {
        static const bool registered = (after_fork_in_child([] { instance() = new ComputeGate; }), true);
        (void) registered;
        return *instance();
    }

    // Never destroyed: at exit some engine's thread may still be in its turn. A child's is a new one.
    static ComputeGate *& instance() {
        static ComputeGate * gate = new ComputeGate;
        return gate;
    }

    void enter() {
        std::unique_lock<std::mutex> lock(mutex_);
        const uint64_t ticket = next_++;
        changed_.wait(lock, [&] { return serving_ == ticket; });
    }

    bool try_enter() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (serving_ != next_) {
            return false;
        }
        ++next_;
        return true;
    }

    void let_next() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            ++serving_;
        }
        changed_.notify_all();
    }

    void leave(Taken taken) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (last_.owner != taken.owner) {
                before_ = last_;
            }
            last_ = taken;
        }
        let_next();
    }

    void forget(const Owner * owner) {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (Taken * taken : { &last_, &before_ }) {
            if (taken->owner == owner) {
                *taken = {};
            }
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t next_ = 0;
    uint64_t serving_ = 0;
    Taken last_;
    Taken before_; // the last turn of another than last_'s owner
};

} // namespace la
