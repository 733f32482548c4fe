/* v16.h: picks the vector header of the instruction set this file is compiled for. Define ASYMO_VEC_<NAME> first.
 * ASYMO_NAME(f) is f__<isa>. */
#pragma once

#include "../../common/base.h"

#define ASYMO_PASTE_(a, b) a##__##b
#define ASYMO_PASTE(a, b) ASYMO_PASTE_(a, b)
#define ASYMO_NAME(f) ASYMO_PASTE(f, ASYMO_SUFFIX)

/* The portable v16 is an array: inlining each of its loops makes a kernel's body hundreds of loops, which compilers choke on. */
#if defined(ASYMO_VEC_AVX512) || defined(ASYMO_VEC_AVX2) || defined(ASYMO_VEC_NEON)
#define V16_FN static inline __attribute__((always_inline))
#else
#define V16_FN static __attribute__((noinline, unused))
#endif

#if defined(ASYMO_VEC_AVX512)
#define ASYMO_SUFFIX avx512
#include "v16_avx512.h"
#elif defined(ASYMO_VEC_AVX2)
#define ASYMO_SUFFIX avx2
#include "v16_avx2.h"
#elif defined(ASYMO_VEC_NEON)
#define ASYMO_SUFFIX neon
#include "v16_neon.h"
#else
#define ASYMO_SUFFIX portable
#include "v16_portable.h"
#endif

/* Fixed tree over the lanes: i with i + 8, then + 4, + 2, + 1. Same order on every instruction set. */
#define V16_TREE(NAME, OP)                                                                                                                 \
    V16_FN float v16_reduce_##NAME(v16 a) {                                                                                                \
        float x[16];                                                                                                                       \
        v16_store(x, a);                                                                                                                   \
        for (int step = 8; step > 0; step >>= 1)                                                                                           \
            for (int i = 0; i < step; i++) x[i] = OP(x[i], x[i + step]);                                                                   \
        return x[0];                                                                                                                       \
    }
#define V16_PLUS(a, b) ((a) + (b))
#define V16_TIMES(a, b) ((a) * (b))
#define V16_GREATER(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define V16_LESS(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
V16_TREE(add, V16_PLUS)
V16_TREE(mul, V16_TIMES)
V16_TREE(max, V16_GREATER) /* NaN if any lane is NaN */
V16_TREE(min, V16_LESS)

/* Like v16_load_n and v16_store_n, for loops in which n is 16 but for the last turn. */
V16_FN v16 v16_load_most(const float *p, int64_t n) { return n == 16 ? v16_load(p) : v16_load_n(p, n); }
V16_FN void v16_store_most(float *p, v16 a, int64_t n) {
    if (n == 16)
        v16_store(p, a);
    else
        v16_store_n(p, a, n);
}
