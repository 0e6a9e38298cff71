// What a thread is called in debuggers, profilers and `top -H`.
#pragma once

#if !defined(_WIN32)
#    include <pthread.h>
#endif

namespace la {

// At most 15 characters.
inline void name_this_thread(const char * name) {
#if defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#elif defined(__APPLE__)
    pthread_setname_np(name);
#else
    (void) name;
#endif
}

} // namespace la
