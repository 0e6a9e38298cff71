/* Force-included into ggml-cpu's AMX sources when the compiler is GCC.
 *
 * GCC's `_tile_loadconfig` hands the instruction an operand of pointer size: as far as the optimizer can see, ldtilecfg
 * reads 8 of the 64 bytes. It therefore drops the stores to the other 56, which set the rows and columns of the tiles,
 * and the first tile instruction dies with SIGILL or computes nonsense (seen with GCC 12 at -O2 and above).
 * An asm statement that takes the address and clobbers memory makes the whole configuration escape just before.
 */
#ifndef LLAMA_ASYNC_AMX_BARRIER_H
#define LLAMA_ASYNC_AMX_BARRIER_H

#if defined(__GNUC__) && !defined(__clang__) && defined(__AMX_TILE__)

#include <immintrin.h>

static inline __attribute__((always_inline)) void la_tile_loadconfig(const void *config) {
    __asm__ volatile("" : : "r"(config) : "memory");
    _tile_loadconfig(config);
}

#define _tile_loadconfig(config) la_tile_loadconfig(config)

#endif

#endif /* LLAMA_ASYNC_AMX_BARRIER_H */
