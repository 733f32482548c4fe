/* program.h: a flat array of steps, and the interpreter that runs it over a pool. Argument checks are api.c's. */
#pragma once

#include <pthread.h>

#include "../sched/pool.h"
#include "table.h"
#include "trial.h"

typedef struct {
    const asymo_step_row *row;
    void *args;
    int64_t n_refs;
    asymo_ref refs[ASYMO_MAX_OPERANDS];
    int64_t units, phases;
    asymo_sharing sharing;
    bool repeatable;        /* its row is, it has no phases, and it does not write what it reads */
    asymo_learned *learned; /* [workers] */
} asymo_program_step;

/* Constant while it runs, but for what it learns, so any number of threads may run it at once, each on a pool and slots of its own. */
struct asymo_program {
    int64_t n_steps, capacity;
    int64_t n_workers;     /* whose speeds it learns */
    int64_t n_slots;       /* largest slot of any operand, plus 1 */
    int64_t scratch_bytes; /* of the most demanding step */
    asymo_program_step *steps;
    pthread_mutex_t trying; /* protects trial */
    asymo_trial trial;
};

asymo_status asymo_program_make(int64_t capacity, int64_t n_workers, asymo_program **out);
asymo_status asymo_program_append(asymo_program *program, const asymo_step_row *row, const void *args, const asymo_ref *refs,
                                  int64_t n_refs, const asymo_sharing *sharing);
asymo_status asymo_program_execute(asymo_program *program, asymo_pool *pool, void *const *slots, int64_t first, int64_t last,
                                   int64_t *times_ns);
