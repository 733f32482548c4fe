/* base.h: what every C file of the core includes first. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../asymo.h"

#define ASYMO_MIN(a, b) ((a) < (b) ? (a) : (b))
#define ASYMO_MAX(a, b) ((a) > (b) ? (a) : (b))

/* A float at any address, such as a weight inside a mapped file. */
typedef float asymo_loose_float __attribute__((aligned(1)));

static inline int64_t asymo_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t asymo_round_up(int64_t a, int64_t b) { return asymo_ceil_div(a, b) * b; }

/* A cache line of the widest core we meet (Apple and some Neoverse prefetch in pairs of 64). */
enum { ASYMO_CACHE_LINE = 64, ASYMO_FALSE_SHARING = 128 };
