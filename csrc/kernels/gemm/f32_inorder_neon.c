/* f32_inorder_neon.c: 8 x 8 for in-order cores (A53, A55, A510), where a 128-bit load takes the issue slots of a multiply-add but a 64-bit
 * load goes beside one. Everything is loaded in halves, half a turn before it is used, into a register whose last use is just over, so
 * that no load is waited for and none needs a register of its own.
 *
 *   one turn, a pair of k:   16 multiply-adds with lane 0 of y[0..7] and x[0..1]; among them x[2..3] of this pair are loaded
 *                            16 multiply-adds with lane 1 of y[0..7] and x[2..3]; among them y[0..7] and x[0..1] of the next pair
 *   16 accumulators + 8 of A (pairs of k, 64 bits) + 4 of B = 28 registers
 *
 * gcc schedules for the A53 (pragma), after register allocation only: before it, it would spill. */
#define KERNEL asymo_f32_gemm_ukr_8x8k1__neon_inorder
#ifndef __clang__
#pragma GCC target("tune=cortex-a53")
#pragma GCC optimize("no-schedule-insns")
#endif
#include "neon_body.h"

/* Four floats by way of a vector and an integer register; the empty statement keeps the compiler from joining the halves again. */
INLINE float32x4_t load_halves(const float *p) {
    uint64_t high;
    memcpy(&high, p + 2, sizeof high);
    __asm__("" : "+r"(high));
    return vcombine_f32(vld1_f32(p), vcreate_f32(high));
}

/* One turn; more: there is a next pair. */
INLINE void turn(const float *a[MR], const float *b, int64_t k, float32x2_t y[MR], float32x4_t x[4], float32x4_t acc[MR][2], const int M,
                 const int more) {
    EACH(i, M) {
        EACH(v, 2) acc[i][v] = vfmaq_lane_f32(acc[i][v], x[v], y[i], 0);
        if (i == 0) x[2] = load_halves(b + NR);
        if (i == M / 2) x[3] = load_halves(b + NR + 4);
    }
    EACH(i, M) {
        EACH(v, 2) acc[i][v] = vfmaq_lane_f32(acc[i][v], x[2 + v], y[i], 1);
        if (more) y[i] = vld1_f32(a[i] + k + 2);
        if (more && i == 0) x[0] = load_halves(b + 2 * NR);
        if (more && i == M / 2) x[1] = load_halves(b + 2 * NR + 4);
    }
}

INLINE void sum(const asymo_gemm_tile *t, const float *const *rows, const float *b, const float *bias, float32x4_t acc[MR][2],
                const int M) {
    start(bias, acc, M);
    for (int64_t tap = 0; tap < t->taps; tap++, rows += MR) {
        const float *a[MR];
        EACH(i, M) a[i] = rows[i];
        int64_t k = 0;
        if (t->run >= 2) {
            float32x2_t y[MR];
            float32x4_t x[4];
            EACH(i, M) y[i] = vld1_f32(a[i]);
            EACH(v, 2) x[v] = load_halves(b + 4 * v);
            for (; k + 4 <= t->run; k += 2, b += 2 * NR) turn(a, b, k, y, x, acc, M, 1);
            turn(a, b, k, y, x, acc, M, 0);
            k += 2;
            b += 2 * NR;
        }
        if (k < t->run) {
            const float32x4_t x0 = load_halves(b), x1 = load_halves(b + 4);
            b += NR;
            EACH(i, M) {
                const float32x4_t y = vdupq_n_f32(a[i][k]);
                acc[i][0] = vfmaq_f32(acc[i][0], x0, y);
                acc[i][1] = vfmaq_f32(acc[i][1], x1, y);
            }
        }
    }
}
