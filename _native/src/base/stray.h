// Threads that were given up: they run upstream code that has no end and cannot be stopped from outside.
//
// A process that exits meanwhile destroys the static tables which such a thread reads. So while there is one, exiting
// flushes the streams and skips the destructors; they would only free memory that the system frees anyway.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#if defined(__GLIBC__)
#    include <unistd.h>
#endif

namespace la {

class StrayThreads {
  public:
    // A thread is left to itself. Later than every other handler, so that it runs before them and before destructors.
    static void add() {
        count().fetch_add(1);
#if defined(__GLIBC__)
        static std::once_flag once;
        std::call_once(once, [] { on_exit(leave, nullptr); });
#endif
    }
    // It has come to its end after all.
    static void remove() { count().fetch_sub(1); }

  private:
    // Trivially destructible: usable until the very end.
    static std::atomic<int> & count() {
        static std::atomic<int> n{ 0 };
        return n;
    }

#if defined(__GLIBC__)
    static void leave(int status, void * /* none */) {
        if (count().load() > 0) {
            std::fflush(nullptr);
            _exit(status);
        }
    }
#endif
};

} // namespace la
