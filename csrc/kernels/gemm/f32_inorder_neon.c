/* f32_inorder_neon.c: 8 x 8 for in-order cores (A53, A55, A510), where a 128-bit load blocks the pipe that a multiply-add needs but a
 * 64-bit load goes beside it. Rows of A come as pairs of k in 64-bit registers and the loads of the next pair are issued among the
 * multiply-adds of this one, so that no load is waited for.
 *
 *   loop body, one pair of k:   16 multiply-adds with lane 0 of y     while the next y[0..7] are loaded, 64 bits each
 *                               16 multiply-adds with lane 1 of y     while the next two rows of B are loaded
 *   16 accumulators + 4 + 4 of A (pairs, now and next) + 4 of B = 28 registers, when the compiler packs the pairs                    */
#define KERNEL asymo_f32_gemm_ukr_8x8k1__neon_inorder
#ifndef __clang__
#pragma GCC target("tune=cortex-a53")
#endif
#include "neon_body.h"

static inline float32x4_t load_halves(const float *p) { return vcombine_f32(vld1_f32(p), vld1_f32(p + 2)); }

static inline __attribute__((always_inline)) void sum(const asymo_gemm_tile *t, const float *b, float32x4_t acc[MR][2], const int M) {
    for (int64_t tap = 0; tap < t->taps; tap++) {
        const float *a[MR];
        EACH(i, M) a[i] = t->a[tap * MR + i];
        const int64_t pairs = t->run / 2;
        if (pairs > 0) {
            float32x2_t y[MR], next[MR];
            EACH(i, M) y[i] = vld1_f32(a[i]);
            for (int64_t p = 1; p <= pairs; p++, b += 2 * NR) {
                const int64_t k = p < pairs ? 2 * p : 2 * (p - 1); /* the last turn loads its own pair again */
                const float32x4_t x0 = load_halves(b), x1 = load_halves(b + 4);
                EACH(i, M) {
                    acc[i][0] = vfmaq_lane_f32(acc[i][0], x0, y[i], 0);
                    next[i] = vld1_f32(a[i] + k);
                    acc[i][1] = vfmaq_lane_f32(acc[i][1], x1, y[i], 0);
                }
                const float32x4_t z0 = load_halves(b + NR), z1 = load_halves(b + NR + 4);
                EACH(i, M) {
                    acc[i][0] = vfmaq_lane_f32(acc[i][0], z0, y[i], 1);
                    acc[i][1] = vfmaq_lane_f32(acc[i][1], z1, y[i], 1);
                    y[i] = next[i];
                }
            }
        }
        if (t->run % 2) {
            const float32x4_t x0 = load_halves(b), x1 = load_halves(b + 4);
            b += NR;
            EACH(i, M) {
                const float32x4_t y = vdupq_n_f32(a[i][t->run - 1]);
                acc[i][0] = vfmaq_f32(acc[i][0], x0, y);
                acc[i][1] = vfmaq_f32(acc[i][1], x1, y);
            }
        }
    }
}
