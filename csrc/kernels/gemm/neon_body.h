/* neon_body.h: what the NEON schedules share: 8 x 8 tiles, 16 accumulators of four floats.
 *
 * The including file defines KERNEL and
 *   INLINE void sum(const asymo_gemm_tile *t, const float *const *a, const float *b, const float *bias, float32x4_t acc[MR][2],
 *                   const int M)
 * which starts M rows of accumulators from bias[NR] and feeds them; a: the pointers of the tile's rows. Tails in n go through a copy of the
 * row, so that not one byte beyond is touched. */
#pragma once

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "../simd/each.h"
#include "../simd/next_neon.h"
#include "gemm.h"

enum { MR = 8, NR = 8 };

#define INLINE static inline __attribute__((always_inline))

INLINE void load_row(float32x4_t row[2], const float *p, int64_t n) {
    if (n >= NR) {
        EACH(v, 2) row[v] = vld1q_f32(p + 4 * v);
    } else {
        float copy[NR] = {0};
        memcpy(copy, p, (size_t)n * sizeof *p);
        EACH(v, 2) row[v] = vld1q_f32(copy + 4 * v);
    }
}

INLINE void store_row(float *p, const float32x4_t row[2], int64_t n) {
    if (n >= NR) {
        EACH(v, 2) vst1q_f32(p + 4 * v, row[v]);
    } else {
        float copy[NR];
        EACH(v, 2) vst1q_f32(copy + 4 * v, row[v]);
        memcpy(p, copy, (size_t)n * sizeof *p);
    }
}

INLINE void sum(const asymo_gemm_tile *t, const float *const *a, const float *b, const float *bias, float32x4_t acc[MR][2], const int M);

/* The NR floats that a panel's accumulators start from, in place or in copy. */
INLINE const float *start_of(const asymo_gemm_tile *t, int64_t column, int64_t n, float copy[NR]) {
    if (t->bias && n >= NR) return t->bias + column;
    memset(copy, 0, NR * sizeof *copy);
    if (t->bias) memcpy(copy, t->bias + column, (size_t)n * sizeof *copy);
    return copy;
}

INLINE void start(const float *bias, float32x4_t acc[MR][2], const int M) { EACH(i, M) EACH(v, 2) acc[i][v] = vld1q_f32(bias + 4 * v); }

INLINE void add_residual(const float *const *r, int64_t column, int64_t n, float32x4_t acc[MR][2], const int M) {
    EACH(i, M) {
        float32x4_t row[2];
        load_row(row, r[i] + column, n);
        EACH(v, 2) acc[i][v] = vaddq_f32(acc[i][v], row[v]);
    }
}

enum { LOW = 1, HIGH = 2 };

/* Which bounds there are. The compiler is not told how it is found, or it would find it for each tile. */
INLINE int bounds_of(const asymo_epilogue *end) {
    int bounds = (end->lo > -INFINITY ? LOW : 0) | (end->hi < INFINITY ? HIGH : 0);
    __asm__("" : "+r"(bounds));
    return bounds;
}

/* lo when the comparison holds, else what was there: NaN and -0 stay what they are. fmin keeps them, too, under any hi but -0, which it is
 * not; fmax would make -0 a +0. */
INLINE void clip(const asymo_epilogue *end, int bounds, float32x4_t acc[MR][2], const int M) {
    const float32x4_t lo = vdupq_n_f32(end->lo), hi = vdupq_n_f32(end->hi);
    if (bounds & LOW) EACH(i, M) EACH(v, 2) acc[i][v] = vbslq_f32(vcgtq_f32(lo, acc[i][v]), lo, acc[i][v]);
    if (bounds & HIGH) EACH(i, M) EACH(v, 2) acc[i][v] = vminq_f32(acc[i][v], hi);
}

INLINE void store_rows(float *const *c, int64_t column, int64_t n, float32x4_t acc[MR][2], const int M) {
    float *to[MR];
    EACH(i, M) to[i] = c[i];
    if (n >= NR) {
        EACH(i, M) store_row(to[i] + column, acc[i], NR);
    } else {
        EACH(i, M) store_row(to[i] + column, acc[i], n);
    }
}

/* Residual, activation, bounds, and the rows are stored. */
INLINE void finish(const asymo_gemm_tile *t, const float *const *r, float *const *c, int64_t column, int64_t n, float32x4_t acc[MR][2],
                   const int M) {
    if (r) add_residual(r, column, n, acc, M);
    if (t->end.apply) {
        float staged[MR * NR];
        EACH(i, M) EACH(v, 2) vst1q_f32(staged + i * NR + 4 * v, acc[i][v]);
        asymo_epilogue_tile(&t->end, staged, M, n < NR ? n : NR, NR, column);
        EACH(i, M) EACH(v, 2) acc[i][v] = vld1q_f32(staged + i * NR + 4 * v);
    }
    clip(&t->end, bounds_of(&t->end), acc, M);
    store_rows(c, column, n, acc, M);
}

/* m rows in tiles of M. What most tiles need is found once, what few need is behind one question. */
INLINE void rows_of(const asymo_gemm_tile *tile, const float *b, int64_t column, int64_t n, int64_t m, const int M) {
    const asymo_gemm_tile own = *tile, *t = M < MR ? tile : &own;
    const int is_plain = n >= NR && t->r == NULL && t->end.apply == NULL, bounds = bounds_of(&t->end);
    float copy[NR];
    const float *bias = start_of(t, column, n, copy);
    const float *const *a = t->a;
    for (int64_t row = 0; row < (M < MR ? 1 : m); row += M, a += MR * t->taps) {
        float32x4_t acc[MR][2];
        sum(t, a, b, bias, acc, M);
        if (is_plain) {
            clip(&t->end, bounds, acc, M);
            store_rows(t->c + row, column, NR, acc, M);
        } else {
            finish(t, t->r ? t->r + row : NULL, t->c + row, column, n, acc, M);
        }
    }
}

/* One or two rows have too few accumulators for a multiply-add's latency: they take several panels at a time, eight accumulators in all. */
#define PANELS(M) (M <= 1 ? 4 : M <= 2 ? 2 : 1)

/* Step s of up to four k of all panels, each with a pointer of its own; y[i] holds these k of row i. */
#define WIDE_STEP(s)                                                                                                                       \
    {                                                                                                                                      \
        float32x4_t x[8];                                                                                                                  \
        EACH(p, P) next_8(x + 2 * p, &b[p]);                                                                                               \
        EACH(i, M) EACH(v, 2 * P) acc[i][v] = vfmaq_laneq_f32(acc[i][v], x[v], y[i], s);                                                   \
    }

INLINE void wide(const asymo_gemm_tile *t, const float *first, int64_t column, int64_t n, const int M) {
    const int P = PANELS(M);
    float32x4_t c[4][MR][2], acc[2][8], y[2];
    for (int p = 0; p < P; p++) {
        float copy[NR];
        start(start_of(t, column + p * NR, n - p * NR, copy), c[p], M);
    }
    EACH(i, M) EACH(v, 2 * P) acc[i][v] = c[v / 2][i][v % 2];
    for (int64_t tap = 0; tap < t->taps; tap++) {
        const float *a[2], *b[4];
        EACH(i, M) a[i] = t->a[tap * MR + i];
        EACH(p, P) b[p] = first + p * t->b_panel + tap * t->run * NR;
        for (int64_t fours = t->run / 4; fours > 0; fours--) {
            EACH(i, M) y[i] = next_4(&a[i]);
            WIDE_STEP(0) WIDE_STEP(1) WIDE_STEP(2) WIDE_STEP(3)
        }
        for (int64_t k = t->run % 4; k > 0; k--) {
            EACH(i, M) y[i] = vld1q_dup_f32(a[i]++);
            WIDE_STEP(0)
        }
    }
    EACH(i, M) EACH(v, 2 * P) c[v / 2][i][v % 2] = acc[i][v];
    for (int p = 0; p < P; p++) finish(t, t->r, t->c, column + p * NR, n - p * NR, c[p], M);
}

typedef void tile_fn(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n, int64_t m);

#define EACH_M(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8)
#define TILE(M)                                                                                                                            \
    static void tile_##M(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n, int64_t m) { rows_of(t, b, column, n, m, M); }
#define ROW(M) [M] = tile_##M,

EACH_M(TILE)
static tile_fn *const tiles[MR + 1] = {EACH_M(ROW)};

static void wide_1(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n) { wide(t, b, column, n, 1); }
static void wide_2(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n) { wide(t, b, column, n, 2); }

void KERNEL(const asymo_gemm_tile *t, int64_t m, int64_t n) {
    const int64_t whole = m / MR * MR, last = m - whole;
    const asymo_gemm_tile lower = asymo_gemm_tile_at(t, whole);
    const float *b = t->b;
    for (int64_t j = 0, panels; j < n; j += panels * NR, b += panels * t->b_panel) {
        const int64_t column = t->column + j, rest = n - j;
        panels = rest > (PANELS(m) - 1) * NR ? PANELS(m) : 1;
        if (panels > 1) {
            (m == 1 ? wide_1 : wide_2)(t, b, column, rest);
            continue;
        }
        if (whole) tiles[MR](t, b, column, rest, whole);
        if (last) tiles[last](&lower, b, column, rest, last);
    }
}
