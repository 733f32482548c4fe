/* resample.c: one axis of a resize, X[outer, axis, inner] -> Y[outer, count, inner], by a table of taps. */
#include <string.h>

#include "../kernels/resample/resample.h"
#include "step.h"

int64_t asymo_resample_units(const asymo_resample_args *args) { return args->outer * args->count; }

int64_t asymo_resample_scratch(const asymo_resample_args *args) {
    (void)args;
    return 0;
}

void asymo_resample_run(const asymo_resample_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const float *x = op[0], *w = op[2];
    const int32_t *index = op[1];
    float *y = op[3];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t o = unit / args->count, i = unit % args->count;
        const float *image = x + o * args->axis * args->inner;
        float *row = y + unit * args->inner;
        if (w == NULL)
            memcpy(row, image + index[i * args->taps] * args->inner, (size_t)args->inner * sizeof(float));
        else
            ASYMO_PICK(asymo_resample_row)(args->taps, index + i * args->taps, w + i * args->taps, args->inner, image, row);
    }
}
