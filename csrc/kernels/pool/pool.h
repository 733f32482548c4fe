/* pool.h: one window of channels-last cells, reduced to one output pixel; vector over channels.
 *
 * A window is the box of cells[0] x cells[1] x cells[2] input pixels that lie inside the image; cell (i, j, k) begins at
 * x + i step[0] + j step[1] + k step[2]. Cells are taken in ascending (i, j, k). A window may be empty.
 * Strides are in elements, nothing is aligned, y overlaps nothing. Touches no element but channels of each cell and of the outputs. The
 * outputs of some channels may be written twice.
 *
 *   max       y = the largest cell; the later of cells that compare equal (+0, -0). NaN if any cell is NaN. Empty: -inf.
 *   max_index also index[c] = base + c channel_step + the position of the first largest cell (of the first NaN), where cell (i, j, k)
 *             has position first + i move[0] + j move[1] + k move[2] (below 2^31). Empty: -1.
 *   average   y = sum / count
 *   lp        y = (sum |x|^p)^(1/p), p >= 1; |x|^p by p - 1 products, the last one fused with the addition; the root of p = 2 by square
 *             root, of p > 2 by Newton steps in double, rounded once. */
#pragma once

#include "../../common/cpu.h"

typedef struct {
    const float *x;
    int64_t cells[3], step[3];
    int64_t channels;
} asymo_pool_window;

typedef struct {
    int64_t *index;
    int64_t base, channel_step;
    int64_t first, move[3];
} asymo_pool_positions;

ASYMO_DECLARE(void, asymo_pool_max, (const asymo_pool_window *window, float *y));
ASYMO_DECLARE(void, asymo_pool_max_index, (const asymo_pool_window *window, const asymo_pool_positions *positions, float *y));
ASYMO_DECLARE(void, asymo_pool_average, (const asymo_pool_window *window, float count, float *y));
ASYMO_DECLARE(void, asymo_pool_lp, (const asymo_pool_window *window, int64_t p, float *y));
