#include "table.h"

#include <string.h>

/* A row's functions take their own argument struct; these shims take void, so that the table has one type. */
#define ASYMO_STEP(KIND)                                                                                                                   \
    static int64_t KIND##_units(const void *args) { return asymo_##KIND##_units(args); }                                                   \
    static int64_t KIND##_scratch(const void *args) { return asymo_##KIND##_scratch(args); }                                               \
    static void KIND##_run(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {                    \
        asymo_##KIND##_run(args, op, begin, end, worker);                                                                                  \
    }
#define ASYMO_STEP_REVISING(KIND) ASYMO_STEP(KIND)
#define ASYMO_STEP_PHASED(KIND)                                                                                                            \
    ASYMO_STEP(KIND)                                                                                                                       \
    static int64_t KIND##_phases(const void *args) { return asymo_##KIND##_phases(args); }
#include "steps.inc"
#undef ASYMO_STEP
#undef ASYMO_STEP_REVISING
#undef ASYMO_STEP_PHASED

const asymo_step_row asymo_step_rows[] = {
#define ASYMO_STEP(KIND) {#KIND, sizeof(asymo_##KIND##_args), true, KIND##_units, KIND##_scratch, NULL, KIND##_run},
#define ASYMO_STEP_REVISING(KIND) {#KIND, sizeof(asymo_##KIND##_args), false, KIND##_units, KIND##_scratch, NULL, KIND##_run},
#define ASYMO_STEP_PHASED(KIND) {#KIND, sizeof(asymo_##KIND##_args), false, KIND##_units, KIND##_scratch, KIND##_phases, KIND##_run},
#include "steps.inc"
#undef ASYMO_STEP
#undef ASYMO_STEP_REVISING
#undef ASYMO_STEP_PHASED
};

const int32_t asymo_step_row_count = sizeof asymo_step_rows / sizeof asymo_step_rows[0];

int32_t asymo_step_kind_count(void) { return asymo_step_row_count; }

int32_t asymo_step_kind(const char *name) {
    for (int32_t i = 0; i < asymo_step_row_count; i++)
        if (strcmp(asymo_step_rows[i].name, name) == 0) return i;
    return -1;
}
