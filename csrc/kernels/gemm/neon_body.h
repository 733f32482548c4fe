/* neon_body.h: what the NEON schedules share: 8 x 8 tiles, 16 accumulators of four floats.
 *
 * The including file defines KERNEL and
 *   static inline void sum(const asymo_gemm_tile *t, const float *b, float32x4_t acc[MR][2], const int M)
 * which feeds M rows of accumulators. Tails in n go through a copy of the row, so that not one byte beyond is touched. */
#pragma once

#include <arm_neon.h>
#include <string.h>

#include "../simd/each.h"
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

/* M rows of one panel's accumulators start from the bias. */
static inline __attribute__((always_inline)) void start(const asymo_gemm_tile *t, int64_t column, int64_t n, float32x4_t acc[MR][2],
                                                        const int M) {
    float32x4_t bias[2] = {vdupq_n_f32(0), vdupq_n_f32(0)};
    if (t->bias) load_row(bias, t->bias + column, n);
    EACH(i, M) EACH(v, 2) acc[i][v] = bias[v];
}

/* Residual, activation, bounds, and the rows are stored. */
static inline __attribute__((always_inline)) void finish(const asymo_gemm_tile *t, int64_t column, int64_t n, float32x4_t acc[MR][2],
                                                         const int M) {
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

static inline __attribute__((always_inline)) void tile(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n, const int M) {
    float32x4_t acc[MR][2];
    start(t, column, n, acc, M);
    sum(t, b, acc, M);
    finish(t, column, n, acc, M);
}

/* One or two rows have too few accumulators for a multiply-add's latency: they take several panels at a time, eight accumulators in all. */
#define PANELS(M) (M <= 1 ? 4 : M <= 2 ? 2 : 1)

/* Step s of up to four k of all panels; y[i] holds these k of row i. */
#define WIDE_STEP(s)                                                                                                                       \
    {                                                                                                                                      \
        float32x4_t x[8];                                                                                                                  \
        EACH(v, V) x[v] = vld1q_f32(b + v / 2 * t->b_panel + NR * (s) + v % 2 * 4);                                                        \
        EACH(v, V) __asm__("" : "+w"(x[v])); /* else gcc moves each load to its use, where an in-order core waits for it */                \
        EACH(i, M) EACH(v, V) acc[i][v] = vfmaq_laneq_f32(acc[i][v], x[v], y[i], s);                                                       \
    }

static inline __attribute__((always_inline)) void wide(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n, const int M) {
    const int V = 2 * PANELS(M);
    float32x4_t c[4][MR][2], acc[2][8], y[2];
    for (int p = 0; p < PANELS(M); p++) start(t, column + p * NR, n - p * NR, c[p], M);
    EACH(i, M) EACH(v, V) acc[i][v] = c[v / 2][i][v % 2];
    for (int64_t tap = 0; tap < t->taps; tap++) {
        int64_t k = 0;
        for (; k + 4 <= t->run; k += 4, b += 4 * NR) {
            EACH(i, M) y[i] = vld1q_f32(t->a[tap * MR + i] + k);
            WIDE_STEP(0) WIDE_STEP(1) WIDE_STEP(2) WIDE_STEP(3)
        }
        for (; k < t->run; k++, b += NR) {
            EACH(i, M) y[i] = vld1q_dup_f32(t->a[tap * MR + i] + k);
            WIDE_STEP(0)
        }
    }
    EACH(i, M) EACH(v, V) c[v / 2][i][v % 2] = acc[i][v];
    for (int p = 0; p < PANELS(M); p++) finish(t, column + p * NR, n - p * NR, c[p], M);
}

typedef void tile_fn(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n);

#define EACH_M(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8)
#define TILE(M)                                                                                                                            \
    static void tile_##M(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n) { tile(t, b, column, n, M); }
#define ROW(M) [M] = tile_##M,

EACH_M(TILE)
static tile_fn *const tiles[MR + 1] = {EACH_M(ROW)};

static void wide_1(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n) { wide(t, b, column, n, 1); }
static void wide_2(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n) { wide(t, b, column, n, 2); }

void KERNEL(const asymo_gemm_tile *t, int64_t m, int64_t n) {
    const float *b = t->b;
    for (int64_t j = 0, panels; j < n; j += panels * NR, b += panels * t->b_panel) {
        panels = n - j > (PANELS(m) - 1) * NR ? PANELS(m) : 1;
        for (int64_t i = 0; i < m; i += MR) {
            const asymo_gemm_tile at = asymo_gemm_tile_at(t, i);
            tile_fn *const run = panels == 1 ? tiles[ASYMO_MIN(m - i, MR)] : m == 1 ? wide_1 : wide_2;
            run(&at, b, t->column + j, n - j);
        }
    }
}
