/* pool.h: pinned workers that share the units of one parallel loop after the other. Knows nothing of steps, types of cores or models.
 *
 *     asymo_pool_enter(pool, scratch_bytes)         the calling thread becomes worker 0
 *     asymo_pool_for(pool, units, min_chunk, ...)   any number of loops; each returns when all its units are done
 *     asymo_pool_leave(pool)
 *
 * The protocol is in README.md. Argument checks are api.c's. */
#pragma once

#include "../common/base.h"

enum { ASYMO_POOL_MAX_WORKERS = 1024 };

/* Runs units [begin, end) as this worker. */
typedef void asymo_pool_work(void *context, int64_t worker, int64_t begin, int64_t end);

asymo_status asymo_pool_start(const int32_t *cpus, int64_t n_workers, asymo_pool **out);
void asymo_pool_spin(asymo_pool *pool, int64_t spin_ns);
void asymo_pool_places(const asymo_pool *pool, int32_t *cpus);

/* Waits for the pool, pins the calling thread where worker 0 belongs, and makes sure that every worker has scratch_bytes of scratch.
 * Fails with ASYMO_FORKED in a child process and with ASYMO_OUT_OF_MEMORY; asymo_pool_leave must then not be called. */
asymo_status asymo_pool_enter(asymo_pool *pool, int64_t scratch_bytes);
void asymo_pool_leave(asymo_pool *pool);

/* 64-byte aligned and private to the worker. NULL as long as nobody asked for any. */
void *asymo_pool_worker_scratch(const asymo_pool *pool, int64_t worker);

/* Calls work for every unit of [0, units) exactly once, in chunks, from as many workers as there are chunks of min_chunk. */
void asymo_pool_for(asymo_pool *pool, int64_t units, int64_t min_chunk, asymo_pool_work *work, void *context);
