/* program.h: a flat array of steps, and the interpreter that runs it over a pool. Argument checks are api.c's. */
#pragma once

#include "table.h"

typedef struct {
    const asymo_step_row *row;
    void *args;
    int64_t n_refs;
    asymo_ref refs[ASYMO_MAX_OPERANDS];
    int64_t units, phases;
    int64_t min_chunk; /* units when the step is serial */
} asymo_program_step;

/* Constant while it runs, so any number of threads may run it at once, each on a pool and slots of its own. */
struct asymo_program {
    int64_t n_steps, capacity;
    int64_t n_slots;       /* largest slot of any operand, plus 1 */
    int64_t scratch_bytes; /* of the most demanding step */
    asymo_program_step *steps;
};

asymo_status asymo_program_make(int64_t capacity, asymo_program **out);
asymo_status asymo_program_append(asymo_program *program, const asymo_step_row *row, const void *args, const asymo_ref *refs,
                                  int64_t n_refs, int32_t serial, int64_t min_chunk);
asymo_status asymo_program_execute(const asymo_program *program, asymo_pool *pool, void *const *slots, int64_t first, int64_t last,
                                   int64_t *times_ns);
