/* broadcast_body.h: the micro-kernel of instruction sets that broadcast an element of A from memory (AVX2, AVX-512).
 *
 * The including file defines MR, LANES, NR = 2 LANES, KERNEL, the vector type vec with set0 set1 load add fmadd min max,
 * load_n and store_n (lanes [0, n), none for n <= 0, all for n >= LANES), and WIDE(M): panels at once for M rows. It defines the same,
 * but load, with names half_... for the type half of HALF = LANES / 2 lanes, and half_of(vec), the lower lanes. (A half costs half where
 * the FMA units are narrower than vec: 512 bits on Zen 4, 256 bits on the small cores of hybrids.)
 *
 * Registers of a tile of M rows and V vectors: 2 for a whole panel, more for several panels; with HALVED the last vector is a half.
 *
 *         V = 2:        x[0]      x[1]                  V = 1, HALVED:     x[0]     z          B, one row of the panel
 *                   +---------+---------+                              +---------+-----+
 *       y <- a[0]   | acc00   | acc01   |                  y <- a[0]   | acc00   | t0  |
 *       y <- a[1]   | acc10   | acc11   |                  y <- a[1]   | acc10   | t1  |       y is broadcast, used for its row
 *        ...        |   ...   |   ...   |                   ...        |   ...   | ... |       and forgotten
 *       y <- a[M-1] |         |         |                  y <- a[M-1] |         |     |
 *                   +---------+---------+                              +---------+-----+
 *
 * M, V and HALVED are constants after inlining and every loop over them is unrolled, so acc lives in registers. M V is at most MR 2.
 *
 * Between two tiles there are few stores beside those of C: the store queue of Zen 4 holds 64 of 256 bits, the 28 of a tile of 512 bits
 * fill 56 of them and leave as slowly as their lines of C arrive, and the next tile waits for a place. So the tiles of a panel follow each
 * other in one call, t is read again after the sum, and the pointers of rows from HELD on are read from the table at every k; a compiler
 * would keep all that on the stack. (The queue is an explanation, the gain is measured: docs/kernels.md.) */
#pragma once

#include "../simd/each.h"
#include "gemm.h"

#ifdef __clang__
enum { HELD = MR }; /* fewer, and it would spill accumulators */
#else
enum { HELD = MR < 9 ? MR : 9 };
#endif

enum { MAX_VECTORS = 8, HALF = LANES / 2 };

/* Rows of a panel that are asked for ahead (docs/kernels.md; a few rows, which take several panels at a time, are quicker without). What is
 * behind the last panel is not read. */
enum { AHEAD = 32 };

static inline __attribute__((always_inline)) void tile(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n, int64_t row,
                                                       const int M, const int V, const int HALVED) {
    const int64_t column_z = column + LANES * V, n_z = n - LANES * V;
    vec acc[MR][MAX_VECTORS];
    half acc_z[MR];
    EACH(v, V) {
        const vec start = t->bias ? load_n(t->bias + column + LANES * v, n - LANES * v) : set0();
        EACH(i, M) acc[i][v] = start;
    }
    if (HALVED) {
        const half start = t->bias ? half_load_n(t->bias + column_z, n_z) : half_set0();
        EACH(i, M) acc_z[i] = start;
    }
    for (int64_t tap = 0; tap < t->taps; tap++) {
        const float *const volatile *a = t->a + row * t->taps + tap * MR;
        const float *held[HELD];
        EACH(i, ASYMO_MIN(M, HELD)) held[i] = a[i];
        for (int64_t k = 0; k < t->run; k++) {
            vec x[MAX_VECTORS];
            EACH(v, V) x[v] = load(b + v / 2 * t->b_panel + LANES * (v % 2));
            const half z = HALVED ? half_load_n(b + LANES * V, HALF) : half_set0();
            b += NR;
            for (int line = 0; V == 2 && line < NR; line += 16) __builtin_prefetch(b + AHEAD * NR + line);
            EACH(i, M) {
                /* cppcheck-suppress uninitvar ; the rows that are held have been set */
                const float *const a_i = i < HELD ? held[i] : a[i];
                const vec y = V ? set1(a_i[k]) : set0();
                EACH(v, V) acc[i][v] = fmadd(y, x[v], acc[i][v]);
                if (HALVED) acc_z[i] = half_fmadd(V ? half_of(y) : half_set1(a_i[k]), z, acc_z[i]);
            }
        }
    }
    __asm__("" : "+r"(t)); /* reads it again */
    float *const *c = t->c + row;
    const float *const *r = t->r ? t->r + row : NULL;
    if (r) EACH(i, M) {
            EACH(v, V) acc[i][v] = add(acc[i][v], load_n(r[i] + column + LANES * v, n - LANES * v));
            if (HALVED) acc_z[i] = half_add(acc_z[i], half_load_n(r[i] + column_z, n_z));
        }
    if (t->end.apply) {
        const int64_t width = LANES * V + (HALVED ? HALF : 0);
        float staged[MR * NR] __attribute__((aligned(64)));
        EACH(i, M) {
            EACH(v, V) store_n(staged + i * width + LANES * v, acc[i][v], LANES);
            if (HALVED) half_store_n(staged + i * width + LANES * V, acc_z[i], HALF);
        }
        asymo_epilogue_rows(&t->end, staged, width, c, column, M, n < width ? n : width);
        return;
    }
    const vec lo = set1(t->end.lo), hi = set1(t->end.hi);
    EACH(i, M) {
        EACH(v, V) store_n(c[i] + column + LANES * v, min(hi, max(lo, acc[i][v])), n - LANES * v);
        if (HALVED) half_store_n(c[i] + column_z, half_min(half_of(hi), half_max(half_of(lo), acc_z[i])), n_z);
    }
}

typedef void tile_fn(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n, int64_t row, int64_t end);

/* Tiles of M rows from `row` on, while whole ones are before `end`. */
#define TILE(NAME, M, V, HALVED)                                                                                                           \
    static void NAME(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n, int64_t row, int64_t end) {                      \
        for (; row + M <= end; row += M) tile(t, b, column, n, row, M, V, HALVED);                                                         \
    }
#define TILES(M) TILE(half_##M, M, 0, 1) TILE(one_##M, M, 1, 0) TILE(one_half_##M, M, 1, 1) TILE(two_##M, M, 2, 0) WIDE_TILE(M)
#define WIDE_TILE(M) TILE(wide_##M, M, 2 * WIDE(M), 0)
#define ROWS(M) [M] = {half_##M, one_##M, one_half_##M, two_##M, wide_##M},
#define WIDTH(M) [M] = WIDE(M),

EACH_M(TILES)
static tile_fn *const tiles[MR + 1][5] = {EACH_M(ROWS)};
static const int8_t wide[MR + 1] = {EACH_M(WIDTH)};

void KERNEL(const asymo_gemm_tile *t, int64_t m, int64_t n) {
    const int64_t whole = m / MR * MR, last = m - whole;
    const float *b = t->b;
    for (int64_t j = 0; j < n;) {
        const int64_t rest = n - j;
        const int64_t panels = whole == 0 && rest > (wide[last] - 1) * NR ? wide[last] : 1;
        const int64_t halves = ASYMO_MIN(asymo_ceil_div(rest, HALF), 4);
        const int64_t width = panels > 1 ? 4 : halves - 1;
        if (whole) tiles[MR][width](t, b, t->column + j, rest, 0, whole);
        if (last) tiles[last][width](t, b, t->column + j, rest, whole, m);
        b += panels * t->b_panel;
        j += panels * NR;
    }
}
