/* dwconv.h: consecutive output pixels of a depthwise convolution, channels last.
 *
 * For pixel i < pixels and channel c < channels
 *
 *   acc = bias[c] (0 without bias)
 *   acc = fma(x[h x_row + i x_step + k x_tap + c], w[h w_row + k w_tap + c], acc)    h < rows, k < taps, ascending
 *   y[i y_pixel + c] = end(acc + r[i r_pixel + c])                                   (no addition without r)
 *
 * so x_row holds the vertical dilation, x_tap the horizontal one, x_step the horizontal stride. end is the epilogue of act.h. An element
 * of y is written once, with its final value, and not read (but as r). A pass over the pixels a b c d of a 3x3, stride 1
 * (x_step = x_tap) loads six columns of each row and each of the nine weights once:
 *
 *     h = 0   o o o o o o
 *     h = 1   o o o o o o
 *     h = 2   o o o o o o
 *             a a a
 *               b b b
 *                 c c c
 *                   d d d
 *
 * The caller hands over spans of pixels that have the same taps inside the image: a tap in the padding is left out, not multiplied by
 * zero, on every instruction set and for every split.
 *
 * Strides are in elements, of any size and sign. Nothing is aligned. y may be r, and may not overlap x, w or bias. NaN passes the
 * bounds. Touches no element outside the formula. */
#pragma once

#include "../../common/cpu.h"
#include "../eltwise/act.h"

typedef struct {
    const float *x, *w, *bias, *r;
    float *y;
    int64_t channels, pixels;
    int64_t rows, taps;
    int64_t x_row, x_step, x_tap;
    int64_t w_row, w_tap;
    int64_t y_pixel, r_pixel;
    asymo_epilogue end;
} asymo_dwconv_span;

ASYMO_DECLARE(void, asymo_dwconv_pixels, (const asymo_dwconv_span *span));
