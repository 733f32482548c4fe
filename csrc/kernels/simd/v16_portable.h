/* v16_portable.h: sixteen floats as an array. This file is the specification of the other v16 headers. */
#pragma once

#include <math.h>
#include <string.h>

// clang-format off
typedef struct { float x[16]; } v16;
typedef struct { int32_t x[16]; } w16;
typedef struct { uint8_t x[16]; } m16;
// clang-format on

#define V16_EACH(TYPE, EXPR)                                                                                                               \
    TYPE r;                                                                                                                                \
    for (int i = 0; i < 16; i++) r.x[i] = (EXPR);                                                                                          \
    return r;

/* ---- memory: no alignment asked for; the _n forms touch n elements only (0 <= n <= 16) and read zeros beyond, the _8 forms 8 */
V16_FN v16 v16_load(const float *p) { V16_EACH(v16, p[i]) }
V16_FN v16 v16_load_8(const float *p) { V16_EACH(v16, i < 8 ? p[i] : 0.0f) }
V16_FN v16 v16_load_n(const float *p, int64_t n) { V16_EACH(v16, i < n ? p[i] : 0.0f) }
V16_FN void v16_store(float *p, v16 a) { memcpy(p, a.x, sizeof a.x); }
V16_FN void v16_store_8(float *p, v16 a) { memcpy(p, a.x, 8 * sizeof a.x[0]); }
V16_FN void v16_store_n(float *p, v16 a, int64_t n) {
    for (int i = 0; i < n; i++) p[i] = a.x[i];
}
V16_FN v16 v16_set1(float a) { V16_EACH(v16, a) }
V16_FN v16 v16_zero(void) { return v16_set1(0.0f); }
V16_FN w16 w16_load(const int32_t *p) { V16_EACH(w16, p[i]) }
V16_FN void w16_store(int32_t *p, w16 a) { memcpy(p, a.x, sizeof a.x); }
V16_FN w16 w16_set1(int32_t a) { V16_EACH(w16, a) }

/* ---- arithmetic, each rounded once */
V16_FN v16 v16_add(v16 a, v16 b) { V16_EACH(v16, a.x[i] + b.x[i]) }
V16_FN v16 v16_sub(v16 a, v16 b) { V16_EACH(v16, a.x[i] - b.x[i]) }
V16_FN v16 v16_mul(v16 a, v16 b) { V16_EACH(v16, a.x[i] * b.x[i]) }
V16_FN v16 v16_div(v16 a, v16 b) { V16_EACH(v16, a.x[i] / b.x[i]) }
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) { V16_EACH(v16, fmaf(a.x[i], b.x[i], c.x[i])) } /* a b + c */
V16_FN v16 v16_sqrt(v16 a) { V16_EACH(v16, sqrtf(a.x[i])) }
V16_FN v16 v16_abs(v16 a) { V16_EACH(v16, fabsf(a.x[i])) }
V16_FN v16 v16_neg(v16 a) { V16_EACH(v16, -a.x[i]) }
V16_FN v16 v16_copysign(v16 a, v16 sign) { V16_EACH(v16, copysignf(a.x[i], sign.x[i])) }
V16_FN v16 v16_max(v16 a, v16 b) { V16_EACH(v16, a.x[i] > b.x[i] ? a.x[i] : b.x[i]) }
V16_FN v16 v16_min(v16 a, v16 b) { V16_EACH(v16, a.x[i] < b.x[i] ? a.x[i] : b.x[i]) }

/* ---- rounding to a whole number; ties of round go to even */
V16_FN v16 v16_round(v16 a) { V16_EACH(v16, rintf(a.x[i])) }
V16_FN v16 v16_floor(v16 a) { V16_EACH(v16, floorf(a.x[i])) }
V16_FN v16 v16_ceil(v16 a) { V16_EACH(v16, ceilf(a.x[i])) }
V16_FN v16 v16_trunc(v16 a) { V16_EACH(v16, truncf(a.x[i])) }

/* ---- conditions; every comparison with NaN is false but ne */
V16_FN m16 v16_lt(v16 a, v16 b) { V16_EACH(m16, a.x[i] < b.x[i]) }
V16_FN m16 v16_le(v16 a, v16 b) { V16_EACH(m16, a.x[i] <= b.x[i]) }
V16_FN m16 v16_eq(v16 a, v16 b) { V16_EACH(m16, a.x[i] == b.x[i]) }
V16_FN m16 v16_ne(v16 a, v16 b) { V16_EACH(m16, a.x[i] != b.x[i]) }
V16_FN m16 m16_and(m16 a, m16 b) { V16_EACH(m16, a.x[i] & b.x[i]) }
V16_FN m16 m16_or(m16 a, m16 b) { V16_EACH(m16, a.x[i] | b.x[i]) }
V16_FN m16 m16_not(m16 a) { V16_EACH(m16, !a.x[i]) }
V16_FN int m16_any(m16 a) {
    int any = 0;
    for (int i = 0; i < 16; i++) any |= a.x[i];
    return any;
}
V16_FN v16 v16_select(m16 m, v16 a, v16 b) { V16_EACH(v16, m.x[i] ? a.x[i] : b.x[i]) }

/* ---- the larger, the smaller: b when they are equal, NaN when either is; min(max(x, low), high), where NaN stays NaN and high is
 * neither NaN nor -0 */
V16_FN v16 v16_nan_max(v16 a, v16 b) { return v16_select(v16_ne(a, a), a, v16_max(a, b)); }
V16_FN v16 v16_nan_min(v16 a, v16 b) { return v16_select(v16_ne(a, a), a, v16_min(a, b)); }
V16_FN v16 v16_between(v16 x, v16 low, v16 high) { return v16_min(high, v16_max(low, x)); }

/* ---- integers and bits. w16_from_v16: the value must be whole and inside int32 */
V16_FN w16 w16_from_v16(v16 a) { V16_EACH(w16, (int32_t)a.x[i]) }
V16_FN v16 v16_from_w16(w16 a) { V16_EACH(v16, (float)a.x[i]) }
V16_FN w16 w16_bits(v16 a) {
    w16 r;
    memcpy(&r, &a, sizeof r);
    return r;
}
V16_FN v16 v16_bits(w16 a) {
    v16 r;
    memcpy(&r, &a, sizeof r);
    return r;
}
V16_FN w16 w16_add(w16 a, w16 b) { V16_EACH(w16, (int32_t)((uint32_t)a.x[i] + (uint32_t)b.x[i])) }
V16_FN w16 w16_sub(w16 a, w16 b) { V16_EACH(w16, (int32_t)((uint32_t)a.x[i] - (uint32_t)b.x[i])) }
V16_FN w16 w16_and(w16 a, w16 b) { V16_EACH(w16, a.x[i] & b.x[i]) }
V16_FN w16 w16_or(w16 a, w16 b) { V16_EACH(w16, a.x[i] | b.x[i]) }
V16_FN w16 w16_shl(w16 a, int n) { V16_EACH(w16, (int32_t)((uint32_t)a.x[i] << n)) }
V16_FN w16 w16_shr(w16 a, int n) { V16_EACH(w16, a.x[i] >> n) } /* arithmetic */
