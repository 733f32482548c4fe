/* seat.h: what the callers and the workers of a pool share. Private to pool.c (life) and loop.c (one loop after the other). */
#pragma once

#include <pthread.h>

#include "park.h"
#include "pin.h"
#include "pool.h"

/* What a worker does: the low two bits of its seat's state. Above them stands the serial of the loop that it is BUSY in. README.md draws
 * the transitions. */
enum {
    IDLE = 0,    /* looks at the call word; touches nothing of any loop */
    BUSY = 1,    /* may touch the loop */
    WATCHED = 2, /* BUSY, and the caller sleeps on the state until that ends */
    ASLEEP = 3,  /* IDLE, and the worker sleeps on the state */
};

/* What a worker holds, as others see it: nothing, perhaps something, or else the chunk as a range (range.h). */
enum { HOLDS_NOTHING = 0, HOLDS_UNKNOWN = 1 };

/* A worker's counters, written by the worker alone. Relaxed: read for statistics only. */
typedef struct {
    _Atomic int64_t busy_ticks, steps, units, claims, steals_same, steals_from_faster, steals_from_slower, rescues;
} pool_counters;

typedef struct {
    /* Written by the worker; by the caller only BUSY -> WATCHED and ASLEEP -> IDLE. */
    _Alignas(ASYMO_FALSE_SHARING) _Atomic uint32_t state;
    /* Written by the worker, read by the caller at the end of a loop. */
    _Alignas(ASYMO_FALSE_SHARING) _Atomic uint64_t holds;
    _Atomic int64_t since_ticks; /* when it began with what it holds */
    _Atomic uint64_t part_of;    /* the call that the next two belong to */
    _Atomic int64_t part_units;  /* units that it has finished */
    _Atomic int64_t part_ticks;  /* and what they took */
    _Alignas(ASYMO_FALSE_SHARING) pool_counters counters;
    /* An interval of units. Filled by the caller while the loop is closed, taken from by everybody. */
    _Alignas(ASYMO_FALSE_SHARING) _Atomic uint64_t range;
    /* Constant, or written by the caller while the worker does not hold a chunk. */
    _Alignas(ASYMO_FALSE_SHARING) asymo_pool *pool;
    int64_t index;
    int64_t rank; /* among the workers of its type */
    asymo_worker_config config;
    pthread_t thread;
    void *scratch;
    _Atomic int32_t placed; /* where it was pinned, -1: it was not */
    _Atomic int32_t id;     /* the kernel's number of its thread */
    /* The caller's own: the loop in which it left the worker behind. */
    bool strays;
    bool stray_holds; /* it held a chunk then */
    uint64_t stray_serial;
    int64_t stray_horizon;
} pool_seat;

_Static_assert(sizeof(pool_seat) % ASYMO_FALSE_SHARING == 0, "seats must not share cache lines");

/* An open loop. Written before its call, constant until every worker that answered the call is IDLE. */
typedef struct {
    asymo_loop loop; /* loop.work NULL: the workers leave */
    int64_t first_unit;
    int32_t policy;
    int64_t n, n_intervals;         /* of workers that take part, of intervals */
    int64_t first[ASYMO_MAX_TYPES]; /* who of them is the first of a type */
    int64_t opened_ticks;
    asymo_share *shares; /* [n] */
} pool_loop;

struct asymo_pool {
    /* The call: serial << 40 | workers called of type 3, 2, 1, 0 (10 bits each, none while the loop is closed). Written by the caller. */
    _Alignas(ASYMO_FALSE_SHARING) _Atomic uint64_t call;
    _Alignas(ASYMO_FALSE_SHARING) _Atomic int64_t spin_ns; /* how long a worker waits for the next call, awake */
    _Alignas(ASYMO_FALSE_SHARING) pthread_mutex_t owner;   /* held from enter to leave; protects everything below, and every loop */
    pool_loop loops[ASYMO_POOL_AHEAD];                     /* loop of serial s at s % ASYMO_POOL_AHEAD */
    int64_t *ends;                                         /* [n_workers], for the cut */
    int64_t n_strays;
    asymo_crew crew;
    _Atomic int64_t most_spin_ns;
    _Atomic int32_t policy;
    int64_t n_workers, scratch_bytes;
    int64_t type_first[ASYMO_MAX_TYPES + 1];
    bool crowded;       /* more workers than CPUs: spinning would keep the one from running that is waited for */
    bool pinned;        /* the caller's mask must be restored */
    int64_t pin_due_ns; /* when a caller that is on its CPU already is to be pinned, 0: no more in this run */
    uint64_t float_env;
    asymo_cpu_mask caller_mask;
    uint32_t born; /* forks when the pool was made */
    /* For the statistics: when this run began, ticks of all ended runs and of worker 0's waits in them, and both clocks at one moment. */
    int64_t entered_ticks;
    _Atomic int64_t run_ticks, caller_wait_ticks;
    int64_t born_ticks, born_ns;
    pool_seat *seats;
};

/* ---- pool.c ------------------------------------------------------------------------------------------------------------------- */

/* Pins a caller that was where it belongs, once its run has turned out to be a long one. */
void pool_keep_place(asymo_pool *pool);

/* ---- loop.c ----------------------------------------------------------------------------------------------------------------- */

/* The life of a worker: answers calls until one says that it leaves. */
void pool_serve(pool_seat *seat);
/* Ends BUSY. */
void pool_stand_up(pool_seat *seat);
/* Waits until a worker is no more in the state that it is in. */
void pool_await(pool_seat *seat, uint32_t busy, int64_t spin_ns);
/* Calls every worker to leave. */
void pool_dismiss(asymo_pool *pool);
/* Waits for every straggler, or for those that hold a chunk. */
void pool_gather(asymo_pool *pool, bool all);
