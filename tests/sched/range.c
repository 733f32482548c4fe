/* range.c: the functions of csrc/sched/range.h as symbols, for test_range.py. */
#include "../../csrc/sched/range.h"

uint64_t range_make(int64_t begin, int64_t end);
uint64_t range_take(int32_t steals, uint64_t range, int64_t sharers, int64_t min_chunk, asymo_chunk *chunk);
int32_t range_take_atomically(int32_t steals, uint64_t *range, int64_t sharers, int64_t min_chunk, asymo_chunk *chunk);

uint64_t range_make(int64_t begin, int64_t end) { return asymo_range_make(begin, end); }

uint64_t range_take(int32_t steals, uint64_t range, int64_t sharers, int64_t min_chunk, asymo_chunk *chunk) {
    return (steals ? asymo_range_steal : asymo_range_claim)(range, sharers, min_chunk, chunk);
}

int32_t range_take_atomically(int32_t steals, uint64_t *range, int64_t sharers, int64_t min_chunk, asymo_chunk *chunk) {
    _Atomic uint64_t word = *range;
    const int32_t taken = asymo_range_take(&word, steals ? asymo_range_steal : asymo_range_claim, sharers, min_chunk, chunk);
    *range = word;
    return taken;
}
