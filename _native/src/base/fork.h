// What must be made anew in a forked child: locks that a thread of the parent held at that moment are held for ever there.
#pragma once

#if !defined(_WIN32)
#    include <pthread.h>
#endif

namespace la {

// Calls `handler` in every child forked from now on, before fork() returns there. Windows does not fork.
inline void after_fork_in_child(void (*handler)()) {
#if !defined(_WIN32)
    pthread_atfork(nullptr, nullptr, handler);
#else
    (void) handler;
#endif
}

} // namespace la
