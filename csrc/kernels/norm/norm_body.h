/* norm_body.h: three passes (mean, deviation, result), by rows and by columns. Include v16.h first. */
#include "../reduce/lanes.h"
#include "norm.h"

V16_FN v16 inverse_deviation(v16 squares, v16 count, float eps) {
    return v16_div(v16_set1(1.0f), v16_sqrt(v16_add(v16_div(squares, count), v16_set1(eps))));
}

V16_FN v16 normalised(v16 x, v16 mean, v16 inv, const asymo_norm_shape *s, v16 scale, v16 bias) {
    const v16 t = v16_mul(v16_sub(x, mean), inv);
    if (s->scale == NULL) return s->bias == NULL ? t : v16_add(t, bias);
    return s->bias == NULL ? v16_mul(t, scale) : v16_fma(t, scale, bias);
}

/* sum x, or for squares: sum (x - mean)^2, in every element. */
V16_FN v16 rows_sum(const asymo_norm_shape *s, const float *x, int squares, v16 mean) {
    const int64_t whole = s->n & ~(int64_t)15, rest = s->n & 15;
    v16 sum = v16_zero();
    for (int64_t r = 0; r < s->rows; r++, x += s->stride) {
        for (int64_t j = 0; j < whole; j += 16) {
            const v16 a = v16_load(x + j), d = v16_sub(a, mean);
            sum = squares ? v16_fma(d, d, sum) : v16_add(sum, a);
        }
        if (rest) {
            const v16 a = v16_load_n(x + whole, rest), d = v16_sub(a, mean);
            sum = v16_select(m16_first(rest), squares ? v16_fma(d, d, sum) : v16_add(sum, a), sum);
        }
    }
    return v16_set1(v16_reduce_add(sum));
}

void ASYMO_NAME(asymo_norm_rows)(const asymo_norm_shape *s, const float *x, float *y, float *mean_out, float *inv_out) {
    const v16 count = v16_set1((float)(s->rows * s->n));
    const v16 mean = s->rms ? v16_zero() : v16_div(rows_sum(s, x, 0, v16_zero()), count);
    const v16 inv = inverse_deviation(rows_sum(s, x, 1, mean), count, s->eps);
    if (mean_out) v16_store_n(mean_out, mean, 1);
    if (inv_out) v16_store_n(inv_out, inv, 1);

    const int64_t whole = s->n & ~(int64_t)15, rest = s->n & 15;
    const v16 none = v16_zero();
    for (int64_t r = 0; r < s->rows; r++) {
        const float *a = x + r * s->stride;
        float *b = y + r * s->stride;
        const float *scale = s->scale ? s->scale + r * s->param_step : NULL, *bias = s->bias ? s->bias + r * s->param_step : NULL;
        for (int64_t j = 0; j < whole; j += 16) {
            const v16 p = scale ? v16_load(scale + j) : none, q = bias ? v16_load(bias + j) : none;
            v16_store(b + j, normalised(v16_load(a + j), mean, inv, s, p, q));
        }
        if (rest) {
            const v16 p = scale ? v16_load_n(scale + whole, rest) : none, q = bias ? v16_load_n(bias + whole, rest) : none;
            v16_store_n(b + whole, normalised(v16_load_n(a + whole, rest), mean, inv, s, p, q), rest);
        }
    }
}

V16_FN v16 column_param(const asymo_norm_shape *s, const float *param, int64_t r, int64_t j, int64_t v, int64_t columns) {
    if (param == NULL) return v16_zero();
    return s->param_step ? v16_set1(param[r]) : column_load(param + j, v, columns);
}

/* Columns j .. j + columns - 1, at most LANE_COLUMNS. */
V16_FN void norm_block(const asymo_norm_shape *s, int64_t j, int64_t columns, const float *x, float *y, float *mean_out, float *inv_out) {
    const int64_t vectors = asymo_ceil_div(columns, 16);
    const v16 count = v16_set1((float)s->rows);
    v16 lane[16][LANE_VECTORS], mean[LANE_VECTORS], inv[LANE_VECTORS];

    for (int64_t v = 0; v < vectors; v++) mean[v] = v16_zero();
    if (!s->rms) {
        lanes_zero(lane, vectors);
        for (int64_t r = 0; r < s->rows; r++)
            for (int64_t v = 0; v < vectors; v++)
                lane[r & 15][v] = v16_add(lane[r & 15][v], column_load(x + r * s->stride + j, v, columns));
        lanes_add(lane, vectors);
        for (int64_t v = 0; v < vectors; v++) mean[v] = v16_div(lane[0][v], count);
    }

    lanes_zero(lane, vectors);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t v = 0; v < vectors; v++) {
            const v16 d = v16_sub(column_load(x + r * s->stride + j, v, columns), mean[v]);
            lane[r & 15][v] = v16_fma(d, d, lane[r & 15][v]);
        }
    lanes_add(lane, vectors);
    for (int64_t v = 0; v < vectors; v++) {
        inv[v] = inverse_deviation(lane[0][v], count, s->eps);
        if (mean_out) column_store(mean_out + j, mean[v], v, columns);
        if (inv_out) column_store(inv_out + j, inv[v], v, columns);
    }

    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t v = 0; v < vectors; v++)
            column_store(y + r * s->stride + j,
                         normalised(column_load(x + r * s->stride + j, v, columns), mean[v], inv[v], s,
                                    column_param(s, s->scale, r, j, v, columns), column_param(s, s->bias, r, j, v, columns)),
                         v, columns);
}

void ASYMO_NAME(asymo_norm_columns)(const asymo_norm_shape *s, const float *x, float *y, float *mean_out, float *inv_out) {
    for (int64_t j = 0; j < s->n; j += LANE_COLUMNS) norm_block(s, j, ASYMO_MIN(LANE_COLUMNS, s->n - j), x, y, mean_out, inv_out);
}
