/* f32_neon.c: 8 x 8 for out-of-order cores: 128-bit loads, four steps of k from one register of A per row.
 *
 *                 x[0]     x[1]            B, one row of the panel: v24, v25 (two more in flight)
 *             +--------+--------+
 *   y[0].s[s] | acc00  | acc01  |          y[i]: four k of row i, lane s is multiplied in step s
 *      ...    |  ...   |  ...   |          16 accumulators + 8 of A + 4 of B = 28 registers
 *   y[7].s[s] | acc70  | acc71  |
 *             +--------+--------+                                                                                                    */
#define KERNEL asymo_f32_gemm_ukr_8x8k1__neon
#include "neon_body.h"

#define STEP(s)                                                                                                                            \
    {                                                                                                                                      \
        const float32x4_t x0 = vld1q_f32(b + NR * (s)), x1 = vld1q_f32(b + NR * (s) + 4);                                                  \
        EACH(i, M) {                                                                                                                       \
            acc[i][0] = vfmaq_laneq_f32(acc[i][0], x0, y[i], s);                                                                           \
            acc[i][1] = vfmaq_laneq_f32(acc[i][1], x1, y[i], s);                                                                           \
        }                                                                                                                                  \
    }

static inline __attribute__((always_inline)) void sum(const asymo_gemm_tile *t, const float *b, float32x4_t acc[MR][2], const int M) {
    for (int64_t tap = 0; tap < t->taps; tap++) {
        const float *a[MR];
        EACH(i, M) a[i] = t->a[tap * MR + i];
        int64_t k = 0;
        for (; k + 4 <= t->run; k += 4, b += 4 * NR) {
            float32x4_t y[MR];
            EACH(i, M) y[i] = vld1q_f32(a[i] + k);
            STEP(0) STEP(1) STEP(2) STEP(3)
        }
        for (; k < t->run; k++, b += NR) {
            const float32x4_t x0 = vld1q_f32(b), x1 = vld1q_f32(b + 4);
            EACH(i, M) {
                const float32x4_t y = vld1q_dup_f32(a[i] + k);
                acc[i][0] = vfmaq_f32(acc[i][0], x0, y);
                acc[i][1] = vfmaq_f32(acc[i][1], x1, y);
            }
        }
    }
}
