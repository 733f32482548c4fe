/* f32_neon.c: 8 x 8 for out-of-order cores: 128-bit loads, eight steps of k a turn. Half of the rows of A are loaded for all eight steps by
 * one instruction each, the others twice for four: there are not registers enough to load all rows for eight.
 *
 *                 x[0]     x[1]            B, one row of the panel
 *             +--------+--------+
 *   y[0].s[s] | acc00  | acc01  |          y[i]: four k of row i, lane s is multiplied in step s
 *      ...    |  ...   |  ...   |          16 accumulators + 12 of A + 2 of B = 30 registers
 *   y[7].s[s] | acc70  | acc71  |
 *             +--------+--------+                                                                                                    */
#define KERNEL asymo_f32_gemm_ukr_8x8k1__neon
#include "neon_body.h"

/* Step s of the first (h = 0) or second four k of a turn. */
#define STEP(s, h)                                                                                                                         \
    {                                                                                                                                      \
        float32x4_t x[2];                                                                                                                  \
        next_8(x, &b);                                                                                                                     \
        EACH(i, M) EACH(v, 2) acc[i][v] = vfmaq_laneq_f32(acc[i][v], x[v], y[i][h], s);                                                    \
    }
#define FOUR_STEPS(h) STEP(0, h) STEP(1, h) STEP(2, h) STEP(3, h)

INLINE void sum(const asymo_gemm_tile *t, const float *const *rows, const float *b, float32x4_t acc[MR][2], const int M) {
    const int PAIRS = M / 2;
    for (int64_t tap = 0; tap < t->taps; tap++, rows += MR) {
        const float *a[MR];
        EACH(i, M) a[i] = rows[i];
        float32x4_t y[MR][2];
        for (int64_t eights = t->run / 8; eights > 0; eights--) {
            EACH(i, M) if (i < PAIRS) next_8(y[i], &a[i]);
            EACH(i, M) if (i >= PAIRS) y[i][0] = next_4(&a[i]);
            FOUR_STEPS(0)
            EACH(i, M) if (i >= PAIRS) y[i][1] = next_4(&a[i]);
            FOUR_STEPS(1)
        }
        if (t->run & 4) {
            EACH(i, M) y[i][0] = next_4(&a[i]);
            FOUR_STEPS(0)
        }
        for (int64_t k = t->run & 3; k > 0; k--) {
            EACH(i, M) y[i][0] = vld1q_dup_f32(a[i]++);
            STEP(0, 0)
        }
    }
}
