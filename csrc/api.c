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

asymo_status asymo_program_create(int64_t n_steps, asymo_program **out) {
    const int64_t most = 1 << 24;
    REQUIRE(out != NULL, "asymo_program_create: out is NULL");
    REQUIRE(n_steps >= 0 && n_steps <= most, "a program of %lld steps: 0 to %lld are possible", (long long)n_steps, (long long)most);
    return asymo_program_make(n_steps, out);
}

asymo_status asymo_program_add(asymo_program *program, int32_t kind, const void *args, const asymo_ref *refs, int64_t n_refs,
                               int32_t serial, int64_t min_chunk) {
    REQUIRE(program != NULL && args != NULL, "asymo_program_add: the program or the arguments are NULL");
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
    REQUIRE(min_chunk >= 1, "step %lld (%s): a smallest claim of %lld units; it must be at least 1", index, row->name,
            (long long)min_chunk);
    return asymo_program_append(program, row, args, refs, n_refs, serial, min_chunk);
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

asymo_status asymo_pool_create(const int32_t *cpus, int64_t n_workers, asymo_pool **out) {
    REQUIRE(out != NULL, "asymo_pool_create: out is NULL");
    REQUIRE(n_workers >= 1 && n_workers <= ASYMO_POOL_MAX_WORKERS, "a pool of %lld workers: 1 to %d are possible", (long long)n_workers,
            (int)ASYMO_POOL_MAX_WORKERS);
    REQUIRE(cpus != NULL, "asymo_pool_create: cpus is NULL");
    return asymo_pool_start(cpus, n_workers, out);
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
