#define _GNU_SOURCE
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "../common/float_env.h"
#include "../common/status.h"
#include "seat.h"

/* Counts fork() in this process's line: threads do not survive it. */
static _Atomic uint32_t forks;
static void count_fork(void) { atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }
static pthread_once_t forks_are_watched = PTHREAD_ONCE_INIT;

static bool is_forked(const asymo_pool *pool) { return atomic_load_explicit(&forks, memory_order_relaxed) != pool->born; }

static void *worker_main(void *argument) {
    pool_seat *seat = argument;
    char name[16] = "asymo-worker";
    prctl(PR_SET_NAME, name);
    asymo_float_env_set();
    atomic_store_explicit(&seat->id, asymo_pin_thread(), memory_order_relaxed);
    atomic_store_explicit(&seat->placed, asymo_pin_to(seat->config.cpu, &seat->pool->caller_mask), memory_order_relaxed);
    pool_stand_up(seat);
    pool_serve(seat);
    return NULL;
}

/* ---- a run ------------------------------------------------------------------------------------------------------------------ */

static asymo_status grow_scratch(asymo_pool *pool, int64_t bytes) {
    if (bytes <= pool->scratch_bytes) return ASYMO_OK;
    pool->scratch_bytes = 0;
    for (int64_t i = 0; i < pool->n_workers; i++) {
        pool_seat *seat = &pool->seats[i];
        free(seat->scratch);
        seat->scratch = NULL;
        if (posix_memalign(&seat->scratch, ASYMO_FALSE_SHARING, (size_t)asymo_round_up(bytes, ASYMO_FALSE_SHARING)) != 0) {
            seat->scratch = NULL;
            return asymo_fail(ASYMO_OUT_OF_MEMORY, "no memory for %lld bytes of scratch of worker %d", (long long)bytes, (int)i);
        }
    }
    pool->scratch_bytes = bytes;
    return ASYMO_OK;
}

void *asymo_pool_worker_scratch(const asymo_pool *pool, int64_t worker) { return pool->seats[worker].scratch; }

bool asymo_pool_worker_is_in_order(const asymo_pool *pool, int64_t worker) { return pool->seats[worker].config.in_order != 0; }

/* Pins the calling thread as worker 0 and remembers its mask. */
static void pin_caller(asymo_pool *pool) {
    pool->pin_due_ns = 0;
    pool->pinned = asymo_pin_get(&pool->caller_mask);
    if (!pool->pinned) return;
    const int32_t placed = asymo_pin_to(pool->seats[0].config.cpu, &pool->caller_mask);
    atomic_store_explicit(&pool->seats[0].placed, placed, memory_order_relaxed);
}

static void unpin_caller(asymo_pool *pool) {
    if (pool->pinned) asymo_pin_restore(&pool->caller_mask);
    pool->pinned = false;
}

/* Pinning and restoring took 12 us of system calls (Zen 4, virtual machine): 20 times what the shortest run takes. A caller that already
 * is where it belongs is therefore pinned only when the run turns out to be a long one. */
static void place_caller(asymo_pool *pool) {
    const int64_t long_run_ns = 200000;
    pool->pin_due_ns = 0;
    if (pool->seats[0].config.cpu < 0) return;
    if (asymo_pin_current() == pool->seats[0].config.cpu) {
        pool->pin_due_ns = asymo_now_ns() + long_run_ns;
        atomic_store_explicit(&pool->seats[0].placed, pool->seats[0].config.cpu, memory_order_relaxed);
    } else {
        pin_caller(pool);
    }
}

asymo_status asymo_pool_enter(asymo_pool *pool, int64_t scratch_bytes) {
    if (is_forked(pool))
        return asymo_fail(ASYMO_FORKED, "this pool belongs to the parent process; threads do not survive fork(): make a new pool");
    pthread_mutex_lock(&pool->owner);
    const asymo_status status = grow_scratch(pool, scratch_bytes);
    if (status != ASYMO_OK) {
        pthread_mutex_unlock(&pool->owner);
        return status;
    }
    place_caller(pool);
    pool->float_env = asymo_float_env_set();
    pool->entered_ticks = asymo_now_ticks();
    pool->crew = ASYMO_CREW_PLANNED;
    return ASYMO_OK;
}

void pool_keep_place(asymo_pool *pool) {
    if (pool->pin_due_ns && asymo_now_ns() >= pool->pin_due_ns) pin_caller(pool);
}

void asymo_pool_leave(asymo_pool *pool) {
    pool_gather(pool, false);
    atomic_fetch_add_explicit(&pool->run_ticks, asymo_now_ticks() - pool->entered_ticks, memory_order_relaxed);
    asymo_float_env_restore(pool->float_env);
    unpin_caller(pool);
    pthread_mutex_unlock(&pool->owner);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------- */

static asymo_status start_workers(asymo_pool *pool) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, ASYMO_MAX((size_t)1 << 20, (size_t)PTHREAD_STACK_MIN)); /* musl's default is 128 KiB */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a worker inherits it: signals belong to the application's threads */
    const int64_t n_workers = pool->n_workers;
    int error = 0;
    for (pool->n_workers = 1; pool->n_workers < n_workers; pool->n_workers++) {
        pool_seat *seat = &pool->seats[pool->n_workers];
        atomic_init(&seat->state, BUSY);
        error = pthread_create(&seat->thread, &attributes, worker_main, seat);
        if (error != 0) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    for (int64_t i = 1; i < pool->n_workers; i++) pool_await(&pool->seats[i], BUSY, 0);
    if (error == 0) return ASYMO_OK;
    return asymo_fail(ASYMO_THREAD_FAILED, "the system made %d of %d worker threads (%s): use fewer workers", (int)pool->n_workers - 1,
                      (int)n_workers - 1, strerror(error));
}

/* More workers than CPUs that they may run on, or two pinned to the same one. */
static bool is_crowded(const asymo_pool *pool, const asymo_cpu_mask *allowed) {
    for (int64_t i = 0; i < pool->n_workers; i++)
        for (int64_t j = 0; j < i; j++)
            if (pool->seats[i].config.cpu >= 0 && pool->seats[i].config.cpu == pool->seats[j].config.cpu) return true;
    const int64_t n_cpus = asymo_pin_count(allowed);
    return n_cpus > 0 && pool->n_workers > n_cpus;
}

/* Memory for the pool, its seats and what its loops need; all or nothing. */
static asymo_pool *make_pool(int64_t n_workers) {
    void *memory = NULL, *seats = NULL;
    const size_t n = (size_t)n_workers, seats_bytes = n * sizeof(pool_seat);
    int64_t *ends = malloc(n * sizeof *ends);
    asymo_share *shares = malloc(ASYMO_POOL_AHEAD * n * sizeof *shares);
    if (ends == NULL || shares == NULL || posix_memalign(&memory, ASYMO_FALSE_SHARING, sizeof(asymo_pool)) != 0 ||
        posix_memalign(&seats, ASYMO_FALSE_SHARING, seats_bytes) != 0) {
        free(memory);
        free(shares);
        free(ends);
        return NULL;
    }
    memset(memory, 0, sizeof(asymo_pool));
    memset(seats, 0, seats_bytes);
    asymo_pool *pool = memory;
    pool->seats = seats;
    pool->ends = ends;
    for (size_t i = 0; i < ASYMO_POOL_AHEAD; i++) pool->loops[i].shares = shares + i * n;
    pool->n_workers = n_workers;
    return pool;
}

static void free_pool(asymo_pool *pool) {
    for (int64_t i = 0; i < pool->n_workers; i++) free(pool->seats[i].scratch);
    free(pool->loops[0].shares);
    free(pool->ends);
    free(pool->seats);
    free(pool);
}

/* Which workers are of which type: those of type t begin at type_first[t]. */
static void sort_out(asymo_pool *pool) {
    int64_t i = 0;
    for (int32_t type = 0; type < ASYMO_MAX_TYPES; type++) {
        pool->type_first[type] = i;
        for (; i < pool->n_workers && pool->seats[i].config.type == type; i++) pool->seats[i].rank = i - pool->type_first[type];
    }
    pool->type_first[ASYMO_MAX_TYPES] = i;
}

asymo_status asymo_pool_start(const asymo_worker_config *workers, int64_t n_workers, asymo_pool **out) {
    pthread_once(&forks_are_watched, watch_forks);
    asymo_pool *pool = make_pool(n_workers);
    if (pool == NULL) return asymo_fail(ASYMO_OUT_OF_MEMORY, "no memory for a pool of %d workers", (int)n_workers);
    pool->born = atomic_load_explicit(&forks, memory_order_relaxed);
    pool->born_ticks = asymo_now_ticks();
    pool->born_ns = asymo_now_ns();
    pthread_mutex_init(&pool->owner, NULL);
    for (int64_t i = 0; i < n_workers; i++) {
        pool_seat *seat = &pool->seats[i];
        seat->pool = pool;
        seat->index = i;
        seat->config = workers[i];
        atomic_init(&seat->placed, -1);
    }
    sort_out(pool);
    asymo_pin_get(&pool->caller_mask); /* what the workers may choose from */
    pool->crowded = is_crowded(pool, &pool->caller_mask);
    const int64_t default_spin_ns = 50000;
    asymo_pool_spin(pool, default_spin_ns);
    const asymo_status status = start_workers(pool);
    if (status != ASYMO_OK) {
        sort_out(pool);
        asymo_pool_destroy(pool);
        return status;
    }
    if (pool->seats[0].config.cpu >= 0) { /* to learn where worker 0 will be */
        pin_caller(pool);
        unpin_caller(pool);
    }
    *out = pool;
    return ASYMO_OK;
}

void asymo_pool_destroy(asymo_pool *pool) {
    if (pool == NULL) return;
    if (!is_forked(pool)) { /* in a child there are no workers, and the mutex may be held by a thread that is not there */
        pthread_mutex_lock(&pool->owner);
        pool_dismiss(pool);
        for (int64_t i = 1; i < pool->n_workers; i++) pthread_join(pool->seats[i].thread, NULL);
        pthread_mutex_unlock(&pool->owner);
        pthread_mutex_destroy(&pool->owner);
    }
    free_pool(pool);
}

/* ---- what may be asked and set ----------------------------------------------------------------------------------------------- */

int64_t asymo_pool_workers(const asymo_pool *pool) { return pool->n_workers; }

void asymo_pool_spin(asymo_pool *pool, int64_t spin_ns) {
    atomic_store_explicit(&pool->most_spin_ns, spin_ns, memory_order_relaxed);
    atomic_store_explicit(&pool->spin_ns, pool->crowded ? 0 : spin_ns, memory_order_relaxed);
}

void asymo_pool_use(asymo_pool *pool, asymo_crew crew) { pool->crew = crew; }

int64_t asymo_pool_crew_size(const asymo_pool *pool, asymo_crew crew) {
    const int64_t big = pool->type_first[pool->seats[0].config.type + 1];
    switch (crew) {
    case ASYMO_CREW_PLANNED: return pool->n_workers;
    case ASYMO_CREW_BIG: return big < pool->n_workers && big > 1 ? big : 0;
    default: return pool->n_workers > 1 ? 1 : 0;
    }
}

bool asymo_pool_is_guided(const asymo_pool *pool) {
    return atomic_load_explicit(&((asymo_pool *)pool)->policy, memory_order_relaxed) == ASYMO_POLICY_GUIDED;
}

void asymo_pool_policy(asymo_pool *pool, int32_t policy) { atomic_store_explicit(&pool->policy, policy, memory_order_relaxed); }

/* Where the kernel has them now: it moves a pinned thread whose CPU goes offline or leaves the cpuset. Worker 0, who is another thread in
 * each run, counts as where it was last. */
void asymo_pool_places(const asymo_pool *pool, int32_t *cpus) {
    for (int64_t i = 0; i < pool->n_workers; i++) {
        const pool_seat *seat = &pool->seats[i];
        cpus[i] = atomic_load_explicit(&seat->placed, memory_order_relaxed);
        if (i > 0 && cpus[i] >= 0 && asymo_pin_of(atomic_load_explicit(&seat->id, memory_order_relaxed)) != cpus[i]) cpus[i] = -1;
    }
}

void asymo_pool_read_stats(asymo_pool *pool, asymo_worker_stats *stats) {
    const int64_t ticks = asymo_now_ticks() - pool->born_ticks, ns = asymo_now_ns() - pool->born_ns;
    const double ns_per_tick = ticks > 0 ? (double)ns / (double)ticks : 0;
    const int64_t run_ticks = atomic_load_explicit(&pool->run_ticks, memory_order_relaxed);
    for (int64_t i = 0; i < pool->n_workers; i++) {
        const pool_counters *c = &pool->seats[i].counters;
#define READ(NAME) atomic_load_explicit(&c->NAME, memory_order_relaxed)
        const int64_t wait_ticks =
            i == 0 ? atomic_load_explicit(&pool->caller_wait_ticks, memory_order_relaxed) : run_ticks - READ(busy_ticks);
        stats[i] = (asymo_worker_stats){
            .busy_ns = (int64_t)(ns_per_tick * (double)(run_ticks - wait_ticks)),
            .wait_ns = (int64_t)(ns_per_tick * (double)wait_ticks),
            .steps = READ(steps),
            .units = READ(units),
            .claims = READ(claims),
            .steals_same = READ(steals_same),
            .steals_from_faster = READ(steals_from_faster),
            .steals_from_slower = READ(steals_from_slower),
            .rescues = READ(rescues),
        };
#undef READ
    }
}

/* Between runs, so that nobody counts meanwhile. */
void asymo_pool_clear_stats(asymo_pool *pool) {
    pthread_mutex_lock(&pool->owner);
    atomic_store_explicit(&pool->run_ticks, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->caller_wait_ticks, 0, memory_order_relaxed);
    for (int64_t i = 0; i < pool->n_workers; i++) {
        pool_counters *c = &pool->seats[i].counters;
        _Atomic int64_t *all[] = {&c->busy_ticks,         &c->steps,  &c->units, &c->claims, &c->steals_same, &c->steals_from_faster,
                                  &c->steals_from_slower, &c->rescues};
        for (size_t j = 0; j < sizeof all / sizeof *all; j++) atomic_store_explicit(all[j], 0, memory_order_relaxed);
    }
    pthread_mutex_unlock(&pool->owner);
}
