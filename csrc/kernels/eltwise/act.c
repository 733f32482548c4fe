#include "act.h"

#include <math.h>

#include "../../common/cpu.h"

ASYMO_DECLARE(void, asymo_act_rows,
              (int64_t act, int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy, const float *slope, float p,
               float q));

asymo_act_fn *asymo_act_rows(void) { return ASYMO_PICK(asymo_act_rows); }

asymo_epilogue asymo_epilogue_of(int64_t act, const float *slope, float p, float q) {
    const int is_bound = q == 0.0f ? !signbit(q) : !isnan(q);
    if (act == ASYMO_ACT_CLIP && is_bound) return (asymo_epilogue){.lo = p, .hi = q};
    asymo_epilogue e = {.lo = -INFINITY, .hi = INFINITY};
    if (act == ASYMO_ACT_NONE) return e;
    e.apply = asymo_act_rows();
    e.act = act;
    e.slope = act == ASYMO_ACT_PRELU ? slope : NULL;
    e.p = p;
    e.q = q;
    return e;
}

/* In runs of rows that lie a constant distance apart. */
void asymo_epilogue_rows(const asymo_epilogue *e, const float *tile, int64_t ld, float *const *c, int64_t column, int64_t rows,
                         int64_t cols) {
    for (int64_t i = 0; i < rows;) {
        const int64_t ldc = i + 1 < rows ? c[i + 1] - c[i] : 0;
        int64_t end = i + 1;
        while (end < rows && c[end] - c[end - 1] == ldc) end++;
        e->apply(e->act, end - i, cols, tile + i * ld, ld, c[i] + column, ldc, e->slope ? e->slope + column : NULL, e->p, e->q);
        i = end;
    }
}
