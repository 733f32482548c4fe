/* act.h: activations as the last thing a step does to its output while that is still in L1.
 *
 * Kernels apply ASYMO_ACT_NONE and ASYMO_ACT_CLIP in registers (NONE is a clip to -inf, +inf) and ask here for the others. */
#pragma once

#include "../../common/base.h"

/* y[r * ldy + c] = act(y[r * ldy + c]) for r < rows, c < cols. slope[cols] for PRELU, else NULL. */
typedef void asymo_act_fn(int64_t act, int64_t rows, int64_t cols, float *y, int64_t ldy, const float *slope, float p, float q);

/* For the instruction set in use; any activation. */
asymo_act_fn *asymo_act_rows(void);

/* The same for epilogues: NULL for NONE and CLIP, which they do themselves. */
asymo_act_fn *asymo_act_for(int64_t act);
