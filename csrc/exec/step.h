/* step.h: what a step kind must provide to the interpreter.
 *
 * A row ASYMO_STEP(kind) of steps.inc stands for three functions in exec/<kind>.c:
 *
 *   int64_t asymo_<kind>_units(const asymo_<kind>_args *args)
 *       units of one phase (the same for every phase); 0 is an empty step
 *   int64_t asymo_<kind>_scratch(const asymo_<kind>_args *args)
 *       bytes of private scratch a worker needs while it runs units, 0 for none
 *   void asymo_<kind>_run(const asymo_<kind>_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker)
 *       runs units [begin, end). op[i] is the address of operand i, NULL when absent. Any split of the units over any workers in any
 *       order gives the same bits, and so do two workers that compute the same units at once, whoever reads the output meanwhile:
 *       each element is written once, with its final value, and never read back. No allocation, no lock, no failure.
 *
 * ASYMO_STEP_REVISING(kind) makes no promise about the same units at once.
 *
 * ASYMO_STEP_PHASED(kind) adds
 *
 *   int64_t asymo_<kind>_phases(const asymo_<kind>_args *args)
 *
 * and its run finds the phase in worker->phase.
 */
#pragma once

#include <stdatomic.h>

#include "../common/base.h"

typedef struct {
    void *scratch;      /* 64-byte aligned, at least <kind>_scratch bytes, private to the worker */
    const float *zeros; /* 64-byte aligned, ASYMO_ZEROS floats of 0: what padding points to */
    int64_t phase;
    int32_t core_kind;      /* row filter of the kernel tables: 0 out-of-order, 1 in-order */
    int32_t index;          /* of the worker in its pool */
    _Atomic int32_t *fault; /* for asymo_worker_fault */
} asymo_worker;

/* Says that a value of an input, such as an index, is out of range: the run fails after this step. */
static inline void asymo_worker_fault(const asymo_worker *worker) { atomic_store_explicit(worker->fault, 1, memory_order_relaxed); }

enum { ASYMO_ZEROS = 8192 };

#define ASYMO_STEP(KIND)                                                                                                                   \
    int64_t asymo_##KIND##_units(const asymo_##KIND##_args *args);                                                                         \
    int64_t asymo_##KIND##_scratch(const asymo_##KIND##_args *args);                                                                       \
    void asymo_##KIND##_run(const asymo_##KIND##_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker);
#define ASYMO_STEP_REVISING(KIND) ASYMO_STEP(KIND)
#define ASYMO_STEP_PHASED(KIND)                                                                                                            \
    ASYMO_STEP(KIND)                                                                                                                       \
    int64_t asymo_##KIND##_phases(const asymo_##KIND##_args *args);
#include "steps.inc"
#undef ASYMO_STEP
#undef ASYMO_STEP_REVISING
#undef ASYMO_STEP_PHASED
