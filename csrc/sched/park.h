/* park.h: waiting: first spin, then sleep on a futex. Raw system call: no C library wraps it. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "../common/clock.h"

/* Sleeps while *word == value. May return early: look again. */
void asymo_park_wait(_Atomic uint32_t *word, uint32_t value);
/* Wakes whoever sleeps on word (one thread at most does). */
void asymo_park_wake(_Atomic uint32_t *word);

/* A bounded spin: while (!condition) if (!asymo_spin_more(&spin, spin_ns)) sleep. Starts as {0}. */
typedef struct {
    uint32_t turns;
    int64_t deadline_ns;
} asymo_spin;

static inline bool asymo_spin_more(asymo_spin *spin, int64_t spin_ns) {
    if (spin_ns <= 0) return false;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
    const uint32_t turns_between_looks_at_the_clock = 32;
    if (++spin->turns % turns_between_looks_at_the_clock != 0) return true;
    const int64_t now_ns = asymo_now_ns();
    if (spin->deadline_ns == 0) spin->deadline_ns = now_ns + spin_ns;
    return now_ns < spin->deadline_ns;
}
