/* share.h: who gets which units of a loop. Pure functions: the pool and the simulator call the same ones.
 *
 * A loop's units are cut into intervals, one for each group of workers, in proportion to what the group computes (asymo_share_cut). A
 * worker claims chunks from the front of its group's interval and steals from the back of the others': a part of what is left
 * (asymo_share_part), one chunk of its own at least. A worker that is slower than others leaves them what they would finish earlier
 * (asymo_share_leaves), and what a straggler still holds is computed again when that is quicker than waiting (asymo_share_redoes).
 */
#pragma once

#include <stdbool.h>

#include "../common/base.h"

static inline bool asymo_share_steals(int32_t policy) { return policy == ASYMO_POLICY_GUIDED || policy == ASYMO_POLICY_SHARDS; }

/* The weight of a worker in the cut. */
static inline double asymo_share_weight(int32_t policy, const asymo_share *worker) {
    switch (policy) {
    case ASYMO_POLICY_GUIDED: return 1 / worker->cost;
    case ASYMO_POLICY_FIXED: return 1.0 / (double)(1 << worker->type);
    default: return 1;
    }
}

/* Cuts units into intervals [ends[i - 1], ends[i]) (ends[-1] is 0) in the order of the workers. Returns how many there are, n at most. */
static inline int64_t asymo_share_cut(int32_t policy, int64_t units, asymo_share *workers, int64_t n, int64_t *ends) {
    double all = 0, reached = 0;
    for (int64_t i = 0; i < n; i++) all += asymo_share_weight(policy, &workers[i]);
    int64_t n_intervals = 0;
    for (int64_t first = 0, next; first < n; first = next) {
        double speed = 0;
        for (next = first; next < n; next++) {
            const bool same_group =
                policy == ASYMO_POLICY_GUIDED && workers[first].group >= 0 && workers[next].group == workers[first].group;
            if (next > first && !same_group && policy != ASYMO_POLICY_QUEUE) break;
            reached += asymo_share_weight(policy, &workers[next]);
            speed += 1 / workers[next].cost;
        }
        for (int64_t i = first; i < next; i++) {
            workers[i].interval = (int32_t)n_intervals;
            workers[i].sharers = (int32_t)(next - first);
            workers[i].speed = speed;
        }
        ends[n_intervals++] = next == n ? units : (int64_t)((double)units * reached / all + 0.5);
    }
    const double clearly = 0.8; /* twice the spread at which speeds of equal cores were seen to lie */
    for (int64_t i = 0; i < n; i++) {
        workers[i].n_faster = 0;
        workers[i].faster = 0;
        for (int64_t j = 0; j < n; j++) {
            if (workers[j].usual >= clearly * workers[i].usual) continue;
            workers[i].n_faster++;
            workers[i].faster += 1 / workers[j].usual;
        }
    }
    return n_intervals;
}

/* Which part of an interval a worker takes at once: half of what is its own by speed. owner: any worker of the interval. */
static inline double asymo_share_part(int32_t policy, const asymo_share *worker, const asymo_share *owner, int64_t left, int64_t units) {
    switch (policy) {
    case ASYMO_POLICY_GUIDED: {
        const double mine = 1 / worker->cost;
        return 0.5 * mine / (owner->interval == worker->interval ? worker->speed : owner->speed + mine);
    }
    case ASYMO_POLICY_QUEUE: return (double)asymo_ceil_div(units, 4 * worker->sharers) / (double)left + 1e-9;
    case ASYMO_POLICY_SHARDS: return worker->type == 0 ? 0.5 : 0.25;
    default: return 1;
    }
}

/* Whether a worker leaves a chunk to the faster ones: they would have finished all that is left, and what they hold, before it had finished
 * the chunk. Once true it stays true, as `left` only shrinks. held: of 0, 0.5, 0.75, 1 and 1.5 units 0.75 came closest to the sum of the
 * cores (3 % better than 0) over 9 device profiles and 4 models in the simulator; `python -m benchmarks.simulate` compares. */
static inline bool asymo_share_leaves(const asymo_share *worker, int64_t chunk, int64_t left) {
    const double held = 0.75;
    return worker->n_faster > 0 && (double)chunk * worker->usual * worker->faster > (double)left + held * worker->n_faster;
}

/* Whether to compute again, in `redo`, what somebody else has been computing for `elapsed` and should have finished after `usual`. Up to
 * a quarter late it will take what is missing; then, as nobody knows what holds it up, as long again as it has taken. */
static inline bool asymo_share_redoes(double elapsed, double usual, double redo) {
    return (elapsed < 1.25 * usual ? usual - elapsed : elapsed) > redo;
}
