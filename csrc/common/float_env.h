/* float_env.h: rounding to nearest and no flushing of subnormals, whatever the process was set to.
 *
 * Some libraries switch flush-to-zero on for the thread that loads them. Promise "same bits, always" needs every worker, the calling
 * thread included, in the same mode while a program runs. */
#pragma once

#include "base.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* Sets the mode and returns the one before, for asymo_float_env_restore. */
static inline uint64_t asymo_float_env_set(void) {
#if defined(__x86_64__)
    const uint32_t before = _mm_getcsr();
    const uint32_t wanted = 0x1f80; /* all exceptions masked, nearest, no FTZ, no DAZ */
    if ((before & ~0x3fu) != wanted) _mm_setcsr(wanted);
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    if (before != 0) __asm__ volatile("msr fpcr, %0" ::"r"(UINT64_C(0)));
    return before;
#else
    return 0;
#endif
}

static inline void asymo_float_env_restore(uint64_t before) {
#if defined(__x86_64__)
    if ((before & ~0x3fu) != 0x1f80) _mm_setcsr((uint32_t)before);
#elif defined(__aarch64__)
    if (before != 0) __asm__ volatile("msr fpcr, %0" ::"r"(before));
#else
    (void)before;
#endif
}
