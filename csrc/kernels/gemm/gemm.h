/* gemm.h: the fp32 GEMM micro-kernels and their table. docs/kernels.md draws the packed panels and the registers.
 *
 * A micro-kernel computes, for i < m and j < n,
 *
 *   c[i][column + j] = end(bias[column + j] + sum over t < taps, s < run of a[i / mr][t][i % mr][s] B[t * run + s][j] + r[i][column + j])
 *
 * The sum has one accumulator, which starts at the bias and is fed by fused multiply-adds in ascending (t, s); then the residual is
 * added. end is the epilogue of act.h. An element of c is written once, with its final value, and not read (but as r).
 *
 * One row pointer per row and tap serves plain GEMM (one tap, pointers lda apart) and indirect convolution (a tap is a position of the
 * window, padding points to zeros). Nothing is read or written beyond the m x n elements of a, c, r and bias; panels of b are read whole.
 * No alignment is asked for. a and b must not overlap c; r may be c. n may be larger than nr, and m than mr: all tiles of rows take
 * turns on a panel while it is in the cache. A few rows take several panels at a time, so that a matrix times vector runs at the speed of
 * memory. */
#pragma once

#include "../../common/cpu.h"
#include "../eltwise/act.h"

typedef struct {
    const float *const *a; /* [m tile][taps][mr] */
    int64_t taps, run;
    const float *b;  /* the panel of column: [taps * run][nr] */
    int64_t b_panel; /* elements from a panel to the next */
    float *const *c;
    const float *const *r; /* NULL: none */
    const float *bias;     /* NULL: zeros */
    int64_t column;
    asymo_epilogue end;
} asymo_gemm_tile;

/* What is left from a row on, a multiple of mr. */
static inline asymo_gemm_tile asymo_gemm_tile_at(const asymo_gemm_tile *t, int64_t row) {
    asymo_gemm_tile at = *t;
    at.a += row * t->taps;
    at.c += row;
    if (at.r) at.r += row;
    return at;
}

typedef void asymo_gemm_ukr(const asymo_gemm_tile *tile, int64_t m, int64_t n);

typedef enum { ASYMO_CORE_ANY = 0, ASYMO_CORE_INORDER = 1 } asymo_core_kind;

typedef struct {
    const char *symbol;
    asymo_gemm_ukr *ukr; /* NULL: of another architecture */
    asymo_isa isa;
    asymo_core_kind core;
    int64_t mr, nr, kr;
} asymo_gemm_table_row;

extern const asymo_gemm_table_row asymo_gemm_table[];

/* The row for the instruction set in use and a core kind; a core kind without a row of its own gets the ANY row. */
const asymo_gemm_table_row *asymo_gemm_row_for(int32_t core_kind);

#define ASYMO_GEMM_UKR(ISA, CORE, SYMBOL, MR, NR, KR) asymo_gemm_ukr SYMBOL;
#include "gemm.inc"
#undef ASYMO_GEMM_UKR
