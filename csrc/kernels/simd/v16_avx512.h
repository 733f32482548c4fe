/* v16_avx512.h: sixteen floats in one register. */
#pragma once

#include <immintrin.h>

typedef __m512 v16;
typedef __m512i w16;
typedef __mmask16 m16;

V16_FN __mmask16 v16_first(int64_t n) { return (__mmask16)((1u << n) - 1u); }
V16_FN v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
V16_FN v16 v16_load_8(const float *p) { return _mm512_zextps256_ps512(_mm256_loadu_ps(p)); }
V16_FN v16 v16_load_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(v16_first(n), p); }
V16_FN void v16_store(float *p, v16 a) { _mm512_storeu_ps(p, a); }
V16_FN void v16_store_8(float *p, v16 a) { _mm256_storeu_ps(p, _mm512_castps512_ps256(a)); }
V16_FN void v16_store_n(float *p, v16 a, int64_t n) { _mm512_mask_storeu_ps(p, v16_first(n), a); }
V16_FN v16 v16_set1(float a) { return _mm512_set1_ps(a); }
V16_FN v16 v16_zero(void) { return _mm512_setzero_ps(); }
V16_FN w16 w16_load(const int32_t *p) { return _mm512_loadu_si512(p); }
V16_FN void w16_store(int32_t *p, w16 a) { _mm512_storeu_si512(p, a); }
V16_FN w16 w16_set1(int32_t a) { return _mm512_set1_epi32(a); }

V16_FN v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
V16_FN v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
V16_FN v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
V16_FN v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
V16_FN v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
V16_FN v16 v16_abs(v16 a) { return _mm512_abs_ps(a); }
V16_FN v16 v16_neg(v16 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
V16_FN v16 v16_copysign(v16 a, v16 sign) {
    const __m512 bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, a), _mm512_and_ps(bit, sign));
}
V16_FN v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
V16_FN v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }

V16_FN v16 v16_round(v16 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
V16_FN v16 v16_floor(v16 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
V16_FN v16 v16_ceil(v16 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
V16_FN v16 v16_trunc(v16 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }

V16_FN m16 v16_lt(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
V16_FN m16 v16_le(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
V16_FN m16 v16_eq(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
V16_FN m16 v16_ne(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }
V16_FN m16 m16_and(m16 a, m16 b) { return (m16)(a & b); }
V16_FN m16 m16_or(m16 a, m16 b) { return (m16)(a | b); }
V16_FN m16 m16_not(m16 a) { return (m16)~a; }
V16_FN int m16_any(m16 a) { return a != 0; }
V16_FN v16 v16_select(m16 m, v16 a, v16 b) { return _mm512_mask_blend_ps(m, b, a); }
V16_FN v16 v16_nan_max(v16 a, v16 b) { return v16_select(v16_ne(a, a), a, v16_max(a, b)); }
V16_FN v16 v16_nan_min(v16 a, v16 b) { return v16_select(v16_ne(a, a), a, v16_min(a, b)); }
V16_FN v16 v16_between(v16 x, v16 low, v16 high) { return v16_min(high, v16_max(low, x)); }

V16_FN w16 w16_from_v16(v16 a) { return _mm512_cvttps_epi32(a); }
V16_FN v16 v16_from_w16(w16 a) { return _mm512_cvtepi32_ps(a); }
V16_FN w16 w16_bits(v16 a) { return _mm512_castps_si512(a); }
V16_FN v16 v16_bits(w16 a) { return _mm512_castsi512_ps(a); }
V16_FN w16 w16_add(w16 a, w16 b) { return _mm512_add_epi32(a, b); }
V16_FN w16 w16_sub(w16 a, w16 b) { return _mm512_sub_epi32(a, b); }
V16_FN w16 w16_and(w16 a, w16 b) { return _mm512_and_si512(a, b); }
V16_FN w16 w16_or(w16 a, w16 b) { return _mm512_or_si512(a, b); }
V16_FN w16 w16_shl(w16 a, int n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }
V16_FN w16 w16_shr(w16 a, int n) { return _mm512_sra_epi32(a, _mm_cvtsi32_si128(n)); }
