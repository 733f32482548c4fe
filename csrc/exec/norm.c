/* norm.c: LayerNormalization, RMSNormalization, InstanceNormalization and GroupNormalization.
 *
 * X is [outer][reduce][groups][inner] in memory (channels last). Which kernel, and what a unit is:
 *
 *   one mean per column (groups, inner)         columns: UNIT_COLUMNS of them in one of outer
 *   one mean per group, the group contiguous    rows, as a single row of reduce * inner: one of outer
 *   one mean per group                          rows of inner: one (outer, group)
 */
#include "../kernels/norm/norm.h"
#include "step.h"

enum { UNIT_COLUMNS = 64 };

static int by_columns(const asymo_norm_args *args) {
    const int64_t columns = args->groups * args->inner;
    return args->inner_reduced ? args->inner == 1 && args->param : columns > 1 || args->param;
}

static int by_one_row(const asymo_norm_args *args) { return args->groups == 1 && !args->param; }

int64_t asymo_norm_units(const asymo_norm_args *args) {
    return args->outer * (by_columns(args) ? asymo_ceil_div(args->groups * args->inner, UNIT_COLUMNS) : args->groups);
}

int64_t asymo_norm_scratch(const asymo_norm_args *args) {
    (void)args;
    return 0;
}

static const float *at(const float *p, int64_t offset) { return p ? p + offset : NULL; }
static float *out_at(float *p, int64_t offset) { return p ? p + offset : NULL; }

static void run_columns(const asymo_norm_args *args, void *const *op, int64_t unit, asymo_norm_shape s) {
    const int64_t columns = args->groups * args->inner, blocks = asymo_ceil_div(columns, UNIT_COLUMNS);
    const int64_t o = unit / blocks, j = unit % blocks * UNIT_COLUMNS, first = o * args->reduce * columns + j;
    s.rows = args->reduce;
    s.n = ASYMO_MIN(UNIT_COLUMNS, columns - j);
    s.stride = columns;
    s.param_step = !args->param;
    s.scale = at(op[1], args->param ? j : 0);
    s.bias = at(op[2], args->param ? j : 0);
    ASYMO_PICK(asymo_norm_columns)
    (&s, (const float *)op[0] + first, (float *)op[3] + first, out_at(op[4], o * columns + j), out_at(op[5], o * columns + j));
}

static void run_rows(const asymo_norm_args *args, void *const *op, int64_t unit, asymo_norm_shape s) {
    const int64_t o = unit / args->groups, g = unit % args->groups, columns = args->groups * args->inner;
    const int64_t first = o * args->reduce * columns + g * args->inner;
    s.rows = by_one_row(args) ? 1 : args->reduce;
    s.n = by_one_row(args) ? args->reduce * args->inner : args->inner;
    s.stride = columns;
    s.param_step = args->param ? 0 : args->inner;
    s.scale = at(op[1], args->param ? g * args->inner : 0);
    s.bias = at(op[2], args->param ? g * args->inner : 0);
    ASYMO_PICK(asymo_norm_rows)(&s, (const float *)op[0] + first, (float *)op[3] + first, out_at(op[4], unit), out_at(op[5], unit));
}

void asymo_norm_run(const asymo_norm_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const asymo_norm_shape shape = {.rms = args->rms, .eps = (float)args->eps};
    for (int64_t unit = begin; unit < end; unit++) {
        if (by_columns(args))
            run_columns(args, op, unit, shape);
        else
            run_rows(args, op, unit, shape);
    }
}
