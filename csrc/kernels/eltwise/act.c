#include "act.h"

#include "../../common/cpu.h"

ASYMO_DECLARE(void, asymo_act_rows, (int64_t act, int64_t rows, int64_t cols, float *y, int64_t ldy, const float *slope, float p, float q));

asymo_act_fn *asymo_act_rows(void) { return ASYMO_PICK(asymo_act_rows); }

asymo_act_fn *asymo_act_for(int64_t act) { return act == ASYMO_ACT_NONE || act == ASYMO_ACT_CLIP ? NULL : asymo_act_rows(); }
