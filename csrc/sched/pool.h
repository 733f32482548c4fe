/* pool.h: pinned workers that share the units of one parallel loop after the other. Knows nothing of steps or models.
 *
 *     asymo_pool_enter(pool, scratch_bytes)   the calling thread becomes worker 0
 *     asymo_pool_settle(pool, step)           before each step: nobody is left in a step whose memory this one writes
 *     asymo_pool_for(pool, &loop)             any number of loops; each returns when all its units are computed
 *     asymo_pool_leave(pool)                  nobody is left in any loop
 *
 * The protocol is in README.md. Argument checks are api.c's. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "../common/base.h"

enum {
    ASYMO_POOL_MAX_WORKERS = 1023,
    ASYMO_POOL_AHEAD = 32, /* loops that a straggler may lie behind */
};

/* Runs units [begin, end) as this worker. */
typedef void asymo_pool_work(void *context, int64_t worker, int64_t begin, int64_t end);

/* What a loop has learned of a worker: ticks per unit, smoothed (seen), and as the shares have it (used). 0: nothing yet. Relaxed: a
 * hint, any value gives the same results. */
typedef struct {
    _Atomic float seen, used;
} asymo_learned;

typedef struct {
    int64_t units;
    asymo_pool_work *work;
    void *context;
    const asymo_sharing *sharing;
    asymo_learned *learned; /* [n_learned]; a pool of more workers goes by the plan */
    int64_t n_learned;
    bool repeatable; /* a unit may be computed again, by two workers at once: it writes the same, and nothing that it reads */
} asymo_loop;

asymo_status asymo_pool_start(const asymo_worker_config *workers, int64_t n_workers, asymo_pool **out);
void asymo_pool_spin(asymo_pool *pool, int64_t spin_ns);
void asymo_pool_policy(asymo_pool *pool, int32_t policy);
void asymo_pool_places(const asymo_pool *pool, int32_t *cpus);
void asymo_pool_read_stats(asymo_pool *pool, asymo_worker_stats *stats);
void asymo_pool_clear_stats(asymo_pool *pool);

/* Waits for the pool, pins the calling thread where worker 0 belongs, and makes sure that every worker has scratch_bytes of scratch.
 * Fails with ASYMO_FORKED in a child process and with ASYMO_OUT_OF_MEMORY; asymo_pool_leave must then not be called. */
asymo_status asymo_pool_enter(asymo_pool *pool, int64_t scratch_bytes);
void asymo_pool_leave(asymo_pool *pool);

/* Who takes part in the loops of this run: those that each loop's plan names, those of them that are of core type 0, or the caller. */
typedef enum { ASYMO_CREW_PLANNED = 0, ASYMO_CREW_BIG = 1, ASYMO_CREW_ALONE = 2, ASYMO_CREW_COUNT = 3 } asymo_crew;
void asymo_pool_use(asymo_pool *pool, asymo_crew crew);
/* Workers of a crew at most; 0 when the pool has no such crew that is smaller than the planned one. */
int64_t asymo_pool_crew_size(const asymo_pool *pool, asymo_crew crew);
/* Whether shares are guided, and not another runtime's way. */
bool asymo_pool_is_guided(const asymo_pool *pool);

/* Waits for the stragglers of every loop whose sharing->horizon is at most step. */
void asymo_pool_settle(asymo_pool *pool, int64_t step);

/* 64-byte aligned and private to the worker. NULL as long as nobody asked for any. */
void *asymo_pool_worker_scratch(const asymo_pool *pool, int64_t worker);
bool asymo_pool_worker_is_in_order(const asymo_pool *pool, int64_t worker);

/* Computes every unit of [0, units) in chunks. A repeatable loop may return while a straggler still computes units that the caller has
 * computed too; asymo_pool_settle and asymo_pool_leave wait for it, and loop->context must stay as it is until then. */
void asymo_pool_for(asymo_pool *pool, const asymo_loop *loop);
