/* v8_neon.h: eight floats in two registers, for kernels that keep many vectors at once: NEON's 32 registers hold only eight v16.
 * The names and what they do are v16's. */
#pragma once

#include <arm_neon.h>

#include "each.h"

typedef struct {
    float32x4_t q[2];
} v8;

#define V8_QUADS(EXPR)                                                                                                                     \
    v8 r;                                                                                                                                  \
    EACH(i, 2) r.q[i] = (EXPR);                                                                                                            \
    return r;

V16_FN v8 v8_load(const float *p){V8_QUADS(vld1q_f32(p + 4 * i))} V16_FN v8 v8_load_n(const float *p, int64_t n) {
    float x[8] = {0};
    for (int64_t i = 0; i < n; i++) x[i] = p[i];
    return v8_load(x);
}
V16_FN void v8_store(float *p, v8 a) {
    for (int i = 0; i < 2; i++) vst1q_f32(p + 4 * i, a.q[i]);
}
V16_FN void v8_store_n(float *p, v8 a, int64_t n) {
    float x[8];
    v8_store(x, a);
    for (int64_t i = 0; i < n; i++) p[i] = x[i];
}
V16_FN v8 v8_load_most(const float *p, int64_t n) { return n == 8 ? v8_load(p) : v8_load_n(p, n); }
V16_FN void v8_store_most(float *p, v8 a, int64_t n) {
    if (n == 8)
        v8_store(p, a);
    else
        v8_store_n(p, a, n);
}
V16_FN v8 v8_set1(float a){V8_QUADS(vdupq_n_f32(a))} V16_FN v8 v8_zero(void) { return v8_set1(0.0f); }
V16_FN v8 v8_add(v8 a, v8 b){V8_QUADS(vaddq_f32(a.q[i], b.q[i]))} V16_FN v8
    v8_fma(v8 a, v8 b, v8 c){V8_QUADS(vfmaq_f32(c.q[i], a.q[i], b.q[i]))} V16_FN v8
    v8_max(v8 a, v8 b){V8_QUADS(vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]))} V16_FN v8 v8_min(v8 a, v8 b) {
    V8_QUADS(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]))
}
