/* program.c: builds and runs programs. (Serial for now: the pool of sched/ takes over.) */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../common/status.h"
#include "table.h"

typedef struct {
    int32_t kind, serial;
    int64_t units, phases, n_refs;
    void *args;
    asymo_ref refs[ASYMO_MAX_OPERANDS];
} program_step;

struct asymo_program {
    int64_t n_steps, capacity, scratch_bytes;
    program_step *steps;
    void *scratch;
};

struct asymo_pool {
    int64_t n_workers;
};

static const float zeros[ASYMO_ZEROS] __attribute__((aligned(64)));

asymo_status asymo_program_create(int64_t n_steps, asymo_program **out) {
    asymo_program *p = calloc(1, sizeof *p);
    if (p == NULL) return asymo_fail(ASYMO_OUT_OF_MEMORY, "no memory for a program");
    p->capacity = n_steps;
    p->steps = calloc((size_t)n_steps + 1, sizeof *p->steps);
    *out = p;
    return ASYMO_OK;
}

asymo_status asymo_program_add(asymo_program *p, int32_t kind, const void *args, const asymo_ref *refs, int64_t n_refs, int32_t serial,
                               int64_t min_chunk) {
    (void)min_chunk;
    const asymo_step_row *row = &asymo_step_rows[kind];
    program_step *s = &p->steps[p->n_steps++];
    s->kind = kind;
    s->serial = serial;
    s->args = malloc((size_t)row->args_bytes);
    memcpy(s->args, args, (size_t)row->args_bytes);
    memcpy(s->refs, refs, (size_t)n_refs * sizeof *refs);
    s->n_refs = n_refs;
    s->units = row->units(s->args);
    s->phases = row->phases ? row->phases(s->args) : 1;
    p->scratch_bytes = ASYMO_MAX(p->scratch_bytes, row->scratch(s->args));
    free(p->scratch);
    p->scratch = aligned_alloc(64, (size_t)asymo_round_up(p->scratch_bytes + 64, 64));
    return ASYMO_OK;
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

asymo_status asymo_program_run(asymo_program *p, asymo_pool *pool, void *const *slots, int64_t n_slots, int64_t first, int64_t last,
                               int64_t *times_ns) {
    (void)n_slots;
    const int64_t workers = asymo_pool_workers(pool);
    for (int64_t i = first; i < last; i++) {
        const program_step *s = &p->steps[i];
        void *op[ASYMO_MAX_OPERANDS] = {0};
        for (int64_t j = 0; j < s->n_refs; j++)
            op[j] = s->refs[j].slot < 0 ? NULL : (char *)slots[s->refs[j].slot] + s->refs[j].offset_bytes;
        asymo_worker worker = {p->scratch, zeros, 0, 0, 0};
        if (times_ns) times_ns[2 * workers * i] = now_ns();
        for (; worker.phase < s->phases; worker.phase++) asymo_step_rows[s->kind].run(s->args, op, 0, s->units, &worker);
        if (times_ns) times_ns[2 * workers * i + 1] = now_ns();
    }
    return ASYMO_OK;
}

void asymo_program_destroy(asymo_program *p) {
    if (p == NULL) return;
    for (int64_t i = 0; i < p->n_steps; i++) free(p->steps[i].args);
    free(p->steps);
    free(p->scratch);
    free(p);
}

asymo_status asymo_pool_create(const int32_t *cpus, int64_t n_workers, asymo_pool **out) {
    (void)cpus;
    *out = calloc(1, sizeof **out);
    (*out)->n_workers = n_workers;
    return ASYMO_OK;
}
int64_t asymo_pool_workers(const asymo_pool *pool) { return pool->n_workers; }
asymo_status asymo_pool_placement(const asymo_pool *pool, int32_t *cpus) {
    for (int64_t i = 0; i < pool->n_workers; i++) cpus[i] = -1;
    return ASYMO_OK;
}
asymo_status asymo_pool_set_spin(asymo_pool *pool, int64_t spin_ns) {
    (void)pool;
    (void)spin_ns;
    return ASYMO_OK;
}
void asymo_pool_destroy(asymo_pool *pool) { free(pool); }
