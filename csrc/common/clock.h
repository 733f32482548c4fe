/* clock.h: the one clock of the core. */
#pragma once

#include <time.h>

#include "base.h"

static inline int64_t asymo_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
