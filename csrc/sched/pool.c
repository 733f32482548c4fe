#define _GNU_SOURCE
#include "pool.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "../common/float_env.h"
#include "../common/status.h"
#include "park.h"
#include "pin.h"
#include "range.h"

/* A worker's seat. Its state says what the worker does; README.md draws the transitions. */
enum {
    IDLE = 0,    /* looks at the call word; touches nothing of the loop */
    BUSY = 1,    /* may touch the loop */
    WATCHED = 2, /* BUSY, and the caller sleeps on the state until that ends */
    ASLEEP = 3,  /* IDLE, and the worker sleeps on the state */
};

typedef struct {
    /* Written by the worker; by the caller only BUSY -> WATCHED and ASLEEP -> IDLE. */
    _Alignas(ASYMO_FALSE_SHARING) _Atomic uint32_t state;
    /* The worker's interval of units. Filled by the caller while the loop is closed, taken from by everybody. */
    _Alignas(ASYMO_FALSE_SHARING) _Atomic uint64_t range;
    /* Constant, or written by the caller while the loop is closed. */
    _Alignas(ASYMO_FALSE_SHARING) asymo_pool *pool;
    int64_t index;
    pthread_t thread;
    void *scratch;
    int32_t cpu;            /* wanted, -1: anywhere */
    _Atomic int32_t placed; /* where it is pinned, -1: it is not */
} pool_seat;

_Static_assert(sizeof(pool_seat) % ASYMO_FALSE_SHARING == 0, "seats must not share cache lines");

typedef struct {
    asymo_pool_work *work; /* NULL: the worker leaves */
    void *context;
    int64_t min_chunk, n_intervals;
} pool_loop;

struct asymo_pool {
    /* serial << 16 | number of workers called: 0 of them while the loop is closed. Written by the caller. */
    _Alignas(ASYMO_FALSE_SHARING) _Atomic uint64_t call;
    /* Written by the caller while closed, read by a worker that is BUSY in this call. */
    _Alignas(ASYMO_FALSE_SHARING) pool_loop loop;
    _Alignas(ASYMO_FALSE_SHARING) _Atomic int64_t spin_ns;
    pthread_mutex_t owner; /* held from enter to leave; protects everything above and below */
    int64_t n_workers, scratch_bytes;
    bool crowded;       /* more workers than CPUs: spinning would keep the one from running that is waited for */
    bool pinned;        /* the caller's mask must be restored */
    int64_t pin_due_ns; /* when a caller that is on its CPU already is to be pinned, 0: no more in this run */
    uint64_t float_env;
    asymo_cpu_mask caller_mask;
    uint32_t born; /* forks when the pool was made */
    pool_seat *seats;
};

/* Counts fork() in this process's line: threads do not survive it. */
static _Atomic uint32_t forks;
static void count_fork(void) { atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }
static pthread_once_t forks_are_watched = PTHREAD_ONCE_INIT;

static bool is_forked(const asymo_pool *pool) { return atomic_load_explicit(&forks, memory_order_relaxed) != pool->born; }

static int64_t spin_ns_of(const asymo_pool *pool) {
    return pool->crowded ? 0 : atomic_load_explicit(&((asymo_pool *)pool)->spin_ns, memory_order_relaxed);
}

/* ---- the worker's side ------------------------------------------------------------------------------------------------------ */

static bool calls(uint64_t call, int64_t index) { return (int64_t)(call & 0xffff) > index; }

/* Ends BUSY. Release: pairs with the acquire in await_idle, so the caller sees what the units wrote. */
static void stand_up(pool_seat *seat) {
    if (atomic_exchange_explicit(&seat->state, IDLE, memory_order_release) == WATCHED) asymo_park_wake(&seat->state);
}

/* Waits for a call to this worker other than the one it has answered. The acquire pairs with the release in open_loop. */
static uint64_t await_call(pool_seat *seat, uint64_t answered) {
    asymo_pool *pool = seat->pool;
    asymo_spin spin = {0};
    for (;;) {
        uint64_t call = atomic_load_explicit(&pool->call, memory_order_acquire);
        if (call != answered && calls(call, seat->index)) return call;
        if (asymo_spin_more(&spin, spin_ns_of(pool))) continue;
        /* Sequentially consistent with open_loop: either it sees ASLEEP and wakes us, or we see its call here. */
        atomic_exchange_explicit(&seat->state, ASLEEP, memory_order_seq_cst);
        call = atomic_load_explicit(&pool->call, memory_order_seq_cst);
        if (call == answered || !calls(call, seat->index)) asymo_park_wait(&seat->state, ASLEEP);
        uint32_t asleep = ASLEEP; /* unless the caller has done it already */
        atomic_compare_exchange_strong_explicit(&seat->state, &asleep, IDLE, memory_order_relaxed, memory_order_relaxed);
        spin = (asymo_spin){0};
    }
}

/* Runs chunks until none is left: from the front of the worker's own interval, then from the back of the others'. */
static void drain(pool_seat *seats, const pool_loop *loop, int64_t index) {
    asymo_chunk chunk;
    while (asymo_range_take(&seats[index].range, asymo_range_claim, 1, loop->min_chunk, &chunk))
        loop->work(loop->context, index, chunk.begin, chunk.end);
    for (int64_t i = 1; i < loop->n_intervals; i++) {
        pool_seat *victim = &seats[(index + i) % loop->n_intervals];
        while (asymo_range_take(&victim->range, asymo_range_steal, 1, loop->min_chunk, &chunk))
            loop->work(loop->context, index, chunk.begin, chunk.end);
    }
}

static void *worker_main(void *argument) {
    pool_seat *seat = argument;
    asymo_pool *pool = seat->pool;
    char name[16] = "asymo-worker";
    prctl(PR_SET_NAME, name);
    asymo_float_env_set();
    atomic_store_explicit(&seat->placed, asymo_pin_to(seat->cpu, &pool->caller_mask), memory_order_relaxed);
    stand_up(seat);
    for (uint64_t call = 0;;) {
        call = await_call(seat, call);
        /* Sequentially consistent with close_loop: either it sees BUSY and waits, or we see that the call is over. */
        atomic_exchange_explicit(&seat->state, BUSY, memory_order_seq_cst);
        const bool is_current = atomic_load_explicit(&pool->call, memory_order_seq_cst) == call;
        const bool leaves = is_current && pool->loop.work == NULL;
        if (is_current && !leaves) drain(pool->seats, &pool->loop, seat->index);
        stand_up(seat);
        if (leaves) return NULL;
    }
}

/* ---- the caller's side ------------------------------------------------------------------------------------------------------ */

/* Acquire: pairs with the release in stand_up. Sequentially consistent for the sake of close_loop. */
static void await_idle(pool_seat *seat, int64_t spin_ns) {
    asymo_spin spin = {0};
    for (;;) {
        uint32_t state = atomic_load_explicit(&seat->state, memory_order_seq_cst);
        if (state == IDLE || state == ASLEEP) return;
        if (asymo_spin_more(&spin, spin_ns)) continue;
        if (state == WATCHED ||
            atomic_compare_exchange_strong_explicit(&seat->state, &state, WATCHED, memory_order_relaxed, memory_order_relaxed))
            asymo_park_wait(&seat->state, WATCHED);
    }
}

/* Publishes what was written before, calls workers 1 .. n_called - 1, and wakes those of them that sleep. */
static void open_loop(asymo_pool *pool, int64_t n_called) {
    const uint64_t serial = atomic_load_explicit(&pool->call, memory_order_relaxed) >> 16;
    atomic_exchange_explicit(&pool->call, (serial + 1) << 16 | (uint64_t)n_called, memory_order_seq_cst);
    for (int64_t i = 1; i < n_called; i++) {
        uint32_t state = atomic_load_explicit(&pool->seats[i].state, memory_order_seq_cst);
        if (state == ASLEEP &&
            atomic_compare_exchange_strong_explicit(&pool->seats[i].state, &state, IDLE, memory_order_relaxed, memory_order_relaxed))
            asymo_park_wake(&pool->seats[i].state);
    }
}

/* Withdraws the call and waits for those who had answered it. A worker that slept through it is not waited for. */
static void close_loop(asymo_pool *pool, int64_t n_called) {
    const uint64_t call = atomic_load_explicit(&pool->call, memory_order_relaxed);
    atomic_exchange_explicit(&pool->call, call & ~UINT64_C(0xffff), memory_order_seq_cst);
    const int64_t spin_ns = spin_ns_of(pool);
    for (int64_t i = 1; i < n_called; i++) await_idle(&pool->seats[i], spin_ns);
}

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

/* Pins the calling thread as worker 0 and remembers its mask. */
static void pin_caller(asymo_pool *pool) {
    pool->pin_due_ns = 0;
    pool->pinned = asymo_pin_get(&pool->caller_mask);
    if (!pool->pinned) return;
    const int32_t placed = asymo_pin_to(pool->seats[0].cpu, &pool->caller_mask);
    atomic_store_explicit(&pool->seats[0].placed, placed, memory_order_relaxed);
}

static void unpin_caller(asymo_pool *pool) {
    if (pool->pinned) asymo_pin_set(&pool->caller_mask);
    pool->pinned = false;
}

/* Pinning and restoring took 12 us of system calls (Zen 4, virtual machine): 20 times what the shortest run takes. A caller that already
 * is where it belongs is therefore pinned only when the run turns out to be a long one. */
static void place_caller(asymo_pool *pool) {
    const int64_t long_run_ns = 200000;
    pool->pin_due_ns = 0;
    if (pool->seats[0].cpu < 0) return;
    if (asymo_pin_current() == pool->seats[0].cpu)
        pool->pin_due_ns = asymo_now_ns() + long_run_ns;
    else
        pin_caller(pool);
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
    return ASYMO_OK;
}

void asymo_pool_leave(asymo_pool *pool) {
    asymo_float_env_restore(pool->float_env);
    unpin_caller(pool);
    pthread_mutex_unlock(&pool->owner);
}

void asymo_pool_for(asymo_pool *pool, int64_t units, int64_t min_chunk, asymo_pool_work *work, void *context) {
    if (pool->pin_due_ns && asymo_now_ns() >= pool->pin_due_ns) pin_caller(pool);
    const int64_t n = ASYMO_MIN(pool->n_workers, asymo_ceil_div(units, min_chunk));
    if (n <= 1) {
        if (units > 0) work(context, 0, 0, units);
        return;
    }
    pool->loop = (pool_loop){work, context, min_chunk, n};
    for (int64_t i = 0; i < n; i++)
        atomic_store_explicit(&pool->seats[i].range, asymo_range_make(units * i / n, units * (i + 1) / n), memory_order_relaxed);
    open_loop(pool, n);
    drain(pool->seats, &pool->loop, 0);
    close_loop(pool, n);
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
    for (int64_t i = 1; i < pool->n_workers; i++) await_idle(&pool->seats[i], 0);
    if (error == 0) return ASYMO_OK;
    return asymo_fail(ASYMO_THREAD_FAILED, "the system made %d of %d worker threads (%s): use fewer workers", (int)pool->n_workers - 1,
                      (int)n_workers - 1, strerror(error));
}

/* More workers than CPUs that they may run on, or two pinned to the same one. */
static bool is_crowded(const asymo_pool *pool, const asymo_cpu_mask *allowed) {
    for (int64_t i = 0; i < pool->n_workers; i++)
        for (int64_t j = 0; j < i; j++)
            if (pool->seats[i].cpu >= 0 && pool->seats[i].cpu == pool->seats[j].cpu) return true;
    const int64_t n_cpus = asymo_pin_count(allowed);
    return n_cpus > 0 && pool->n_workers > n_cpus;
}

asymo_status asymo_pool_start(const int32_t *cpus, int64_t n_workers, asymo_pool **out) {
    pthread_once(&forks_are_watched, watch_forks);
    void *memory = NULL, *seats = NULL;
    const size_t seats_bytes = (size_t)n_workers * sizeof(pool_seat);
    if (posix_memalign(&memory, ASYMO_FALSE_SHARING, sizeof(asymo_pool)) != 0 ||
        posix_memalign(&seats, ASYMO_FALSE_SHARING, seats_bytes) != 0) {
        free(memory);
        return asymo_fail(ASYMO_OUT_OF_MEMORY, "no memory for a pool of %d workers", (int)n_workers);
    }
    memset(memory, 0, sizeof(asymo_pool));
    memset(seats, 0, seats_bytes);
    asymo_pool *pool = memory;
    pool->seats = seats;
    pool->n_workers = n_workers;
    pool->born = atomic_load_explicit(&forks, memory_order_relaxed);
    const int64_t default_spin_ns = 50000;
    atomic_init(&pool->spin_ns, default_spin_ns);
    pthread_mutex_init(&pool->owner, NULL);
    for (int64_t i = 0; i < n_workers; i++) {
        pool_seat *seat = &pool->seats[i];
        seat->pool = pool;
        seat->index = i;
        seat->cpu = cpus[i];
        atomic_init(&seat->placed, -1);
    }
    asymo_pin_get(&pool->caller_mask); /* what the workers may choose from */
    pool->crowded = is_crowded(pool, &pool->caller_mask);
    const asymo_status status = start_workers(pool);
    if (status != ASYMO_OK) {
        asymo_pool_destroy(pool);
        return status;
    }
    if (pool->seats[0].cpu >= 0) { /* to learn where worker 0 will be */
        pin_caller(pool);
        unpin_caller(pool);
    }
    *out = pool;
    return ASYMO_OK;
}

int64_t asymo_pool_workers(const asymo_pool *pool) { return pool->n_workers; }

void asymo_pool_spin(asymo_pool *pool, int64_t spin_ns) { atomic_store_explicit(&pool->spin_ns, spin_ns, memory_order_relaxed); }

void asymo_pool_places(const asymo_pool *pool, int32_t *cpus) {
    for (int64_t i = 0; i < pool->n_workers; i++) cpus[i] = atomic_load_explicit(&pool->seats[i].placed, memory_order_relaxed);
}

void asymo_pool_destroy(asymo_pool *pool) {
    if (pool == NULL) return;
    if (!is_forked(pool)) { /* in a child there are no workers, and the mutex may be held by a thread that is not there */
        pthread_mutex_lock(&pool->owner);
        pool->loop.work = NULL;
        open_loop(pool, pool->n_workers);
        for (int64_t i = 1; i < pool->n_workers; i++) pthread_join(pool->seats[i].thread, NULL);
        pthread_mutex_unlock(&pool->owner);
        pthread_mutex_destroy(&pool->owner);
    }
    for (int64_t i = 0; i < pool->n_workers; i++) free(pool->seats[i].scratch);
    free(pool->seats);
    free(pool);
}
