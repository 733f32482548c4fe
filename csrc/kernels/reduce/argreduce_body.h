/* argreduce_body.h: where the largest or smallest element is. Include v16.h first. */
#include "lanes.h"
#include "reduce.h"

/* x takes the place of best: it is better, or as good and later when the last of equals is wanted. NaN is the best of all. */
V16_FN m16 takes(int64_t largest, int64_t select_last, v16 x, v16 best) {
    const m16 better = largest ? v16_lt(best, x) : v16_lt(x, best);
    if (!select_last) return m16_or(better, m16_and(v16_ne(x, x), v16_eq(best, best)));
    return m16_or(m16_and(m16_or(better, v16_eq(x, best)), v16_eq(best, best)), v16_ne(x, x));
}

static int takes_one(int64_t largest, int64_t select_last, float x, int64_t at, float best, int64_t best_at) {
    const int x_nan = x != x, best_nan = best != best;
    if (x_nan != best_nan) return x_nan;
    if (x == best || x_nan) return select_last ? at > best_at : at < best_at;
    return largest ? x > best : x < best;
}

/* Rows: each of 16 lanes keeps its best; the rest of a partial vector and the lanes meet one by one. */
V16_FN int64_t row_best(int64_t largest, int64_t select_last, int64_t n, const float *x) {
    float value[16];
    int32_t at[16];
    int64_t r = 0, lanes = 0;
    if (n >= 16) {
        lanes = 16;
        v16 best = v16_load(x);
        for (int32_t i = 0; i < 16; i++) at[i] = i;
        w16 best_at = w16_load(at), here = best_at;
        for (r = 16; r + 16 <= n; r += 16) {
            const v16 a = v16_load(x + r);
            here = w16_add(here, w16_set1(16));
            const m16 m = takes(largest, select_last, a, best);
            best = v16_select(m, a, best);
            best_at = w16_bits(v16_select(m, v16_bits(here), v16_bits(best_at)));
        }
        v16_store(value, best);
        w16_store(at, best_at);
    }
    float best = lanes ? value[0] : x[0];
    int64_t best_at = lanes ? at[0] : 0;
    for (int64_t i = 1; i < lanes; i++)
        if (takes_one(largest, select_last, value[i], at[i], best, best_at)) best = value[i], best_at = at[i];
    for (; r < n; r++)
        if (takes_one(largest, select_last, x[r], r, best, best_at)) best = x[r], best_at = r;
    return best_at;
}

V16_FN void column_best(int64_t largest, int64_t select_last, int64_t n, int64_t inner, int64_t columns, const float *x, int64_t *y) {
    v16 best = v16_load_n(x, columns);
    w16 best_at = w16_set1(0);
    for (int64_t r = 1; r < n; r++) {
        const v16 a = columns == 16 ? v16_load(x + r * inner) : v16_load_n(x + r * inner, columns);
        const m16 m = takes(largest, select_last, a, best);
        best = v16_select(m, a, best);
        best_at = w16_bits(v16_select(m, v16_bits(w16_set1((int32_t)r)), v16_bits(best_at)));
    }
    int32_t at[16];
    w16_store(at, best_at);
    for (int64_t j = 0; j < columns; j++) y[j] = at[j];
}

void ASYMO_NAME(asymo_argreduce)(int64_t largest, int64_t select_last, int64_t n, int64_t inner, const float *x, int64_t *y) {
    if (inner == 1)
        *y = row_best(largest, select_last, n, x);
    else
        for (int64_t j = 0; j < inner; j += 16) column_best(largest, select_last, n, inner, ASYMO_MIN(16, inner - j), x + j, y + j);
}
