/* argreduce.c: where the largest or smallest element of X[outer, reduce, inner] is along its middle axis. A unit is one of outer. */
#include "../kernels/reduce/reduce.h"
#include "step.h"

int64_t asymo_argreduce_units(const asymo_argreduce_args *args) { return args->outer; }

int64_t asymo_argreduce_scratch(const asymo_argreduce_args *args) {
    (void)args;
    return 0;
}

void asymo_argreduce_run(const asymo_argreduce_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const float *x = op[0];
    int64_t *y = op[1];
    for (int64_t o = begin; o < end; o++) {
        ASYMO_PICK(asymo_argreduce)
        (args->largest, args->select_last, args->reduce, args->inner, x + o * args->reduce * args->inner, y + o * args->inner);
    }
}
