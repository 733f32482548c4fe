/* reduce.c: sums, maxima and their kin over one axis of X[outer, reduce, inner]. */
#include "../kernels/reduce/reduce.h"
#include "step.h"

int64_t asymo_reduce_units(const asymo_reduce_args *args) { return args->outer * asymo_ceil_div(args->inner, args->unit_inner); }

int64_t asymo_reduce_scratch(const asymo_reduce_args *args) {
    (void)args;
    return 0;
}

void asymo_reduce_run(const asymo_reduce_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const float *x = op[0];
    float *y = op[1];
    if (args->inner == 1 && args->reduce_stride == 1) {
        ASYMO_PICK(asymo_reduce_rows)
        (args->mode, end - begin, args->reduce, x + begin * args->outer_stride, args->outer_stride, y + begin);
        return;
    }
    const int64_t blocks = asymo_ceil_div(args->inner, args->unit_inner);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t o = unit / blocks, j = unit % blocks * args->unit_inner;
        ASYMO_PICK(asymo_reduce_columns)
        (args->mode, ASYMO_MIN(args->unit_inner, args->inner - j), args->reduce, x + o * args->outer_stride + j, args->reduce_stride,
         y + o * args->inner + j);
    }
}
