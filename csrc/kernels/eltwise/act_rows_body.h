/* act_rows_body.h: asymo_act_rows, an activation over the rows of a block. */
#include "../simd/v16.h"

#include "act_body.h"

static inline __attribute__((always_inline)) void act_block(int64_t act, int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y,
                                                            int64_t ldy, const float *slope, float p, float q) {
    for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        int64_t c = 0;
        for (; c + 16 <= cols; c += 16) {
            const v16 s = act == ASYMO_ACT_PRELU ? v16_load(slope + c) : v16_zero();
            v16_store(y + c, v16_act(act, v16_load(x + c), s, p, q));
        }
        if (c < cols) {
            const v16 s = act == ASYMO_ACT_PRELU ? v16_load_n(slope + c, cols - c) : v16_zero();
            v16_store_n(y + c, v16_act(act, v16_load_n(x + c, cols - c), s, p, q), cols - c);
        }
    }
}

void ASYMO_NAME(asymo_act_rows)(int64_t act, int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy,
                                const float *slope, float p, float q);
void ASYMO_NAME(asymo_act_rows)(int64_t act, int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy,
                                const float *slope, float p, float q) {
    switch (act) {
#define ASYMO_ACT_CASE(ID)                                                                                                                 \
    case ASYMO_ACT_##ID:                                                                                                                   \
        act_block(ASYMO_ACT_##ID, rows, cols, x, ldx, y, ldy, slope, p, q);                                                                \
        break;
#include "act.inc"
#undef ASYMO_ACT_CASE
    default: act_block(ASYMO_ACT_NONE, rows, cols, x, ldx, y, ldy, slope, p, q);
    }
}
