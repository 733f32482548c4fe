/* dwconv.h: consecutive output pixels of a row of a depthwise convolution, channels last.
 *
 * Tap k of pixel i < pixels lies in column j = origin + i stride + k dilation of the image. For channel c < channels
 *
 *   acc = bias[c] (0 without bias)
 *   acc = fma(x[h x_row + j x_column + c], w[h w_row + k w_tap + c], acc)    h < rows, k < taps, ascending, where 0 <= j < columns
 *   y[i y_pixel + c] = end(acc + r[i r_pixel + c])                           (no addition without r)
 *
 * A tap outside the image is left out, not multiplied by zero, on every instruction set and for every split. end is the epilogue of act.h.
 * An element of y is written with its final value, without r perhaps twice, and not read (but as r).
 * A pass over the pixels a to h of a 3x3, stride 1, loads ten columns of each row and each of the nine weights once:
 *
 *     row 0   o o o o o o o o o o
 *     row 1   o o o o o o o o o o
 *     row 2   o o o o o o o o o o
 *             a a a
 *               b b b
 *                  ...
 *                           h h h
 *
 * Strides of memory are in elements, of any size and sign. Nothing is aligned. y may be r, and may not overlap x, w or bias. NaN passes
 * the bounds. Touches no element outside the formula. */
#pragma once

#include "../../common/cpu.h"
#include "../eltwise/act.h"

typedef struct {
    const float *x, *w, *bias, *r;
    float *y;
    int64_t channels, pixels;
    int64_t rows, taps;
    int64_t columns, origin, stride, dilation;
    int64_t x_row, x_column;
    int64_t w_row, w_tap;
    int64_t y_pixel, r_pixel;
    asymo_epilogue end;
} asymo_dwconv_row;

ASYMO_DECLARE(void, asymo_dwconv_pixels, (const asymo_dwconv_row *row));
