/* reduce_body.h: the reductions of asymo_reduce_kind, by rows and by columns. Include v16.h first.
 *
 * An element enters its lane by enter(), lanes merge by merge(), finish() makes the result:
 *
 *              start   enter            merge    finish
 *   SUM         0      a + x            a + b    a
 *   MEAN        0      a + x            a + b    a / n
 *   MAX, MIN    -+inf  the larger, ...; NaN wins
 *   PROD        1      a x              a b      a
 *   L1          0      a + |x|          a + b    a
 *   L2          0      fma(x, x, a)     a + b    sqrt(a)
 *   SUM_SQUARE  0      fma(x, x, a)     a + b    a
 *   LOG_SUM     0      a + x            a + b    log(a)
 *   LOG_SUM_EXP 0      a + exp(x - s)   a + b    log(a) + s     s: the maximum, 0 where that is not finite
 */
#include <math.h>

#include "../simd/v16_math.h"
#include "lanes.h"
#include "reduce.h"

V16_FN v16 start(int64_t mode) {
    return mode == ASYMO_REDUCE_MAX    ? v16_set1(-INFINITY)
           : mode == ASYMO_REDUCE_MIN  ? v16_set1(INFINITY)
           : mode == ASYMO_REDUCE_PROD ? v16_set1(1.0f)
                                       : v16_zero();
}

V16_FN v16 enter(int64_t mode, v16 a, v16 x, v16 shift) {
    switch (mode) {
    case ASYMO_REDUCE_MAX: return v16_nan_max(a, x);
    case ASYMO_REDUCE_MIN: return v16_nan_min(a, x);
    case ASYMO_REDUCE_PROD: return v16_mul(a, x);
    case ASYMO_REDUCE_L1: return v16_add(a, v16_abs(x));
    case ASYMO_REDUCE_L2:
    case ASYMO_REDUCE_SUM_SQUARE: return v16_fma(x, x, a);
    case ASYMO_REDUCE_LOG_SUM_EXP: return v16_add(a, v16_exp(v16_sub(x, shift)));
    default: return v16_add(a, x);
    }
}

V16_FN v16 merge(int64_t mode, v16 a, v16 b) {
    switch (mode) {
    case ASYMO_REDUCE_MAX: return v16_nan_max(a, b);
    case ASYMO_REDUCE_MIN: return v16_nan_min(a, b);
    case ASYMO_REDUCE_PROD: return v16_mul(a, b);
    default: return v16_add(a, b);
    }
}

V16_FN float merge_lanes(int64_t mode, v16 a) {
    switch (mode) {
    case ASYMO_REDUCE_MAX: return v16_reduce_max(a);
    case ASYMO_REDUCE_MIN: return v16_reduce_min(a);
    case ASYMO_REDUCE_PROD: return v16_reduce_mul(a);
    default: return v16_reduce_add(a);
    }
}

V16_FN v16 finish(int64_t mode, v16 a, int64_t n, v16 shift) {
    switch (mode) {
    case ASYMO_REDUCE_MEAN: return v16_div(a, v16_set1((float)n));
    case ASYMO_REDUCE_L2: return v16_sqrt(a);
    case ASYMO_REDUCE_LOG_SUM: return v16_log(a);
    case ASYMO_REDUCE_LOG_SUM_EXP: return v16_add(v16_log(a), shift);
    default: return a;
    }
}

V16_FN v16 finite_or_zero(v16 a) { return v16_select(v16_lt(v16_abs(a), v16_set1(INFINITY)), a, v16_zero()); }

V16_FN float row_lanes(int64_t mode, int64_t n, const float *x, v16 shift) {
    v16 a = start(mode);
    int64_t r = 0;
    for (; r + 16 <= n; r += 16) a = enter(mode, a, v16_load(x + r), shift);
    if (r < n) a = v16_select(m16_first(n - r), enter(mode, a, v16_load_n(x + r, n - r), shift), a);
    return merge_lanes(mode, a);
}

V16_FN void rows_of(int64_t mode, int64_t rows, int64_t n, const float *x, int64_t stride, float *y) {
    for (int64_t i = 0; i < rows; i++, x += stride) {
        v16 shift = v16_zero();
        if (mode == ASYMO_REDUCE_LOG_SUM_EXP) shift = finite_or_zero(v16_set1(row_lanes(ASYMO_REDUCE_MAX, n, x, shift)));
        v16_store_n(y + i, finish(mode, v16_set1(row_lanes(mode, n, x, shift)), n, shift), 1);
    }
}

/* result: the merged lanes of up to LANE_COLUMNS columns. */
V16_FN void column_lanes(int64_t mode, int64_t columns, int64_t n, const float *x, int64_t stride, const v16 *shift, v16 *result) {
    const int64_t vectors = asymo_ceil_div(columns, 16);
    v16 lane[16][LANE_VECTORS];
    for (int i = 0; i < 16; i++)
        for (int64_t v = 0; v < vectors; v++) lane[i][v] = start(mode);
    for (int64_t r = 0; r < n; r++, x += stride)
        for (int64_t v = 0; v < vectors; v++) lane[r & 15][v] = enter(mode, lane[r & 15][v], column_load(x, v, columns), shift[v]);
    for (int step = 8; step > 0; step >>= 1)
        for (int i = 0; i < step; i++)
            for (int64_t v = 0; v < vectors; v++) lane[i][v] = merge(mode, lane[i][v], lane[i + step][v]);
    for (int64_t v = 0; v < vectors; v++) result[v] = lane[0][v];
}

V16_FN void block_of(int64_t mode, int64_t columns, int64_t n, const float *x, int64_t stride, float *y) {
    v16 shift[LANE_VECTORS], result[LANE_VECTORS];
    for (int v = 0; v < LANE_VECTORS; v++) shift[v] = v16_zero();
    if (mode == ASYMO_REDUCE_LOG_SUM_EXP) {
        column_lanes(ASYMO_REDUCE_MAX, columns, n, x, stride, shift, result);
        for (int64_t v = 0; 16 * v < columns; v++) shift[v] = finite_or_zero(result[v]);
    }
    column_lanes(mode, columns, n, x, stride, shift, result);
    for (int64_t v = 0; 16 * v < columns; v++) column_store(y, finish(mode, result[v], n, shift[v]), v, columns);
}

V16_FN void columns_of(int64_t mode, int64_t columns, int64_t n, const float *x, int64_t stride, float *y) {
    int64_t j = 0;
    for (; j + LANE_COLUMNS <= columns; j += LANE_COLUMNS) block_of(mode, LANE_COLUMNS, n, x + j, stride, y + j);
    if (j < columns) block_of(mode, columns - j, n, x + j, stride, y + j);
}

/* Calls f with a constant mode, so that each mode gets its own loop. */
#define EACH_MODE(f, ...)                                                                                                                  \
    if (mode == ASYMO_REDUCE_SUM) f(ASYMO_REDUCE_SUM, __VA_ARGS__);                                                                        \
    if (mode == ASYMO_REDUCE_MEAN) f(ASYMO_REDUCE_MEAN, __VA_ARGS__);                                                                      \
    if (mode == ASYMO_REDUCE_MAX) f(ASYMO_REDUCE_MAX, __VA_ARGS__);                                                                        \
    if (mode == ASYMO_REDUCE_MIN) f(ASYMO_REDUCE_MIN, __VA_ARGS__);                                                                        \
    if (mode == ASYMO_REDUCE_PROD) f(ASYMO_REDUCE_PROD, __VA_ARGS__);                                                                      \
    if (mode == ASYMO_REDUCE_L1) f(ASYMO_REDUCE_L1, __VA_ARGS__);                                                                          \
    if (mode == ASYMO_REDUCE_L2) f(ASYMO_REDUCE_L2, __VA_ARGS__);                                                                          \
    if (mode == ASYMO_REDUCE_SUM_SQUARE) f(ASYMO_REDUCE_SUM_SQUARE, __VA_ARGS__);                                                          \
    if (mode == ASYMO_REDUCE_LOG_SUM) f(ASYMO_REDUCE_LOG_SUM, __VA_ARGS__);                                                                \
    if (mode == ASYMO_REDUCE_LOG_SUM_EXP) f(ASYMO_REDUCE_LOG_SUM_EXP, __VA_ARGS__);

void ASYMO_NAME(asymo_reduce_rows)(int64_t mode, int64_t rows, int64_t n, const float *x, int64_t stride, float *y) {
    EACH_MODE(rows_of, rows, n, x, stride, y)
}

void ASYMO_NAME(asymo_reduce_columns)(int64_t mode, int64_t columns, int64_t n, const float *x, int64_t stride, float *y) {
    EACH_MODE(columns_of, columns, n, x, stride, y)
}
