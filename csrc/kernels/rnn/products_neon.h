/* products_neon.h: add_products of rnn_body.h for NEON: four k a turn from one register of h per row, two registers of R at a time, beside
 * 16 accumulators. Included by rnn_body.h. */
#pragma once

#include "../simd/next_neon.h"

/* Eight columns of step s of up to four k; y[i] holds these k of row i. */
#define EIGHT(s, e)                                                                                                                        \
    if ((e) < 2 * gates) {                                                                                                                 \
        float32x4_t x[2];                                                                                                                  \
        next_8(x, &r);                                                                                                                     \
        EACH(i, rows) t[i][2 * (e)] = vfmaq_laneq_f32(t[i][2 * (e)], x[0], y[i], s);                                                       \
        EACH(i, rows) t[i][2 * (e) + 1] = vfmaq_laneq_f32(t[i][2 * (e) + 1], x[1], y[i], s);                                               \
    }
#define STEP(s) EIGHT(s, 0) EIGHT(s, 1) EIGHT(s, 2) EIGHT(s, 3) EIGHT(s, 4) EIGHT(s, 5) EIGHT(s, 6) EIGHT(s, 7)

/* a[row][gate] += sum over k of h[row][k] r[k][gate]; rows and gates are constants, their product at most 4. */
V16_FN void add_products(const int rows, const int gates, int64_t hidden, const float *const *h, const float *r, v16 a[][MAX_GATES]) {
    float32x4_t t[MAX_ROWS][4 * MAX_GATES], y[MAX_ROWS];
    const float *at[MAX_ROWS];
    EACH(i, rows) at[i] = h[i];
    EACH(i, rows) EACH(v, 4 * gates) t[i][v] = a[i][v / 4].q[v % 4];
    for (int64_t fours = hidden / 4; fours > 0; fours--) {
        EACH(i, rows) y[i] = next_4(&at[i]);
        STEP(0) STEP(1) STEP(2) STEP(3)
    }
    for (int64_t k = hidden % 4; k > 0; k--) {
        EACH(i, rows) y[i] = vld1q_dup_f32(at[i]++);
        STEP(0)
    }
    EACH(i, rows) EACH(v, 4 * gates) a[i][v / 4].q[v % 4] = t[i][v];
}

#undef EIGHT
#undef STEP
