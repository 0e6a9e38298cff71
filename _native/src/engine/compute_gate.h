// Engines of one process take turns by decode step: with their compute threads spinning against each other on the same
// cores, all of them crawl.
#pragma once

#include "base/fork.h"

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace la {

// A first-come, first-served lock over the whole process.
class ComputeGate {
  public:
    class Turn {
      public:
        Turn() { ComputeGate::one().enter(); }
        ~Turn() { ComputeGate::one().leave(); }
        Turn(const Turn &) = delete;
        Turn & operator=(const Turn &) = delete;
    };

  private:
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

    void leave() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            ++serving_;
        }
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t next_ = 0;
    uint64_t serving_ = 0;
};

} // namespace la
