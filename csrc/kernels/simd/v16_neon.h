/* v16_neon.h: sixteen floats in four registers. */
#pragma once

#include <arm_neon.h>

// clang-format off
typedef struct { float32x4_t q[4]; } v16;
typedef struct { int32x4_t q[4]; } w16;
typedef struct { uint32x4_t q[4]; } m16; /* all bits of a lane set, or none */
// clang-format on

#define V16_QUADS(TYPE, EXPR)                                                                                                              \
    TYPE r;                                                                                                                                \
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) r.q[i] = (EXPR);                                                                   \
    return r;

V16_FN v16 v16_load(const float *p) { V16_QUADS(v16, vld1q_f32(p + 4 * i)) }
V16_FN v16 v16_load_8(const float *p) { return (v16){{vld1q_f32(p), vld1q_f32(p + 4), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)}}; }
V16_FN v16 v16_load_n(const float *p, int64_t n) {
    float x[16] = {0};
    for (int64_t i = 0; i < n; i++) x[i] = p[i];
    return v16_load(x);
}
V16_FN void v16_store(float *p, v16 a) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, a.q[i]);
}
V16_FN void v16_store_8(float *p, v16 a) {
    for (int i = 0; i < 2; i++) vst1q_f32(p + 4 * i, a.q[i]);
}
V16_FN void v16_store_n(float *p, v16 a, int64_t n) {
    float x[16];
    v16_store(x, a);
    for (int64_t i = 0; i < n; i++) p[i] = x[i];
}
V16_FN v16 v16_set1(float a) { V16_QUADS(v16, vdupq_n_f32(a)) }
V16_FN v16 v16_zero(void) { return v16_set1(0.0f); }
V16_FN w16 w16_load(const int32_t *p) { V16_QUADS(w16, vld1q_s32(p + 4 * i)) }
V16_FN void w16_store(int32_t *p, w16 a) {
    for (int i = 0; i < 4; i++) vst1q_s32(p + 4 * i, a.q[i]);
}
V16_FN w16 w16_set1(int32_t a) { V16_QUADS(w16, vdupq_n_s32(a)) }

V16_FN v16 v16_add(v16 a, v16 b) { V16_QUADS(v16, vaddq_f32(a.q[i], b.q[i])) }
V16_FN v16 v16_sub(v16 a, v16 b) { V16_QUADS(v16, vsubq_f32(a.q[i], b.q[i])) }
V16_FN v16 v16_mul(v16 a, v16 b) { V16_QUADS(v16, vmulq_f32(a.q[i], b.q[i])) }
V16_FN v16 v16_div(v16 a, v16 b) { V16_QUADS(v16, vdivq_f32(a.q[i], b.q[i])) }
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) { V16_QUADS(v16, vfmaq_f32(c.q[i], a.q[i], b.q[i])) }
V16_FN v16 v16_sqrt(v16 a) { V16_QUADS(v16, vsqrtq_f32(a.q[i])) }
V16_FN v16 v16_abs(v16 a) { V16_QUADS(v16, vabsq_f32(a.q[i])) }
V16_FN v16 v16_neg(v16 a) { V16_QUADS(v16, vnegq_f32(a.q[i])) }
V16_FN v16 v16_copysign(v16 a, v16 sign) { V16_QUADS(v16, vbslq_f32(vdupq_n_u32(0x80000000u), sign.q[i], a.q[i])) }
V16_FN v16 v16_max(v16 a, v16 b) { V16_QUADS(v16, vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])) }
V16_FN v16 v16_min(v16 a, v16 b) { V16_QUADS(v16, vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])) }

/* fmax and fmin see to NaN and do not change what was selected. */
V16_FN v16 v16_nan_max(v16 a, v16 b) { V16_QUADS(v16, vmaxq_f32(vbslq_f32(vcgeq_f32(b.q[i], a.q[i]), b.q[i], a.q[i]), b.q[i])) }
V16_FN v16 v16_nan_min(v16 a, v16 b) { V16_QUADS(v16, vminq_f32(vbslq_f32(vcleq_f32(b.q[i], a.q[i]), b.q[i], a.q[i]), b.q[i])) }

/* fmin keeps NaN and, under any high but -0, zeros; fmax would make -0 a +0. */
V16_FN v16 v16_between(v16 x, v16 low, v16 high) {
    V16_QUADS(v16, vminq_f32(high.q[i], vbslq_f32(vcgtq_f32(low.q[i], x.q[i]), low.q[i], x.q[i])))
}

V16_FN v16 v16_round(v16 a) { V16_QUADS(v16, vrndnq_f32(a.q[i])) }
V16_FN v16 v16_floor(v16 a) { V16_QUADS(v16, vrndmq_f32(a.q[i])) }
V16_FN v16 v16_ceil(v16 a) { V16_QUADS(v16, vrndpq_f32(a.q[i])) }
V16_FN v16 v16_trunc(v16 a) { V16_QUADS(v16, vrndq_f32(a.q[i])) }

V16_FN m16 v16_lt(v16 a, v16 b) { V16_QUADS(m16, vcltq_f32(a.q[i], b.q[i])) }
V16_FN m16 v16_le(v16 a, v16 b) { V16_QUADS(m16, vcleq_f32(a.q[i], b.q[i])) }
V16_FN m16 v16_eq(v16 a, v16 b) { V16_QUADS(m16, vceqq_f32(a.q[i], b.q[i])) }
V16_FN m16 v16_ne(v16 a, v16 b) { V16_QUADS(m16, vmvnq_u32(vceqq_f32(a.q[i], b.q[i]))) }
V16_FN m16 m16_and(m16 a, m16 b) { V16_QUADS(m16, vandq_u32(a.q[i], b.q[i])) }
V16_FN m16 m16_or(m16 a, m16 b) { V16_QUADS(m16, vorrq_u32(a.q[i], b.q[i])) }
V16_FN m16 m16_not(m16 a) { V16_QUADS(m16, vmvnq_u32(a.q[i])) }
V16_FN int m16_any(m16 a) { return vmaxvq_u32(vorrq_u32(vorrq_u32(a.q[0], a.q[1]), vorrq_u32(a.q[2], a.q[3]))) != 0; }
V16_FN v16 v16_select(m16 m, v16 a, v16 b) { V16_QUADS(v16, vbslq_f32(m.q[i], a.q[i], b.q[i])) }

V16_FN w16 w16_from_v16(v16 a) { V16_QUADS(w16, vcvtq_s32_f32(a.q[i])) }
V16_FN v16 v16_from_w16(w16 a) { V16_QUADS(v16, vcvtq_f32_s32(a.q[i])) }
V16_FN w16 w16_bits(v16 a) { V16_QUADS(w16, vreinterpretq_s32_f32(a.q[i])) }
V16_FN v16 v16_bits(w16 a) { V16_QUADS(v16, vreinterpretq_f32_s32(a.q[i])) }
V16_FN w16 w16_add(w16 a, w16 b) { V16_QUADS(w16, vaddq_s32(a.q[i], b.q[i])) }
V16_FN w16 w16_sub(w16 a, w16 b) { V16_QUADS(w16, vsubq_s32(a.q[i], b.q[i])) }
V16_FN w16 w16_and(w16 a, w16 b) { V16_QUADS(w16, vandq_s32(a.q[i], b.q[i])) }
V16_FN w16 w16_or(w16 a, w16 b) { V16_QUADS(w16, vorrq_s32(a.q[i], b.q[i])) }
V16_FN w16 w16_shl(w16 a, int n) { V16_QUADS(w16, vshlq_s32(a.q[i], vdupq_n_s32(n))) }
V16_FN w16 w16_shr(w16 a, int n) { V16_QUADS(w16, vshlq_s32(a.q[i], vdupq_n_s32(-n))) }
