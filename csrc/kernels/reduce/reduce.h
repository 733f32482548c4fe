/* reduce.h: sums, maxima and their kin; the order of the sums is drawn in lanes.h. */
#pragma once

#include "../../common/cpu.h"

/* y[i] = reduction (asymo_reduce_kind) of the n contiguous floats at x + i stride, for i < rows. */
ASYMO_DECLARE(void, asymo_reduce_rows, (int64_t mode, int64_t rows, int64_t n, const float *x, int64_t stride, float *y));

/* y[j] = reduction over r < n of x[r stride + j], for j < columns. */
ASYMO_DECLARE(void, asymo_reduce_columns, (int64_t mode, int64_t columns, int64_t n, const float *x, int64_t stride, float *y));

/* y[j] = index of the largest (else smallest) x[r inner + j] over r < n, the first (else last) of equals. NaN beats every number.
 * 1 <= n < 2^31. */
ASYMO_DECLARE(void, asymo_argreduce, (int64_t largest, int64_t select_last, int64_t n, int64_t inner, const float *x, int64_t *y));

/* y[r] = exp(x[r] - max) / sum, or for log: (x[r] - max) - log(sum), over each of `rows` contiguous rows of n. y may be x; it is written
 * once. scratch: asymo_softmax_scratch_floats(log, n, 1). */
ASYMO_DECLARE(void, asymo_softmax_rows, (int64_t log, int64_t rows, int64_t n, const float *x, float *y, float *scratch));

/* The same down each of `columns` columns: element r of column j at r stride + j, in x and y. scratch: ..._floats(log, n, columns). */
ASYMO_DECLARE(void, asymo_softmax_columns,
              (int64_t log, int64_t columns, int64_t n, int64_t stride, const float *x, float *y, float *scratch));

enum { ASYMO_SOFTMAX_COLUMNS = 64 }; /* done side by side */
static inline int64_t asymo_softmax_scratch_floats(int64_t log, int64_t n, int64_t columns) {
    return log ? 0 : n * ASYMO_MIN(columns, ASYMO_SOFTMAX_COLUMNS);
}
