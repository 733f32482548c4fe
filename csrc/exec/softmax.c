/* softmax.c: softmax and its logarithm over one axis of X[outer, reduce, inner]. */
#include "../kernels/reduce/reduce.h"
#include "step.h"

int64_t asymo_softmax_units(const asymo_softmax_args *args) { return args->outer * asymo_ceil_div(args->inner, args->unit_inner); }

int64_t asymo_softmax_scratch(const asymo_softmax_args *args) {
    return asymo_softmax_scratch_floats(args->log, args->reduce, ASYMO_MIN(args->inner, args->unit_inner)) * (int64_t)sizeof(float);
}

void asymo_softmax_run(const asymo_softmax_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const float *x = op[0];
    float *y = op[1];
    if (args->inner == 1) {
        const int64_t first = begin * args->reduce;
        ASYMO_PICK(asymo_softmax_rows)(args->log, end - begin, args->reduce, x + first, y + first, worker->scratch);
        return;
    }
    const int64_t blocks = asymo_ceil_div(args->inner, args->unit_inner);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t o = unit / blocks, j = unit % blocks * args->unit_inner, first = o * args->reduce * args->inner + j;
        ASYMO_PICK(asymo_softmax_columns)
        (args->log, ASYMO_MIN(args->unit_inner, args->inner - j), args->reduce, args->inner, x + first, y + first, worker->scratch);
    }
}
