/* api.c: the argument checks of the public functions that can fail. No algorithms: each check names what is wrong, then hands on. */
#include "common/status.h"
#include "exec/program.h"
#include "sched/pool.h"

#define REQUIRE(CONDITION, ...)                                                                                                            \
    do {                                                                                                                                   \
        if (!(CONDITION)) return asymo_fail(ASYMO_INVALID_ARGUMENT, __VA_ARGS__);                                                          \
    } while (0)

static const asymo_step_row *row_of(int32_t kind) { return kind >= 0 && kind < asymo_step_row_count ? &asymo_step_rows[kind] : NULL; }

/* ---- step kinds ------------------------------------------------------------------------------------------------------------- */

const char *asymo_step_kind_name(int32_t kind) {
    const asymo_step_row *row = row_of(kind);
    return row ? row->name : NULL;
}

int64_t asymo_step_args_bytes(int32_t kind) {
    const asymo_step_row *row = row_of(kind);
    return row ? row->args_bytes : -1;
}

int64_t asymo_step_units(int32_t kind, const void *args) {
    const asymo_step_row *row = row_of(kind);
    return row && args ? row->units(args) : -1;
}

int64_t asymo_step_phases(int32_t kind, const void *args) {
    const asymo_step_row *row = row_of(kind);
    return row && args ? (row->phases ? row->phases(args) : 1) : -1;
}

/* ---- programs --------------------------------------------------------------------------------------------------------------- */

asymo_status asymo_program_create(int64_t n_steps, int64_t n_workers, asymo_program **out) {
    const int64_t most = 1 << 24;
    REQUIRE(out != NULL, "asymo_program_create: out is NULL");
    REQUIRE(n_steps >= 0 && n_steps <= most, "a program of %lld steps: 0 to %lld are possible", (long long)n_steps, (long long)most);
    REQUIRE(n_workers >= 1 && n_workers <= ASYMO_POOL_MAX_WORKERS, "a program for %lld workers: 1 to %d are possible", (long long)n_workers,
            (int)ASYMO_POOL_MAX_WORKERS);
    return asymo_program_make(n_steps, n_workers, out);
}

asymo_status asymo_program_add(asymo_program *program, int32_t kind, const void *args, const asymo_ref *refs, int64_t n_refs,
                               const asymo_sharing *sharing) {
    REQUIRE(program != NULL && args != NULL && sharing != NULL, "asymo_program_add: the program, the arguments or the sharing are NULL");
    const long long index = program->n_steps;
    const asymo_step_row *row = row_of(kind);
    REQUIRE(row != NULL, "step %lld: there is no step kind %d, only 0 to %d", index, (int)kind, (int)asymo_step_row_count - 1);
    REQUIRE(index < program->capacity, "step %lld (%s): the program was made for %lld steps", index, row->name,
            (long long)program->capacity);
    REQUIRE(n_refs >= 0 && n_refs <= ASYMO_MAX_OPERANDS, "step %lld (%s): %lld operands, at most %d are possible", index, row->name,
            (long long)n_refs, (int)ASYMO_MAX_OPERANDS);
    REQUIRE(n_refs == 0 || refs != NULL, "step %lld (%s): refs is NULL", index, row->name);
    for (int64_t i = 0; i < n_refs; i++)
        REQUIRE(refs[i].slot < INT32_MAX && refs[i].offset_bytes >= 0, "step %lld (%s): operand %d in slot %lld at byte %lld", index,
                row->name, (int)i, (long long)refs[i].slot, (long long)refs[i].offset_bytes);
    for (int i = 0; i < ASYMO_MAX_TYPES; i++) {
        REQUIRE(sharing->cores[i] >= 0 && sharing->chunk[i] >= 0, "step %lld (%s): %lld cores of type %d that claim %lld units", index,
                row->name, (long long)sharing->cores[i], i, (long long)sharing->chunk[i]);
        REQUIRE(sharing->unit_ns[i] >= 0 && sharing->unit_ns[i] < 1e18, "step %lld (%s): a unit of %g ns on type %d", index, row->name,
                sharing->unit_ns[i], i);
    }
    return asymo_program_append(program, row, args, refs, n_refs, sharing);
}

asymo_status asymo_program_run(asymo_program *program, asymo_pool *pool, void *const *slots, int64_t n_slots, int64_t first, int64_t last,
                               int64_t *times_ns) {
    REQUIRE(program != NULL && pool != NULL, "asymo_program_run: the program or the pool is NULL");
    REQUIRE(0 <= first && first <= last && last <= program->n_steps, "steps %lld to %lld of a program of %lld", (long long)first,
            (long long)last, (long long)program->n_steps);
    REQUIRE(n_slots >= program->n_slots, "%lld slots were given, the program uses %lld", (long long)n_slots, (long long)program->n_slots);
    REQUIRE(program->n_slots == 0 || slots != NULL, "asymo_program_run: slots is NULL");
    return asymo_program_execute(program, pool, slots, first, last, times_ns);
}

/* ---- the pool --------------------------------------------------------------------------------------------------------------- */

asymo_status asymo_pool_create(const asymo_worker_config *workers, int64_t n_workers, asymo_pool **out) {
    REQUIRE(out != NULL, "asymo_pool_create: out is NULL");
    REQUIRE(n_workers >= 1 && n_workers <= ASYMO_POOL_MAX_WORKERS, "a pool of %lld workers: 1 to %d are possible", (long long)n_workers,
            (int)ASYMO_POOL_MAX_WORKERS);
    REQUIRE(workers != NULL, "asymo_pool_create: workers is NULL");
    for (int64_t i = 0; i < n_workers; i++) {
        REQUIRE(workers[i].type >= 0 && workers[i].type < ASYMO_MAX_TYPES, "worker %lld is of core type %d; there are 0 to %d",
                (long long)i, (int)workers[i].type, ASYMO_MAX_TYPES - 1);
        REQUIRE(i == 0 || workers[i].type >= workers[i - 1].type, "worker %lld is of a faster type than the one before it: sort them",
                (long long)i);
        REQUIRE(workers[i].slowdown >= 1 && workers[i].slowdown <= 64, "worker %lld is to be %g times slower; 1 to 64 are possible",
                (long long)i, workers[i].slowdown);
    }
    return asymo_pool_start(workers, n_workers, out);
}

asymo_status asymo_pool_placement(const asymo_pool *pool, int32_t *cpus) {
    REQUIRE(pool != NULL && cpus != NULL, "asymo_pool_placement: the pool or cpus is NULL");
    asymo_pool_places(pool, cpus);
    return ASYMO_OK;
}

asymo_status asymo_pool_set_spin(asymo_pool *pool, int64_t spin_ns) {
    REQUIRE(pool != NULL, "asymo_pool_set_spin: the pool is NULL");
    REQUIRE(spin_ns >= 0, "a spin of %lld ns: it must be at least 0", (long long)spin_ns);
    asymo_pool_spin(pool, spin_ns);
    return ASYMO_OK;
}

asymo_status asymo_pool_set_policy(asymo_pool *pool, int32_t policy) {
    REQUIRE(pool != NULL, "asymo_pool_set_policy: the pool is NULL");
    REQUIRE(policy >= 0 && policy <= ASYMO_POLICY_FIXED, "there is no policy %d, only 0 to %d", (int)policy, ASYMO_POLICY_FIXED);
    asymo_pool_policy(pool, policy);
    return ASYMO_OK;
}

asymo_status asymo_pool_stats(asymo_pool *pool, asymo_worker_stats *stats) {
    REQUIRE(pool != NULL && stats != NULL, "asymo_pool_stats: the pool or stats is NULL");
    asymo_pool_read_stats(pool, stats);
    return ASYMO_OK;
}

asymo_status asymo_pool_reset_stats(asymo_pool *pool) {
    REQUIRE(pool != NULL, "asymo_pool_reset_stats: the pool is NULL");
    asymo_pool_clear_stats(pool);
    return ASYMO_OK;
}
