/* lrn.c: local response normalisation, channels last. */
#include "../kernels/norm/norm.h"
#include "step.h"

int64_t asymo_lrn_units(const asymo_lrn_args *args) { return asymo_ceil_div(args->rows, args->unit_rows); }

int64_t asymo_lrn_scratch(const asymo_lrn_args *args) {
    return asymo_lrn_scratch_floats(args->channels, args->size) * (int64_t)sizeof(float);
}

void asymo_lrn_run(const asymo_lrn_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const int64_t first = begin * args->unit_rows, last = ASYMO_MIN(end * args->unit_rows, args->rows);
    const float *x = op[0];
    float *y = op[1];
    ASYMO_PICK(asymo_lrn_rows)
    (last - first, args->channels, args->size, (float)args->alpha, (float)args->beta, (float)args->bias, x + first * args->channels,
     y + first * args->channels, worker->scratch);
}
