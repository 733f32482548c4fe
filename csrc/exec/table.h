/* table.h: the step kinds as rows. */
#pragma once

#include <stdbool.h>

#include "step.h"

typedef struct {
    const char *name;
    int64_t args_bytes;
    bool is_repeatable; /* run writes each element of its output once, with its final value, and never reads it back */
    int64_t (*units)(const void *args);
    int64_t (*scratch)(const void *args);
    int64_t (*phases)(const void *args); /* NULL: one */
    void (*run)(const void *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker);
} asymo_step_row;

extern const asymo_step_row asymo_step_rows[];
extern const int32_t asymo_step_row_count;
