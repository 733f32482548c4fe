/* softmax_body.h: softmax and its logarithm, along rows and down columns. Include v16.h first.
 *
 * Three passes: the maximum; the sum of exp(x - max), in the order of lanes.h; the quotient, or (x - max) - log(sum). The exponentials wait
 * in scratch: [n] for a row, [n][columns] for columns. A row that holds NaN, +inf or nothing but -inf gives NaN, as the formula does. */
#include <math.h>

#include "../simd/v16_math.h"
#include "lanes.h"
#include "reduce.h"

_Static_assert((int)LANE_COLUMNS == (int)ASYMO_SOFTMAX_COLUMNS, "columns done side by side");

/* Adding +0 makes a maximum of -0 and +0 the same in any order. */
V16_FN v16 plus_zero(v16 a) { return v16_add(a, v16_zero()); }

V16_FN void softmax_row(int64_t log, int64_t n, const float *x, float *y, float *scratch) {
    const int64_t whole = n & ~(int64_t)15, rest = n & 15;
    v16 top = v16_set1(-INFINITY), sum = v16_zero();
    for (int64_t r = 0; r < whole; r += 16) top = v16_nan_max(top, v16_load(x + r));
    if (rest) top = v16_select(m16_first(rest), v16_nan_max(top, v16_load_n(x + whole, rest)), top);
    top = plus_zero(v16_set1(v16_reduce_max(top)));

    for (int64_t r = 0; r < whole; r += 16) {
        const v16 e = v16_exp(v16_sub(v16_load(x + r), top));
        if (!log) v16_store(scratch + r, e);
        sum = v16_add(sum, e);
    }
    if (rest) {
        const v16 e = v16_exp(v16_sub(v16_load_n(x + whole, rest), top));
        if (!log) v16_store_n(scratch + whole, e, rest);
        sum = v16_select(m16_first(rest), v16_add(sum, e), sum);
    }
    sum = v16_set1(v16_reduce_add(sum));

    if (log) {
        sum = v16_log(sum);
        for (int64_t r = 0; r < whole; r += 16) v16_store(y + r, v16_sub(v16_sub(v16_load(x + r), top), sum));
        if (rest) v16_store_n(y + whole, v16_sub(v16_sub(v16_load_n(x + whole, rest), top), sum), rest);
    } else {
        for (int64_t r = 0; r < whole; r += 16) v16_store(y + r, v16_div(v16_load(scratch + r), sum));
        if (rest) v16_store_n(y + whole, v16_div(v16_load_n(scratch + whole, rest), sum), rest);
    }
}

V16_FN void softmax_block(int64_t log, int64_t columns, int64_t n, int64_t stride, const float *x, float *y, float *scratch) {
    const int64_t vectors = asymo_ceil_div(columns, 16);
    v16 lane[16][LANE_VECTORS], top[LANE_VECTORS];
    for (int64_t v = 0; v < vectors; v++) top[v] = v16_set1(-INFINITY);
    for (int64_t r = 0; r < n; r++)
        for (int64_t v = 0; v < vectors; v++) top[v] = v16_nan_max(top[v], column_load(x + r * stride, v, columns));
    for (int64_t v = 0; v < vectors; v++) top[v] = plus_zero(top[v]);

    lanes_zero(lane, vectors);
    for (int64_t r = 0; r < n; r++)
        for (int64_t v = 0; v < vectors; v++) {
            const v16 e = v16_exp(v16_sub(column_load(x + r * stride, v, columns), top[v]));
            if (!log) column_store(scratch + r * columns, e, v, columns);
            lane[r & 15][v] = v16_add(lane[r & 15][v], e);
        }
    lanes_add(lane, vectors);

    if (log)
        for (int64_t v = 0; v < vectors; v++) lane[0][v] = v16_log(lane[0][v]);
    for (int64_t r = 0; r < n; r++)
        for (int64_t v = 0; v < vectors; v++) {
            const v16 a = column_load(log ? x + r * stride : scratch + r * columns, v, columns);
            column_store(y + r * stride, log ? v16_sub(v16_sub(a, top[v]), lane[0][v]) : v16_div(a, lane[0][v]), v, columns);
        }
}

void ASYMO_NAME(asymo_softmax_rows)(int64_t log, int64_t rows, int64_t n, const float *x, float *y, float *scratch) {
    for (int64_t i = 0; i < rows; i++) softmax_row(log, n, x + i * n, y + i * n, scratch);
}

void ASYMO_NAME(asymo_softmax_columns)(int64_t log, int64_t columns, int64_t n, int64_t stride, const float *x, float *y, float *scratch) {
    for (int64_t j = 0; j < columns; j += ASYMO_SOFTMAX_COLUMNS)
        softmax_block(log, ASYMO_MIN(ASYMO_SOFTMAX_COLUMNS, columns - j), n, stride, x + j, y + j, scratch);
}
