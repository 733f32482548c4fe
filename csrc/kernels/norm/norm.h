/* norm.h: normalisation by mean and deviation, and by the energy of neighbouring channels.
 *
 *   y = fma((x - mean) inv, scale, bias)    mean = sum(x) / n    inv = 1 / sqrt(sum((x - mean)^2) / n + eps)
 *
 * An absent scale is left out of the formula (then the bias is added), so is an absent bias. rms: mean is 0. Sums have the lanes and the
 * tree of reduce/lanes.h; squares enter theirs by fma. y may be x. mean and inv are written where they are not NULL. */
#pragma once

#include "../../common/cpu.h"

typedef struct {
    int64_t rms;
    int64_t rows, n;    /* what a mean is taken over, see below */
    int64_t stride;     /* from row to row of x and y */
    int64_t param_step; /* from row to row of scale and bias */
    float eps;
    const float *scale, *bias; /* NULL: absent */
} asymo_norm_shape;

/* One mean over rows x n: element j of row r at r stride + j, its parameters at r param_step + j. Its lane is j mod 16 in every row. */
ASYMO_DECLARE(void, asymo_norm_rows, (const asymo_norm_shape *shape, const float *x, float *y, float *mean, float *inv));

/* A mean for each of n columns, over the rows: lane r mod 16. param_step 0: a parameter for each column; 1: one for each row. */
ASYMO_DECLARE(void, asymo_norm_columns, (const asymo_norm_shape *shape, const float *x, float *y, float *mean, float *inv));

/* Local response: y[c] = x[c] / (bias + alpha / size * sum of x^2 over the size channels around c)^beta, the sum in ascending channels,
 * channels outside counting 0; below c lie (size - 1) / 2 of them, the rest above. x and y: [rows][channels]. y may be x.
 * scratch: asymo_lrn_scratch_floats(channels, size). */
ASYMO_DECLARE(void, asymo_lrn_rows,
              (int64_t rows, int64_t channels, int64_t size, float alpha, float beta, float bias, const float *x, float *y,
               float *scratch));
static inline int64_t asymo_lrn_scratch_floats(int64_t channels, int64_t size) { return asymo_round_up(channels, 16) + size; }
