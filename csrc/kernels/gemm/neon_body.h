/* neon_body.h: what the NEON schedules share: 8 x 8 tiles, 16 accumulators of four floats.
 *
 * The including file defines KERNEL and
 *   static inline void sum(const asymo_gemm_tile *t, const float *b, float32x4_t acc[MR][2], const int M)
 * which feeds M rows of accumulators. Tails in n go through a copy of the row, so that not one byte beyond is touched. */
#pragma once

#include <arm_neon.h>
#include <string.h>

#include "each.h"
#include "gemm.h"

enum { MR = 8, NR = 8 };

static inline __attribute__((always_inline)) void load_row(float32x4_t row[2], const float *p, int64_t n) {
    if (n >= NR) {
        row[0] = vld1q_f32(p);
        row[1] = vld1q_f32(p + 4);
    } else {
        float copy[NR] = {0};
        memcpy(copy, p, (size_t)n * sizeof *p);
        row[0] = vld1q_f32(copy);
        row[1] = vld1q_f32(copy + 4);
    }
}

static inline __attribute__((always_inline)) void store_row(float *p, const float32x4_t row[2], int64_t n) {
    if (n >= NR) {
        vst1q_f32(p, row[0]);
        vst1q_f32(p + 4, row[1]);
    } else {
        float copy[NR];
        vst1q_f32(copy, row[0]);
        vst1q_f32(copy + 4, row[1]);
        memcpy(p, copy, (size_t)n * sizeof *p);
    }
}

/* lo or hi when the comparison holds, else x: NaN and -0 stay what they are (fmin and fmax would change the latter). */
static inline float32x4_t clamp(float32x4_t x, float32x4_t lo, float32x4_t hi) {
    x = vbslq_f32(vcgtq_f32(lo, x), lo, x);
    return vbslq_f32(vcltq_f32(hi, x), hi, x);
}

static inline __attribute__((always_inline)) void sum(const asymo_gemm_tile *t, const float *b, float32x4_t acc[MR][2], const int M);

static inline __attribute__((always_inline)) void tile(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n, const int M) {
    float32x4_t acc[MR][2];
    float32x4_t start[2] = {vdupq_n_f32(0), vdupq_n_f32(0)};
    if (t->bias) load_row(start, t->bias + column, n);
    EACH(i, M) EACH(v, 2) acc[i][v] = start[v];
    sum(t, b, acc, M);
    if (t->r) EACH(i, M) {
            float32x4_t r[2];
            load_row(r, t->r[i] + column, n);
            EACH(v, 2) acc[i][v] = vaddq_f32(acc[i][v], r[v]);
        }
    if (t->end.apply) {
        float staged[MR * NR];
        EACH(i, M) EACH(v, 2) vst1q_f32(staged + i * NR + 4 * v, acc[i][v]);
        asymo_epilogue_tile(&t->end, staged, M, n < NR ? n : NR, NR, column);
        EACH(i, M) EACH(v, 2) acc[i][v] = vld1q_f32(staged + i * NR + 4 * v);
    }
    const float32x4_t lo = vdupq_n_f32(t->end.lo), hi = vdupq_n_f32(t->end.hi);
    EACH(i, M) {
        EACH(v, 2) acc[i][v] = clamp(acc[i][v], lo, hi);
        store_row(t->c[i] + column, acc[i], n);
    }
}

typedef void tile_fn(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n);

#define EACH_M(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8)
#define TILE(M)                                                                                                                            \
    static void tile_##M(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n) { tile(t, b, column, n, M); }
#define ROW(M) [M] = tile_##M,

EACH_M(TILE)
static tile_fn *const tiles[MR + 1] = {EACH_M(ROW)};

void KERNEL(const asymo_gemm_tile *t, int64_t m, int64_t n) {
    const float *b = t->b;
    for (int64_t j = 0; j < n; j += NR, b += t->b_panel) tiles[m](t, b, t->column + j, ASYMO_MIN(n - j, NR));
}
