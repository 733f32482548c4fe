/* range.h: an interval of units in one 64-bit word, and the rule by which workers take chunks of it.
 *
 *      63      48 47            24 23             0
 *     +----------+----------------+----------------+      units [begin, end) are still to be taken; begin == end is empty
 *     |   tag    |      end       |     begin      |
 *     +----------+----------------+----------------+
 *
 * The owners take from the front (claim), the others from the back (steal), so both keep contiguous memory. First the rule, as pure
 * functions over a word: the simulator calls the same ones. Then the compare-and-swap loop that applies it. Under one tag a word only
 * ever shrinks, so it can be taken at most once, and once empty it stays empty. The tag names the loop that the word was filled for: a
 * worker that was late or preempted holds an old tag and gets nothing.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "../common/base.h"

enum { ASYMO_RANGE_MAX_UNITS = 0xffffff };

static inline uint64_t asymo_range_make(uint64_t tag, int64_t begin, int64_t end) {
    return tag << 48 | (uint64_t)end << 24 | (uint64_t)begin;
}
static inline int64_t asymo_range_begin(uint64_t range) { return (int64_t)(range & 0xffffff); }
static inline int64_t asymo_range_end(uint64_t range) { return (int64_t)(range >> 24 & 0xffffff); }
static inline uint64_t asymo_range_tag(uint64_t range) { return range >> 48; }
static inline int64_t asymo_range_size(uint64_t range) { return asymo_range_end(range) - asymo_range_begin(range); }

/* Guided self-scheduling (Polychronopoulos and Kuck, 1987): this part of what is left, never less than least, never more than there is. */
static inline int64_t asymo_range_guided(int64_t left, double part, int64_t least) {
    return ASYMO_MIN(left, ASYMO_MAX(least, (int64_t)((double)left * part)));
}

/* The range after a chunk has left its front; *chunk is empty when the range was. */
static inline uint64_t asymo_range_claim(uint64_t range, double part, int64_t least, asymo_chunk *chunk) {
    const int64_t begin = asymo_range_begin(range), end = asymo_range_end(range);
    chunk->begin = begin;
    chunk->end = begin + asymo_range_guided(end - begin, part, least);
    return asymo_range_make(asymo_range_tag(range), chunk->end, end);
}

/* The range after a chunk has left its back. */
static inline uint64_t asymo_range_steal(uint64_t range, double part, int64_t least, asymo_chunk *chunk) {
    const int64_t begin = asymo_range_begin(range), end = asymo_range_end(range);
    chunk->begin = end - asymo_range_guided(end - begin, part, least);
    chunk->end = end;
    return asymo_range_make(asymo_range_tag(range), begin, chunk->begin);
}

typedef uint64_t asymo_range_rule(uint64_t range, double part, int64_t least, asymo_chunk *chunk);

/* Takes a chunk of a range that still has this tag; false when it has another or is empty. Release: whoever finds the range empty
 * (acquire, pool.c) also sees that the taker is about to hold a chunk. No other data hangs on a range. */
static inline bool asymo_range_take(_Atomic uint64_t *range, uint64_t tag, asymo_range_rule *rule, double part, int64_t least,
                                    asymo_chunk *chunk) {
    uint64_t seen = atomic_load_explicit(range, memory_order_relaxed);
    while (asymo_range_tag(seen) == tag && asymo_range_size(seen) > 0) {
        const uint64_t rest = rule(seen, part, least, chunk);
        if (atomic_compare_exchange_weak_explicit(range, &seen, rest, memory_order_release, memory_order_relaxed)) return true;
    }
    return false;
}
