/* v16_avx2.h: sixteen floats in two registers. */
#pragma once

#include <immintrin.h>

// clang-format off
typedef struct { __m256 lo, hi; } v16;
typedef struct { __m256i lo, hi; } w16;
typedef struct { __m256 lo, hi; } m16; /* all bits of a lane set, or none */
// clang-format on

/* Lane i is on when i < n; n may lie outside 0..8. */
V16_FN __m256i v8_first(int64_t n) {
    const int32_t limit = n < 0 ? 0 : n > 8 ? 8 : (int32_t)n;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
V16_FN v16 v16_load(const float *p) { return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
V16_FN v16 v16_load_8(const float *p) { return (v16){_mm256_loadu_ps(p), _mm256_setzero_ps()}; }
V16_FN v16 v16_load_n(const float *p, int64_t n) {
    return (v16){_mm256_maskload_ps(p, v8_first(n)), _mm256_maskload_ps(p + 8, v8_first(n - 8))};
}
V16_FN void v16_store(float *p, v16 a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
V16_FN void v16_store_8(float *p, v16 a) { _mm256_storeu_ps(p, a.lo); }
V16_FN void v16_store_n(float *p, v16 a, int64_t n) {
    _mm256_maskstore_ps(p, v8_first(n), a.lo);
    _mm256_maskstore_ps(p + 8, v8_first(n - 8), a.hi);
}
V16_FN v16 v16_set1(float a) { return (v16){_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
V16_FN v16 v16_zero(void) { return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
V16_FN w16 w16_load(const int32_t *p) {
    return (w16){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 8))};
}
V16_FN void w16_store(int32_t *p, w16 a) {
    _mm256_storeu_si256((__m256i *)p, a.lo);
    _mm256_storeu_si256((__m256i *)(p + 8), a.hi);
}
V16_FN w16 w16_set1(int32_t a) { return (w16){_mm256_set1_epi32(a), _mm256_set1_epi32(a)}; }

V16_FN v16 v16_add(v16 a, v16 b) { return (v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
V16_FN v16 v16_sub(v16 a, v16 b) { return (v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
V16_FN v16 v16_mul(v16 a, v16 b) { return (v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
V16_FN v16 v16_div(v16 a, v16 b) { return (v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) { return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
V16_FN v16 v16_sqrt(v16 a) { return (v16){_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
V16_FN v16 v16_abs(v16 a) { return (v16){_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.lo), _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.hi)}; }
V16_FN v16 v16_neg(v16 a) { return (v16){_mm256_xor_ps(_mm256_set1_ps(-0.0f), a.lo), _mm256_xor_ps(_mm256_set1_ps(-0.0f), a.hi)}; }
V16_FN __m256 v8_copysign(__m256 a, __m256 sign) {
    const __m256 bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, a), _mm256_and_ps(bit, sign));
}
V16_FN v16 v16_copysign(v16 a, v16 sign) { return (v16){v8_copysign(a.lo, sign.lo), v8_copysign(a.hi, sign.hi)}; }
V16_FN v16 v16_max(v16 a, v16 b) { return (v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
V16_FN v16 v16_min(v16 a, v16 b) { return (v16){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }

V16_FN v16 v16_round(v16 a) {
    return (v16){_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
V16_FN v16 v16_floor(v16 a) {
    return (v16){_mm256_round_ps(a.lo, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(a.hi, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}
V16_FN v16 v16_ceil(v16 a) {
    return (v16){_mm256_round_ps(a.lo, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(a.hi, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)};
}
V16_FN v16 v16_trunc(v16 a) {
    return (v16){_mm256_round_ps(a.lo, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(a.hi, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)};
}

V16_FN m16 v16_lt(v16 a, v16 b) { return (m16){_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)}; }
V16_FN m16 v16_le(v16 a, v16 b) { return (m16){_mm256_cmp_ps(a.lo, b.lo, _CMP_LE_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LE_OQ)}; }
V16_FN m16 v16_eq(v16 a, v16 b) { return (m16){_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)}; }
V16_FN m16 v16_ne(v16 a, v16 b) { return (m16){_mm256_cmp_ps(a.lo, b.lo, _CMP_NEQ_UQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_NEQ_UQ)}; }
V16_FN m16 m16_and(m16 a, m16 b) { return (m16){_mm256_and_ps(a.lo, b.lo), _mm256_and_ps(a.hi, b.hi)}; }
V16_FN m16 m16_or(m16 a, m16 b) { return (m16){_mm256_or_ps(a.lo, b.lo), _mm256_or_ps(a.hi, b.hi)}; }
V16_FN m16 m16_not(m16 a) {
    return (m16){_mm256_xor_ps(a.lo, _mm256_castsi256_ps(_mm256_set1_epi32(-1))),
                 _mm256_xor_ps(a.hi, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))};
}
V16_FN int m16_any(m16 a) { return _mm256_movemask_ps(_mm256_or_ps(a.lo, a.hi)) != 0; }
V16_FN v16 v16_select(m16 m, v16 a, v16 b) { return (v16){_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)}; }
V16_FN v16 v16_nan_max(v16 a, v16 b) { return v16_select(v16_ne(a, a), a, v16_max(a, b)); }
V16_FN v16 v16_nan_min(v16 a, v16 b) { return v16_select(v16_ne(a, a), a, v16_min(a, b)); }
V16_FN v16 v16_between(v16 x, v16 low, v16 high) { return v16_min(high, v16_max(low, x)); }

V16_FN w16 w16_from_v16(v16 a) { return (w16){_mm256_cvttps_epi32(a.lo), _mm256_cvttps_epi32(a.hi)}; }
V16_FN v16 v16_from_w16(w16 a) { return (v16){_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
V16_FN w16 w16_bits(v16 a) { return (w16){_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
V16_FN v16 v16_bits(w16 a) { return (v16){_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
V16_FN w16 w16_add(w16 a, w16 b) { return (w16){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
V16_FN w16 w16_sub(w16 a, w16 b) { return (w16){_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
V16_FN w16 w16_and(w16 a, w16 b) { return (w16){_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
V16_FN w16 w16_or(w16 a, w16 b) { return (w16){_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
V16_FN w16 w16_shl(w16 a, int n) {
    return (w16){_mm256_sll_epi32(a.lo, _mm_cvtsi32_si128(n)), _mm256_sll_epi32(a.hi, _mm_cvtsi32_si128(n))};
}
V16_FN w16 w16_shr(w16 a, int n) {
    return (w16){_mm256_sra_epi32(a.lo, _mm_cvtsi32_si128(n)), _mm256_sra_epi32(a.hi, _mm_cvtsi32_si128(n))};
}
