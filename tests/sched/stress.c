/* stress.c: hammers the pool and the step interpreter with step kinds of its own (this file takes the place of exec/table.c).
 *
 * Built by test_stress.py with -fsanitize=thread and with -fsanitize=address,undefined. Units write plain memory, so a unit done twice,
 * a missing barrier or a shared scratch is a data race as well as a wrong number. Prints "ok", or what failed, and exits accordingly.
 * `stress measure` prints the cost of an empty step instead. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../csrc/common/clock.h"
#include "../../csrc/common/float_env.h"
#include "../../csrc/exec/table.h"
#include "check.h"

#if defined(__has_feature)
#define HAS_TSAN __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#endif

/* ---- step kinds ---------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t units, phases, scratch_bytes, pause_us;
} toy_args;

static int64_t units(const void *args) { return ((const toy_args *)args)->units; }
static int64_t phases(const void *args) { return ((const toy_args *)args)->phases; }
static int64_t scratch(const void *args) { return ((const toy_args *)args)->scratch_bytes; }

static void nothing(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)args, (void)op, (void)begin, (void)end, (void)worker;
}

/* y[u] = 2 x[u] + x[units - 1 - u] + 1 (modulo 2^32): needs every unit of the step before, from whichever worker. */
static void mirror(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const uint32_t *x = op[0];
    uint32_t *y = op[1];
    for (int64_t u = begin; u < end; u++) y[u] = 2 * x[u] + x[units(args) - 1 - u] + 1;
}

/* The same between two halves of y, back and forth, a phase each: y[half] from y[1 - half]. */
static void phased(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    uint32_t *y = op[0];
    const int64_t n = units(args), to = worker->phase % 2 * n, from = n - to;
    for (int64_t u = begin; u < end; u++) y[to + u] = 2 * y[from + u] + y[from + n - 1 - u] + 1;
}

/* counts[u] += 1, after filling the worker's scratch and finding it as it was left. Every 16th unit sleeps. */
static void count(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const toy_args *a = args;
    uint32_t *counts = op[0];
    for (int64_t u = begin; u < end; u++) {
        if (a->scratch_bytes) memset(worker->scratch, (int)(u & 0xff), (size_t)a->scratch_bytes);
        if (a->pause_us && u % 16 == 0) usleep((useconds_t)a->pause_us);
        for (int64_t i = 0; i < a->scratch_bytes; i++)
            if (((const uint8_t *)worker->scratch)[i] != (uint8_t)u) asymo_worker_fault(worker);
        counts[u]++;
    }
}

static void faulty(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)args, (void)op;
    if (begin <= 3 && 3 < end) asymo_worker_fault(worker);
}

/* y[u] = the smallest subnormal, as computed: 0 where a worker flushes. */
static void subnormal(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)args, (void)worker;
    volatile float smallest_normal = 0x1p-126f;
    for (int64_t u = begin; u < end; u++) ((float *)op[0])[u] = smallest_normal * 0x1p-23f;
}

/* y[u] = the number of CPUs that the worker may run on. */
static void places(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)args, (void)worker;
    cpu_set_t mask;
    CHECK(sched_getaffinity(0, sizeof mask, &mask) == 0, "sched_getaffinity");
    for (int64_t u = begin; u < end; u++) ((uint32_t *)op[0])[u] = (uint32_t)CPU_COUNT(&mask);
}

enum { NOTHING, MIRROR, PHASED, COUNT, FAULTY, SUBNORMAL, PLACES };
const asymo_step_row asymo_step_rows[] = {
    {"nothing", sizeof(toy_args), false, units, scratch, NULL, nothing},
    {"mirror", sizeof(toy_args), false, units, scratch, NULL, mirror},
    {"phased", sizeof(toy_args), false, units, scratch, phases, phased},
    {"count", sizeof(toy_args), false, units, scratch, NULL, count},
    {"faulty", sizeof(toy_args), false, units, scratch, NULL, faulty},
    {"subnormal", sizeof(toy_args), false, units, scratch, NULL, subnormal},
    {"places", sizeof(toy_args), false, units, scratch, NULL, places},
};
const int32_t asymo_step_row_count = sizeof asymo_step_rows / sizeof asymo_step_rows[0];

static void add(asymo_program *program, int32_t kind, toy_args args, const asymo_ref *refs, int64_t n_refs, int serial, int64_t min_chunk) {
    asymo_sharing sharing = {.spin_ns = -1};
    for (int type = 0; type < ASYMO_MAX_TYPES; type++) {
        sharing.cores[type] = serial ? 0 : 64;
        sharing.chunk[type] = min_chunk;
    }
    OK(asymo_program_add(program, kind, &args, refs, n_refs, &sharing));
}

static asymo_pool *make_pool(int64_t n_workers, int64_t spin_ns) {
    asymo_worker_config workers[64];
    for (int i = 0; i < 64; i++) workers[i] = (asymo_worker_config){.cpu = -1, .group = -1, .slowdown = 1};
    asymo_pool *pool;
    OK(asymo_pool_create(workers, n_workers, &pool));
    OK(asymo_pool_set_spin(pool, spin_ns));
    return pool;
}

/* ---- a chain of dependent steps, against the same chain in one loop ------------------------------------------------------- */

enum { CHAIN = 12, PHASES = 5, MAX_UNITS = 2048 };

static asymo_program *make_chain(int64_t n, int64_t min_chunk) {
    asymo_program *program;
    OK(asymo_program_create(2 * CHAIN + 2, 16, &program));
    for (int64_t i = 0; i < CHAIN; i++) {
        const asymo_ref refs[2] = {{i % 2, 0}, {1 - i % 2, 0}};
        add(program, MIRROR, (toy_args){.units = n}, refs, 2, i % 5 == 3 || i % 5 == 4, min_chunk);
        add(program, COUNT, (toy_args){.units = n, .scratch_bytes = 4 * i}, &(asymo_ref){2, 0}, 1, 0, min_chunk);
    }
    add(program, PHASED, (toy_args){.units = n, .phases = PHASES}, &(asymo_ref){3, 0}, 1, 0, min_chunk);
    add(program, COUNT, (toy_args){.units = n, .pause_us = n < 100 ? 50 : 0}, &(asymo_ref){2, 0}, 1, 0, min_chunk);
    return program;
}

static void run_chain(asymo_program *program, asymo_pool *pool, int64_t n, int runs) {
    uint32_t *x = calloc(6 * MAX_UNITS, 4), *y = x + MAX_UNITS, *counts = y + MAX_UNITS, *halves = counts + MAX_UNITS,
             *expected = halves + 2 * MAX_UNITS;
    CHECK(x != NULL, "calloc");
    for (int run = 0; run < runs; run++) {
        for (int64_t u = 0; u < n; u++) x[u] = halves[n + u] = expected[u] = (uint32_t)(u + run);
        memset(counts, 0, MAX_UNITS * 4);
        OK(asymo_program_run(program, pool, (void *[]){x, y, counts, halves}, 4, 0, 2 * CHAIN + 2, NULL));
        for (int i = 0; i < CHAIN; i++) {
            if (i == PHASES)
                for (int64_t u = 0; u < n; u++) CHECK(halves[u] == expected[u], "phase: unit %ld of %ld, run %d", (long)u, (long)n, run);
            for (int64_t u = 0, v = n - 1; u <= v; u++, v--) {
                const uint32_t a = expected[u], b = expected[v];
                expected[u] = 2 * a + b + 1;
                expected[v] = 2 * b + a + 1;
            }
        }
        for (int64_t u = 0; u < n; u++) CHECK(x[u] == expected[u], "unit %ld of %ld, run %d", (long)u, (long)n, run);
        for (int64_t u = 0; u < n; u++) CHECK(counts[u] == CHAIN + 1, "unit %ld of %ld done %u times", (long)u, (long)n, counts[u]);
        for (int64_t u = n; u < MAX_UNITS; u++) CHECK(counts[u] == 0, "unit %ld of %ld done", (long)u, (long)n);
    }
    free(x);
}

static void test_chains(void) {
    const int64_t workers[] = {1, 2, 3, 5, 16}, sizes[] = {0, 1, 2, 3, 17, 63, 1009}, chunks[] = {1, 7, 400};
    for (size_t w = 0; w < sizeof workers / sizeof *workers; w++)
        for (int spins = 0; spins < 2; spins++) {
            asymo_pool *pool = make_pool(workers[w], spins ? 20000 : 0);
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
                for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
                    asymo_program *program = make_chain(sizes[s], chunks[c]);
                    run_chain(program, pool, sizes[s], 4);
                    asymo_program_destroy(program);
                }
            asymo_pool_destroy(pool);
        }
}

/* ---- several callers on one pool, and pools side by side ----------------------------------------------------------------- */

typedef struct {
    asymo_program *program;
    asymo_pool *pool;
    int64_t n;
} caller;

static void *call(void *argument) {
    const caller *c = argument;
    run_chain(c->program, c->pool, c->n, 20);
    return NULL;
}

static void test_callers(void) {
    asymo_pool *pools[2] = {make_pool(2, 50000), make_pool(3, 0)};
    asymo_program *programs[2] = {make_chain(61, 1), make_chain(300, 8)};
    caller callers[6];
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) {
        callers[i] = (caller){programs[i % 2], pools[i / 3], i % 2 ? 300 : 61};
        CHECK(pthread_create(&threads[i], NULL, call, &callers[i]) == 0, "pthread_create");
    }
    for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        asymo_program_destroy(programs[i]);
        asymo_pool_destroy(pools[i]);
    }
}

/* ---- life, failures, environment ------------------------------------------------------------------------------------------- */

static void test_short_lives(void) {
    for (int i = 0; i < 30; i++) asymo_pool_destroy(make_pool(1 + i % 6, i % 2 ? 50000 : 0));
    asymo_pool_destroy(NULL);
    asymo_program_destroy(NULL);
}

static void test_fault(void) {
    asymo_pool *pool = make_pool(2, 50000);
    asymo_program *program;
    OK(asymo_program_create(2, 16, &program));
    uint32_t counts[8] = {0};
    add(program, FAULTY, (toy_args){.units = 8}, NULL, 0, 0, 1);
    add(program, COUNT, (toy_args){.units = 8}, &(asymo_ref){0, 0}, 1, 0, 1);
    CHECK(asymo_program_run(program, pool, (void *[]){counts}, 1, 0, 2, NULL) == ASYMO_INVALID_ARGUMENT, "the fault was lost");
    CHECK(strstr(asymo_last_error(), "step 0 (faulty)") && counts[0] == 0, "the step after a fault must not run");
    OK(asymo_program_run(program, pool, (void *[]){counts}, 1, 1, 2, NULL));
    CHECK(counts[7] == 1, "the pool must go on after a fault");
    CHECK(asymo_program_run(program, pool, (void *[]){NULL}, 1, 1, 2, NULL) == ASYMO_INVALID_ARGUMENT, "a NULL slot");
    asymo_program_destroy(program);
    asymo_pool_destroy(pool);
}

static void test_times(void) {
    enum { WORKERS = 3 };
    asymo_pool *pool = make_pool(WORKERS, 0);
    asymo_program *program = make_chain(200, 1);
    uint32_t *memory = calloc(6 * MAX_UNITS, 4);
    int64_t times_ns[2 * CHAIN + 2][WORKERS][2];
    memset(times_ns, 0xff, sizeof times_ns);
    const int64_t before = asymo_now_ns();
    OK(asymo_program_run(program, pool, (void *[]){memory, memory + MAX_UNITS, memory + 2 * MAX_UNITS, memory + 3 * MAX_UNITS}, 4, 1,
                         2 * CHAIN + 2, &times_ns[0][0][0]));
    const int64_t after = asymo_now_ns();
    CHECK(times_ns[0][0][0] == -1, "a step outside [first, last) was touched");
    for (int i = 1; i < 2 * CHAIN + 2; i++) {
        int took_part = 0;
        for (int w = 0; w < WORKERS; w++) {
            const int64_t begin = times_ns[i][w][0], end = times_ns[i][w][1];
            CHECK((begin == 0 && end == 0) || (before <= begin && begin <= end && end <= after), "step %d, worker %d", i, w);
            took_part += begin != 0;
        }
        CHECK(took_part >= 1, "nobody ran step %d", i);
    }
    free(memory);
    asymo_program_destroy(program);
    asymo_pool_destroy(pool);
}

/* The caller's mask and rounding mode are as before after a run; inside, each worker is where placement says. */
static void test_environment(void) {
    cpu_set_t before, after;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0, "sched_getaffinity");
    int32_t cpus[2] = {-1, -1}, placed[2];
    for (int cpu = 0, i = 0; cpu < CPU_SETSIZE && i < 2; cpu++)
        if (CPU_ISSET(cpu, &before)) cpus[i++] = cpu;
    asymo_pool *pool;
    OK(asymo_pool_create((asymo_worker_config[]){{cpus[0], 0, -1, 0, 1}, {cpus[1], 0, -1, 0, 1}}, 2, &pool));
    OK(asymo_pool_placement(pool, placed));
    CHECK(placed[0] == cpus[0] && placed[1] == cpus[1], "placed on %d and %d", placed[0], placed[1]);
    asymo_program *program;
    OK(asymo_program_create(1, 16, &program));
    enum { N = 64 };
    float values[N] = {0};
    add(program, SUBNORMAL, (toy_args){.units = N}, &(asymo_ref){0, 0}, 1, 0, 1);
    const uint64_t mode = asymo_float_env_set();
#if defined(__x86_64__)
    _mm_setcsr(0x9fc0); /* FTZ and DAZ */
#endif
    OK(asymo_program_run(program, pool, (void *[]){values}, 1, 0, 1, NULL));
#if defined(__x86_64__)
    CHECK((_mm_getcsr() & ~0x3fu) == (0x9fc0 & ~0x3fu), "the caller's mode was not restored");
#endif
    asymo_float_env_set();
    for (int i = 0; i < N; i++) CHECK(values[i] > 0, "unit %d was computed with flush-to-zero", i);
    asymo_float_env_restore(mode);
    asymo_program_destroy(program);
    OK(asymo_program_create(2, 16, &program));
    uint32_t counts[N] = {0}, n_cpus[N] = {0};
    add(program, COUNT, (toy_args){.units = N, .pause_us = 300}, &(asymo_ref){0, 0}, 1, 0, 1);
    add(program, PLACES, (toy_args){.units = N}, &(asymo_ref){1, 0}, 1, 0, 1);
    OK(asymo_program_run(program, pool, (void *[]){counts, n_cpus}, 2, 0, 2, NULL));
    for (int i = 0; i < N; i++) CHECK(n_cpus[i] == 1, "unit %d ran on a worker that may run on %u CPUs", i, n_cpus[i]);
    CHECK(sched_getaffinity(0, sizeof after, &after) == 0 && CPU_EQUAL(&before, &after), "the caller's mask was not restored");
    asymo_program_destroy(program);
    asymo_pool_destroy(pool);

    OK(asymo_pool_create((asymo_worker_config[]){{8191, 0, -1, 0, 1}, {100000, 0, -1, 0, 1}}, 2, &pool));
    OK(asymo_pool_placement(pool, placed));
    CHECK(placed[0] == -1 && placed[1] == -1, "placed on CPUs that are not there: %d and %d", placed[0], placed[1]);
    program = make_chain(17, 1);
    run_chain(program, pool, 17, 2);
    asymo_program_destroy(program);
    asymo_pool_destroy(pool);
}

#if !HAS_TSAN /* which forbids threads after fork */
static void test_fork(void) {
    asymo_pool *pool = make_pool(3, 50000);
    asymo_program *program = make_chain(17, 1);
    run_chain(program, pool, 17, 1);
    const pid_t child = fork();
    if (child == 0) {
        uint32_t *memory = calloc(6 * MAX_UNITS, 4);
        void *slots[] = {memory, memory, memory, memory};
        CHECK(asymo_program_run(program, pool, slots, 4, 0, 1, NULL) == ASYMO_FORKED, "a pool of the parent ran");
        asymo_pool_destroy(pool);
        pool = make_pool(2, 50000);
        run_chain(program, pool, 17, 1);
        asymo_pool_destroy(pool);
        asymo_program_destroy(program);
        free(memory);
        exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %d", status);
    run_chain(program, pool, 17, 1);
    asymo_program_destroy(program);
    asymo_pool_destroy(pool);
}
#endif

/* ---- cost of an empty step --------------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static void measure(void) {
    enum { STEPS = 1000, RUNS = 301 };
    static const struct {
        const char *name;
        int64_t workers, spin_ns, units;
        int serial;
    } rows[] = {{"1 worker", 1, 50000, 2, 0},
                {"2 workers, serial steps", 2, 50000, 2, 1},
                {"2 workers spinning, 2 units", 2, 50000, 2, 0},
                {"2 workers spinning, 64 units", 2, 50000, 64, 0},
                {"2 workers parking", 2, 0, 2, 0},
                {"4 workers (crowded)", 4, 50000, 4, 0}};
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        asymo_pool *pool = make_pool(rows[row].workers, rows[row].spin_ns);
        asymo_program *program;
        OK(asymo_program_create(STEPS + 1, 16, &program)); /* the last is not run: fewer cores are tried with whole programs only */
        for (int i = 0; i <= STEPS; i++) add(program, NOTHING, (toy_args){.units = rows[row].units}, NULL, 0, rows[row].serial, 1);
        double ns[RUNS];
        for (int i = 0; i < RUNS; i++) {
            const int64_t begin = asymo_now_ns();
            OK(asymo_program_run(program, pool, NULL, 0, 0, STEPS, NULL));
            ns[i] = (double)(asymo_now_ns() - begin) / STEPS;
        }
        qsort(ns, RUNS, sizeof *ns, ascending);
        printf("%-30s %7.0f ns a step (median; 10%% %.0f, 90%% %.0f)\n", rows[row].name, ns[RUNS / 2], ns[RUNS / 10], ns[RUNS * 9 / 10]);
        asymo_program_destroy(program);
        asymo_pool_destroy(pool);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "measure") == 0) {
        measure();
        return 0;
    }
#if !HAS_TSAN
    test_fork();
#endif
    test_short_lives();
    test_fault();
    test_times();
    test_environment();
    test_callers();
    test_chains();
    puts("ok");
    return 0;
}
