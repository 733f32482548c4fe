/* unequal.c: the pool and the interpreter with core types, groups, slow workers, every policy, and workers that oversleep, so that their
 * chunks are computed again. Takes the place of exec/table.c, as stress.c does.
 *
 *   round r:   pass    y[r] = 2 z[r - 1] + reversed z[r - 1] + 1     repeatable; workers oversleep at times
 *              mix     z[r] = 2 y[r] + reversed y[r] + 1             repeatable
 *              count   n[u] += 1, once for every unit                not repeatable
 *   `delay` rounds later, the horizon of pass and mix:
 *              paint   y[r] = canary                                 not repeatable
 *
 * pass and mix touch memory by relaxed atomics, as two workers may compute the same unit; paint and count do not, so a store after the
 * horizon is a data race as well as a broken canary. `unequal N SEED` makes N runs, more if that was too few for three rescues. Prints
 * "ok" and how many chunks were computed again. */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "../../csrc/exec/program.h"
#include "../../csrc/sched/range.h"
#include "../../csrc/sched/seat.h"
#include "check.h"

enum { MOST_UNITS = 256, ROUNDS = 10, STEPS = 4 * ROUNDS, CANARY = 0xa5a5a5a5 };

/* ---- memory of a run: one slot ------------------------------------------------------------------------------------------------- */

typedef struct {
    _Atomic uint32_t z[ROUNDS + 1][MOST_UNITS], y[ROUNDS][MOST_UNITS];
    uint32_t counts[MOST_UNITS];
    /* How often a unit of a step was computed: by others than the caller, and by the caller. */
    _Atomic uint32_t by_others[STEPS][MOST_UNITS], by_caller[STEPS][MOST_UNITS];
    _Atomic int64_t calls[STEPS], units; /* of all calls */
} memory;

typedef struct {
    int64_t units, step, round;
    uint32_t oversleeps; /* one unit in so many; 0: none */
} toy_args;

static int64_t units(const void *args) { return ((const toy_args *)args)->units; }
static int64_t scratch(const void *args) { return ((const toy_args *)args)->units % 7 * 8; }

/* Notes that a worker computes the units; oversleeps before. */
static memory *note(const toy_args *a, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    memory *m = op[0];
    if (scratch(a)) memset(worker->scratch, worker->index, (size_t)scratch(a));
    atomic_fetch_add_explicit(&m->calls[a->step], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->units, end - begin, memory_order_relaxed);
    for (int64_t u = begin; u < end; u++) {
        atomic_fetch_add_explicit(worker->index ? &m->by_others[a->step][u] : &m->by_caller[a->step][u], 1, memory_order_relaxed);
        if (a->oversleeps == 0) continue;
        for (volatile int i = 0; i < 300; i++) continue; /* so that others come in time */
        if (worker->index && (u + a->step) % a->oversleeps == 0) usleep(300);
    }
    return m;
}

static uint32_t at(_Atomic uint32_t *x, int64_t u) { return atomic_load_explicit(&x[u], memory_order_relaxed); }

static void blend(const toy_args *a, _Atomic uint32_t *from, _Atomic uint32_t *to, int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; u++)
        atomic_store_explicit(&to[u], 2 * at(from, u) + at(from, a->units - 1 - u) + 1, memory_order_relaxed);
}

static void pass(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const toy_args *a = args;
    memory *m = note(a, op, begin, end, worker);
    blend(a, m->z[a->round], m->y[a->round], begin, end);
}

static void mix(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const toy_args *a = args;
    memory *m = note(a, op, begin, end, worker);
    blend(a, m->y[a->round], m->z[a->round + 1], begin, end);
}

static void count(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    memory *m = note(args, op, begin, end, worker);
    for (int64_t u = begin; u < end; u++) m->counts[u]++;
}

static void paint(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const toy_args *a = args;
    memory *m = note(a, op, begin, end, worker);
    for (int64_t u = begin; u < end; u++) *(uint32_t *)&m->y[a->round][u] = (uint32_t)CANARY; /* plain: see above */
}

static void tally(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)args, (void)worker;
    atomic_fetch_add_explicit((_Atomic int64_t *)op[0], end - begin, memory_order_relaxed);
}

enum { PASS, MIX, COUNT, PAINT, TALLY };
const asymo_step_row asymo_step_rows[] = {
    {"pass", sizeof(toy_args), true, units, scratch, NULL, pass},    {"mix", sizeof(toy_args), true, units, scratch, NULL, mix},
    {"count", sizeof(toy_args), false, units, scratch, NULL, count}, {"paint", sizeof(toy_args), false, units, scratch, NULL, paint},
    {"tally", sizeof(toy_args), false, units, scratch, NULL, tally},
};
const int32_t asymo_step_row_count = sizeof asymo_step_rows / sizeof asymo_step_rows[0];

/* ---- what is drawn ------------------------------------------------------------------------------------------------------------- */

static uint32_t seed;
static int draw(int n) {
    seed = seed * 1664525u + 1013904223u;
    return (int)((seed >> 8) % (uint32_t)n);
}

static asymo_pool *draw_pool(int n_workers, bool *exact) {
    asymo_worker_config workers[16] = {0};
    for (int i = 0, type = draw(2); i < n_workers; i++) {
        if (i > 0 && type < 3 && draw(3) == 0) type++;
        const bool joins = i > 0 && workers[i - 1].type == type && draw(2);
        workers[i] = (asymo_worker_config){.cpu = -1,
                                           .type = type,
                                           .group = joins     ? workers[i - 1].group
                                                    : draw(4) ? 100 + i
                                                              : -1,
                                           .slowdown = 1};
        if (draw(40) == 0) workers[i].slowdown = 1.5 + draw(3);
        *exact = *exact && workers[i].slowdown == 1;
    }
    asymo_pool *pool;
    OK(asymo_pool_create(workers, n_workers, &pool));
    OK(asymo_pool_set_spin(pool, draw(2) ? 5000 : 0));
    OK(asymo_pool_set_policy(pool, draw(2) ? ASYMO_POLICY_GUIDED : draw(ASYMO_POLICY_FIXED + 1)));
    if (n_workers <= 4) pool->crowded = false; /* else it would rescue nothing where there are fewer CPUs */
    return pool;
}

static asymo_sharing draw_sharing(int64_t horizon) {
    asymo_sharing sharing = {.spin_ns = draw(3) ? -1 : draw(2000), .horizon = horizon};
    for (int type = 0; type < ASYMO_MAX_TYPES; type++) {
        sharing.cores[type] = draw(4) ? 16 : draw(3);
        sharing.chunk[type] = draw(3) ? 1 : draw(20);
        sharing.unit_ns[type] = draw(3) ? 50 + 100 * type + draw(100) : draw(2) ? 0 : 1e6 * draw(100);
    }
    if (draw(8) == 0) memset(sharing.cores, 0, sizeof sharing.cores);
    return sharing;
}

static void add(asymo_program *program, int32_t kind, int64_t n, int64_t round, uint32_t oversleeps, int64_t horizon) {
    const asymo_sharing sharing = draw_sharing(horizon);
    const toy_args args = {.units = n, .step = program->n_steps, .round = round, .oversleeps = oversleeps};
    OK(asymo_program_add(program, kind, &args, &(asymo_ref){0, 0}, 1, &sharing));
}

/* The index at which round r begins, or is painted: rounds are of three steps, and four from `delay` on. */
static int64_t begin_of(int64_t round, int64_t delay) { return 3 * round + ASYMO_MAX(round - delay, 0); }
static int64_t paint_of(int64_t round, int64_t delay) { return begin_of(round + delay, delay) + 3; }

static asymo_program *draw_program(int64_t n, int64_t delay) {
    asymo_program *program;
    OK(asymo_program_create(STEPS, 16, &program));
    const uint32_t oversleeps = draw(2) ? 0 : draw(2) ? 7 : 61;
    for (int64_t round = 0; round < ROUNDS; round++) {
        CHECK(program->n_steps == begin_of(round, delay), "round %d", (int)round);
        const int64_t horizon = draw(4) ? paint_of(round, delay) : 0;
        add(program, PASS, n, round, draw(3) ? 0 : oversleeps, horizon);
        add(program, MIX, n, round, draw(6) ? 0 : oversleeps, horizon);
        add(program, COUNT, n, round, 0, 0);
        if (round >= delay) add(program, PAINT, n, round - delay, 0, 1000);
    }
    return program;
}

/* ---- a run, and what must be true of it ------------------------------------------------------------------------------------------ */

typedef struct {
    int64_t units, takes, rescues;
} totals;

static totals totals_of(asymo_pool *pool) {
    asymo_worker_stats stats[16];
    totals all = {0};
    OK(asymo_pool_stats(pool, stats));
    for (int64_t i = 0; i < asymo_pool_workers(pool); i++) {
        all.units += stats[i].units;
        all.takes += stats[i].claims + stats[i].steals_same + stats[i].steals_from_faster + stats[i].steals_from_slower;
        all.rescues += stats[i].rescues;
    }
    return all;
}

static void reset(memory *m, int64_t n) {
    memset(m, 0, sizeof *m);
    for (int64_t u = 0; u < n; u++) m->z[0][u] = (uint32_t)(u * u + 1);
}

static void check_values(memory *m, memory *serial, int64_t n, int64_t delay) {
    reset(serial, n);
    for (int64_t round = 0; round < ROUNDS; round++) {
        blend(&(toy_args){.units = n}, serial->z[round], serial->y[round], 0, n);
        blend(&(toy_args){.units = n}, serial->y[round], serial->z[round + 1], 0, n);
        for (int64_t u = 0; u < n; u++) {
            CHECK(at(m->z[round + 1], u) == at(serial->z[round + 1], u), "round %d, unit %d of %d", (int)round, (int)u, (int)n);
            const uint32_t y = round + delay < ROUNDS ? (uint32_t)CANARY : at(serial->y[round], u);
            CHECK(at(m->y[round], u) == y, "y of round %d, unit %d of %d", (int)round, (int)u, (int)n);
        }
    }
    for (int64_t u = 0; u < n; u++) CHECK(m->counts[u] == ROUNDS, "unit %d of %d was counted %u times", (int)u, (int)n, m->counts[u]);
}

static int64_t n_rescues;

/* exact: nobody computes a unit again to be slow. */
static void run(const asymo_program *program, asymo_pool *pool, memory *m, memory *serial, int64_t n, int64_t delay, bool exact) {
    const totals before = totals_of(pool);
    reset(m, n);
    OK(asymo_program_run((asymo_program *)program, pool, (void *[]){m}, 1, 0, program->n_steps, NULL));
    check_values(m, serial, n, delay);
    int64_t again = 0, chunks = 0, single = 0; /* single: steps of one chunk, which may be a plain call */
    for (int64_t step = 0; step < program->n_steps; step++) {
        chunks += m->calls[step];
        single += m->calls[step] == 1;
        for (int64_t u = 0; u < n; u++) {
            const uint32_t others = at(m->by_others[step], u), caller = at(m->by_caller[step], u);
            CHECK(others + caller >= 1, "unit %d of step %d was left out", (int)u, (int)step);
            CHECK(!exact || (others <= 1 && caller <= 1), "unit %d of step %d: %u times and %u", (int)u, (int)step, others, caller);
            CHECK(!exact || program->steps[step].repeatable || others + caller == 1, "unit %d of step %d: again", (int)u, (int)step);
            again += others + caller - 1;
        }
    }
    /* A worker that nobody waited for may still have to count its last chunk. */
    const int64_t all_units = n * program->n_steps;
    totals after = totals_of(pool);
    while (after.units - before.units < all_units || (again == 0 && after.takes - before.takes < chunks - single)) {
        sched_yield();
        after = totals_of(pool);
    }
    CHECK(after.units - before.units == all_units, "%ld units were counted, %ld computed", (long)(after.units - before.units),
          (long)all_units);
    const int64_t takes = after.takes - before.takes, rescues = after.rescues - before.rescues;
    CHECK(!exact || again >= rescues, "%ld units were computed again, in %ld rescues", (long)again, (long)rescues);
    CHECK(!exact || m->units == all_units + again, "%ld units", (long)m->units);
    CHECK(!exact || again > 0 || (chunks - single <= takes && takes <= chunks),
          "%ld claims and steals, %ld chunks, %ld of them all of a step", (long)takes, (long)chunks, (long)single);
    n_rescues += rescues;
}

static void test_unequal(int n_runs) {
    static memory m, serial;
    for (int runs = 0; runs < n_runs || n_rescues < 3;) {
        bool exact = true;
        asymo_pool *pool = draw_pool(draw(2) ? 2 + draw(3) : 1 + draw(16), &exact);
        for (int programs = 0; programs < 4; programs++) {
            const int64_t n = draw(3) ? 1 + draw(60) : 1 + draw(MOST_UNITS), delay = 1 + draw(6);
            asymo_program *program = draw_program(n, delay);
            for (int i = 0; i < 5; i++, runs++) run(program, pool, &m, &serial, n, delay, exact);
            asymo_program_destroy(program);
        }
        asymo_pool_destroy(pool);
    }
}

/* More units than an interval holds: in pieces, the last of which may be too small to share. */
static void test_pieces(void) {
    const int64_t most = ASYMO_RANGE_MAX_UNITS, sizes[] = {most, most + 1, most + 100, 2 * most + 1};
    asymo_pool *pool;
    OK(asymo_pool_create((asymo_worker_config[]){{-1, 0, -1, 0, 1}, {-1, 1, -1, 0, 1}, {-1, 1, -1, 0, 1}}, 3, &pool));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        asymo_program *program;
        OK(asymo_program_create(1, 16, &program));
        const asymo_sharing sharing = {.cores = {1, 2}, .chunk = {1000, 1000}, .spin_ns = -1};
        OK(asymo_program_add(program, TALLY, &(toy_args){.units = sizes[i]}, &(asymo_ref){0, 0}, 1, &sharing));
        _Atomic int64_t n = 0;
        OK(asymo_program_run(program, pool, (void *[]){&n}, 1, 0, 1, NULL));
        CHECK(n == sizes[i], "%ld units of %ld", (long)n, (long)sizes[i]);
        asymo_program_destroy(program);
    }
    asymo_pool_destroy(pool);
}

int main(int argc, char **argv) {
    seed = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    test_pieces();
    test_unequal(argc > 1 ? atoi(argv[1]) : 100);
    printf("ok, %ld rescues\n", (long)n_rescues);
    return 0;
}
