/* act.h: activations, over rows of floats and as the end of an epilogue.
 *
 * Micro-kernels clip in registers. Any other activation they apply to a tile of their own on the stack, between the last addition and the
 * store, so that an output element is written once, with its final value. */
#pragma once

#include "../../common/base.h"

/* y[r * ldy + c] = act(x[r * ldx + c]) for r < rows, c < cols. slope[cols] for PRELU, else NULL. y may be x, or overlaps nothing. */
typedef void asymo_act_fn(int64_t act, int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy, const float *slope,
                          float p, float q);

/* For the instruction set in use; any activation. */
asymo_act_fn *asymo_act_rows(void);

/* What follows the sum: min(max(x, lo), hi), where NaN passes and hi is neither NaN nor -0, then apply, unless it is NULL. slope is that of
 * the first column. */
typedef struct {
    float lo, hi;
    asymo_act_fn *apply;
    int64_t act;
    const float *slope;
    float p, q;
} asymo_epilogue;

/* Nothing but apply, or nothing but the clip, which is -inf, inf for ASYMO_ACT_NONE. */
asymo_epilogue asymo_epilogue_of(int64_t act, const float *slope, float p, float q);

/* c[i][column + j] = apply(tile[i * ld + j]) for i < rows, j < cols. */
void asymo_epilogue_rows(const asymo_epilogue *e, const float *tile, int64_t ld, float *const *c, int64_t column, int64_t rows,
                         int64_t cols);

/* Applies it to tile[rows][ld] itself, whose first element is of that column: for tiles narrower than a v16. Elements from cols on may
 * become anything. */
static inline void asymo_epilogue_tile(const asymo_epilogue *e, float *tile, int64_t rows, int64_t cols, int64_t ld, int64_t column) {
    if (e->slope)
        e->apply(e->act, rows, cols, tile, ld, tile, ld, e->slope + column, e->p, e->q);
    else
        e->apply(e->act, 1, rows * ld, tile, ld, tile, ld, NULL, e->p, e->q);
}
