/* Force-included into common's chat templates, which ask for today's date through std::localtime: its result is one
 * object of the whole process, and preparation threads of several engines write and read it at once. */
#ifndef LLAMA_ASYNC_LOCAL_TIME_H
#define LLAMA_ASYNC_LOCAL_TIME_H

#if !defined(_WIN32) /* there the object is each thread's own */

#include <chrono>
#include <ctime>
#include <iomanip>

namespace std {

inline tm * la_localtime(const time_t * time) {
    static thread_local tm result;
    return localtime_r(time, &result);
}

} // namespace std

#define localtime la_localtime

#endif

#endif
