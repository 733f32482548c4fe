/* broadcast_body.h: the micro-kernel of instruction sets that broadcast an element of A from memory (AVX2, AVX-512).
 *
 * The including file defines MR, LANES, NR = 2 LANES, KERNEL, the vector type vec with set0 set1 load add fmadd min max,
 * load_n and store_n (lanes [0, n), none for n <= 0, all for n >= LANES), and WIDE(M): panels at once for M rows.
 *
 * Registers of an M x V tile (V vectors: 1 when n <= LANES, 2 for a whole panel, more for several panels):
 *
 *                   x[0]      x[1]          B, one row of the panel
 *               +---------+---------+
 *   y <- a[0]   | acc00   | acc01   |
 *   y <- a[1]   | acc10   | acc11   |       y is broadcast, used V times and forgotten
 *    ...        |   ...   |   ...   |
 *   y <- a[M-1] |         |         |
 *               +---------+---------+
 *
 * M and V are constants after inlining and every loop over them is unrolled, so acc lives in registers. M V is at most MR 2. */
#pragma once

#include "each.h"
#include "gemm.h"

enum { MAX_VECTORS = 8 };

static inline __attribute__((always_inline)) void tile(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n, const int M,
                                                       const int V) {
    vec acc[MR][MAX_VECTORS];
    EACH(v, V) {
        const vec start = t->bias ? load_n(t->bias + column + LANES * v, n - LANES * v) : set0();
        EACH(i, M) acc[i][v] = start;
    }
    for (int64_t tap = 0; tap < t->taps; tap++) {
        const float *a[MR];
        EACH(i, M) a[i] = t->a[tap * MR + i];
        for (int64_t k = 0; k < t->run; k++) {
            vec x[MAX_VECTORS];
            EACH(v, V) x[v] = load(b + v / 2 * t->b_panel + LANES * (v % 2));
            b += NR;
            EACH(i, M) {
                const vec y = set1(a[i][k]);
                EACH(v, V) acc[i][v] = fmadd(y, x[v], acc[i][v]);
            }
        }
    }
    if (t->r) EACH(i, M) EACH(v, V) acc[i][v] = add(acc[i][v], load_n(t->r[i] + column + LANES * v, n - LANES * v));
    if (t->end.apply) {
        float staged[MR * NR] __attribute__((aligned(64)));
        EACH(i, M) EACH(v, V) store_n(staged + (i * V + v) * LANES, acc[i][v], LANES);
        asymo_epilogue_rows(&t->end, staged, V * LANES, t->c, column, M, n < V * LANES ? n : V * LANES);
        return;
    }
    const vec lo = set1(t->end.lo), hi = set1(t->end.hi);
    EACH(i, M) EACH(v, V) store_n(t->c[i] + column + LANES * v, min(hi, max(lo, acc[i][v])), n - LANES * v);
}

typedef void tile_fn(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n);

#define TILE(NAME, M, V)                                                                                                                   \
    static void NAME(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t n) { tile(t, b, column, n, M, V); }
#define TILES(M) TILE(half_##M, M, 1) TILE(whole_##M, M, 2) TILE(wide_##M, M, 2 * WIDE(M))
#define ROWS(M) [M] = {half_##M, whole_##M, wide_##M},
#define WIDTH(M) [M] = WIDE(M),

EACH_M(TILES)
static tile_fn *const tiles[MR + 1][3] = {EACH_M(ROWS)};
static const int8_t wide[MR + 1] = {EACH_M(WIDTH)};

void KERNEL(const asymo_gemm_tile *t, int64_t m, int64_t n) {
    const float *b = t->b;
    for (int64_t j = 0; j < n;) {
        const int64_t rest = n - j;
        const int64_t panels = rest > (wide[m] - 1) * NR ? wide[m] : 1;
        tiles[m][panels > 1 ? 2 : rest > LANES](t, b, t->column + j, rest);
        b += panels * t->b_panel;
        j += panels * NR;
    }
}
