/* winograd.h: the transforms of F(tile x tile, r x r): F(2x2, 3x3), F(4x4, 3x3), F(2x2, 5x5). T = tile + r - 1, 4 or 6.
 * docs/kernels-conv.md derives the matrices.
 *
 *   y = A' ((G g G') . (B' d B)) A        d: T x T inputs, g: r x r weights, y: tile x tile outputs, . sums over input channels
 *
 * Points: 0, +-1, inf for T 4; 0, +-3/4, +-3/2, inf for T 6: every number in B and A is exact in binary, and the error is a
 * fifth of that of the usual +-1, +-2.
 *
 *   weights  once, in double, rounded once:  U[xi = i T + j][c][n], each U[xi] packed as a B of the GEMM (pack.c)
 *   input    V[xi][tile][c] of the patch whose cell (0, 0) lies at x: columns are transformed first, then rows
 *   (GEMM)   M[xi][tile][n] = V[xi] U[xi], one accumulator in ascending c
 *   output   y = end((A' M A + bias) + r): columns first, then rows; end is the epilogue of act.h; y is written once, with its final value
 *
 * input and output work on one tile, vector over channels. Strides in elements, nothing aligned; y may be r. Cells of the patch outside
 * [top, bottom) x [left, right) are zero and not read; outputs beyond rows x columns are not written. */
#pragma once

#include "../../common/cpu.h"
#include "../eltwise/act.h"

typedef struct {
    const float *x;
    int64_t row, pixel; /* strides of x */
    int64_t top, bottom, left, right;
    int64_t channels;
    float *v;
    int64_t v_step; /* from V[xi] to V[xi + 1] */
} asymo_winograd_patch;

typedef struct {
    const float *m;
    int64_t m_step;
    int64_t rows, columns, channels;
    const float *bias, *r; /* NULL: none */
    float *y;
    int64_t y_row, y_pixel, r_row, r_pixel;
    asymo_epilogue end;
} asymo_winograd_tile;

ASYMO_DECLARE(void, asymo_winograd_input, (int64_t T, const asymo_winograd_patch *patch));
ASYMO_DECLARE(void, asymo_winograd_output, (int64_t tile, int64_t T, const asymo_winograd_tile *out));
