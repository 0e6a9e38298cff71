// A descriptor that becomes readable for an event loop. All that differs by operating system is in waker.cpp.
#pragma once

#include <atomic>
#include <cstdint>

namespace la {

// Thread-safe. Wake-ups coalesce: while one is pending, wake() costs one atomic exchange and no system call.
class Waker {
  public:
    Waker(); // throws std::runtime_error when the process has no descriptor left
    ~Waker();
    Waker(const Waker &) = delete;
    Waker & operator=(const Waker &) = delete;

    // The end to poll: an eventfd (Linux), a pipe (other POSIX), a loopback socket (Windows).
    intptr_t fd() const { return read_fd_; }

    void wake();

    // Makes the descriptor unreadable again. Call it before looking at what woke us: a wake() after it is not lost.
    void clear();

    uint64_t n_wakeups() const { return n_wakeups_.load(std::memory_order_relaxed); }

  private:
    intptr_t read_fd_ = -1;
    intptr_t write_fd_ = -1; // the same as read_fd_ for an eventfd
    // acquire/release: the data posted before wake() is seen by who clears after it.
    std::atomic<bool> pending_{ false };
    std::atomic<uint64_t> n_wakeups_{ 0 };
};

} // namespace la
