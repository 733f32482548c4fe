/* eltwise_body.h: asymo_eltwise_apply. Each formula of eltwise.inc becomes one loop. */
#include <math.h>

#include "../simd/v16.h"

#include "act_body.h"
#include "eltwise.h"

/* Exact, so any libm gives the same bits. */
V16_FN v16 v16_fmod(v16 a, v16 b) {
    float x[16], y[16];
    v16_store(x, a);
    v16_store(y, b);
    for (int i = 0; i < 16; i++) x[i] = fmodf(x[i], y[i]);
    return v16_load(x);
}

/* The remainder with the sign of b (Python's %). */
V16_FN v16 v16_mod(v16 a, v16 b) {
    const v16 zero = v16_zero(), r = v16_fmod(a, b);
    const m16 other_sign = m16_or(m16_and(v16_lt(r, zero), v16_lt(zero, b)), m16_and(v16_lt(zero, r), v16_lt(b, zero)));
    return v16_select(other_sign, v16_add(r, b), v16_select(v16_eq(r, zero), v16_copysign(r, b), r));
}

#define ASYMO_ELTWISE_CONTROL(NAME, ARITY)
#define ASYMO_ELTWISE(NAME, ARITY, FORMULA)                                                                                                \
    static void NAME##_loop(int64_t n, float *dst, const float *pa, const float *pb, const float *pc) {                                    \
        const v16 zero = v16_zero(), one = v16_set1(1.0f);                                                                                 \
        (void)pb, (void)pc, (void)zero, (void)one;                                                                                         \
        int64_t i = 0;                                                                                                                     \
        for (; i + 16 <= n; i += 16) {                                                                                                     \
            const v16 a = v16_load(pa + i), b = ARITY > 1 ? v16_load(pb + i) : zero, c = ARITY > 2 ? v16_load(pc + i) : zero;              \
            (void)b, (void)c;                                                                                                              \
            v16_store(dst + i, FORMULA);                                                                                                   \
        }                                                                                                                                  \
        if (i < n) {                                                                                                                       \
            const int64_t k = n - i;                                                                                                       \
            const v16 a = v16_load_n(pa + i, k), b = ARITY > 1 ? v16_load_n(pb + i, k) : zero;                                             \
            const v16 c = ARITY > 2 ? v16_load_n(pc + i, k) : zero;                                                                        \
            (void)b, (void)c;                                                                                                              \
            v16_store_n(dst + i, FORMULA, k);                                                                                              \
        }                                                                                                                                  \
    }
#include "eltwise.inc"
#undef ASYMO_ELTWISE

void ASYMO_NAME(asymo_eltwise_apply)(int64_t op, int64_t n, float *dst, const float *a, const float *b, const float *c);
void ASYMO_NAME(asymo_eltwise_apply)(int64_t op, int64_t n, float *dst, const float *a, const float *b, const float *c) {
    switch (op) {
#define ASYMO_ELTWISE(NAME, ARITY, FORMULA)                                                                                                \
    case ASYMO_ELTWISE_##NAME:                                                                                                             \
        NAME##_loop(n, dst, a, b, c);                                                                                                      \
        break;
#include "eltwise.inc"
#undef ASYMO_ELTWISE
#undef ASYMO_ELTWISE_CONTROL
    default: break;
    }
}
