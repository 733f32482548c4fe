/* range.h: an interval of units in one 64-bit word, and the rule by which workers take chunks of it.
 *
 *      63          32 31           0
 *     +--------------+--------------+      units [begin, end) are still to be taken; begin == end is empty
 *     |     end      |    begin     |
 *     +--------------+--------------+
 *
 * The owners take from the front (claim), the others from the back (steal), so both keep contiguous memory. First the rule, as pure
 * functions over a word: the simulator calls the same ones. Then the two compare-and-swap loops that apply it. A word only ever
 * shrinks, so it can be taken at most once, and once empty it stays empty until it is filled again.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "../common/base.h"

#define ASYMO_RANGE_MAX_UNITS INT64_C(0xffffffff)

typedef struct {
    int64_t begin, end;
} asymo_chunk;

static inline uint64_t asymo_range_make(int64_t begin, int64_t end) { return (uint64_t)end << 32 | (uint64_t)begin; }
static inline int64_t asymo_range_begin(uint64_t range) { return (int64_t)(range & 0xffffffff); }
static inline int64_t asymo_range_end(uint64_t range) { return (int64_t)(range >> 32); }
static inline int64_t asymo_range_size(uint64_t range) { return asymo_range_end(range) - asymo_range_begin(range); }

/* Guided self-scheduling: half of what each of the sharers would get now, never less than min_chunk, never more than there is. */
static inline int64_t asymo_range_guided(int64_t remaining, int64_t sharers, int64_t min_chunk) {
    return ASYMO_MIN(remaining, ASYMO_MAX(min_chunk, remaining / (2 * sharers)));
}

/* The range after a chunk has left its front; *chunk is empty when the range was. */
static inline uint64_t asymo_range_claim(uint64_t range, int64_t sharers, int64_t min_chunk, asymo_chunk *chunk) {
    const int64_t begin = asymo_range_begin(range), end = asymo_range_end(range);
    chunk->begin = begin;
    chunk->end = begin + asymo_range_guided(end - begin, sharers, min_chunk);
    return asymo_range_make(chunk->end, end);
}

/* The range after a chunk has left its back. */
static inline uint64_t asymo_range_steal(uint64_t range, int64_t sharers, int64_t min_chunk, asymo_chunk *chunk) {
    const int64_t begin = asymo_range_begin(range), end = asymo_range_end(range);
    chunk->begin = end - asymo_range_guided(end - begin, sharers, min_chunk);
    chunk->end = end;
    return asymo_range_make(begin, chunk->begin);
}

typedef uint64_t asymo_range_rule(uint64_t range, int64_t sharers, int64_t min_chunk, asymo_chunk *chunk);

/* Takes a chunk by one of the two rules; false when the range is empty. Relaxed: a range carries numbers only. What a unit reads was
 * made visible by the call that opened the step, and what it writes by the worker's return to IDLE (pool.c). */
static inline bool asymo_range_take(_Atomic uint64_t *range, asymo_range_rule *rule, int64_t sharers, int64_t min_chunk,
                                    asymo_chunk *chunk) {
    uint64_t seen = atomic_load_explicit(range, memory_order_relaxed);
    while (asymo_range_size(seen) > 0) {
        const uint64_t rest = rule(seen, sharers, min_chunk, chunk);
        if (atomic_compare_exchange_weak_explicit(range, &seen, rest, memory_order_relaxed, memory_order_relaxed)) return true;
    }
    return false;
}
