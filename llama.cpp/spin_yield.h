/* Force-included into ggml-cpu.c.
 *
 * ggml's compute threads wait for one another, and for the next graph, by spinning on the CPU's pause instruction and
 * nothing else. That is best while every thread has a core to itself. As soon as one of them has not (an event loop
 * that builds a chunk, a second process, a container with less CPU than cores), the others burn whole time slices
 * waiting for a thread that they themselves keep off the core. Here each k_spins-th pause lets the kernel run somebody
 * else; with nobody to run that costs a fraction of a microsecond. Figures in docs/design.md.
 *
 * x86 only: elsewhere upstream writes the instruction as an asm statement, which no macro reaches.
 */
#ifndef LLAMA_ASYNC_SPIN_YIELD_H
#define LLAMA_ASYNC_SPIN_YIELD_H

#if defined(__x86_64__) && (defined(__linux__) || defined(__APPLE__))

#include <immintrin.h>
#include <sched.h>

#ifndef LA_SPINS
#define LA_SPINS 64u /* a few microseconds: longer than a balanced barrier takes */
#endif

static inline void la_relax(void) {
    static __thread unsigned n_spins = 0;
    if (++n_spins % LA_SPINS == 0) {
        sched_yield();
    } else {
        _mm_pause();
    }
}

#define _mm_pause() la_relax()

#endif

#endif
