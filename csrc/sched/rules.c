/* rules.c: the rules of range.h and share.h as symbols, so that the simulator applies the scheduler's own. */
#include "range.h"
#include "share.h"

int64_t asymo_sched_cut(int32_t policy, int64_t units, asymo_share *workers, int64_t n, int64_t *ends) {
    return asymo_share_cut(policy, units, workers, n, ends);
}

double asymo_sched_part(int32_t policy, const asymo_share *worker, const asymo_share *owner, int64_t left, int64_t units) {
    return asymo_share_part(policy, worker, owner, left, units);
}

uint64_t asymo_sched_range(uint64_t tag, int64_t begin, int64_t end) { return asymo_range_make(tag, begin, end); }

uint64_t asymo_sched_claim(uint64_t range, double part, int64_t least, asymo_chunk *chunk) {
    return asymo_range_claim(range, part, least, chunk);
}

uint64_t asymo_sched_steal(uint64_t range, double part, int64_t least, asymo_chunk *chunk) {
    return asymo_range_steal(range, part, least, chunk);
}

int32_t asymo_sched_steals(int32_t policy) { return asymo_share_steals(policy); }

int32_t asymo_sched_leaves(const asymo_share *worker, int64_t chunk, int64_t left) { return asymo_share_leaves(worker, chunk, left); }

int32_t asymo_sched_redoes(double elapsed, double usual, double redo) { return asymo_share_redoes(elapsed, usual, redo); }
