/* f32_avx512.c: 14 x 32: 28 accumulators, 2 registers of B, 1 of A; one is free. */
#include <immintrin.h>

enum { MR = 14, LANES = 16, NR = 32 };
#define KERNEL asymo_f32_gemm_ukr_14x32k1__avx512
#define EACH_M(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14)
#define WIDE(M) (M <= 2 ? 4 : M <= 3 ? 2 : 1)

typedef __m512 vec;

static inline __mmask16 first(long n) { return (__mmask16)(n >= LANES ? 0xffff : n <= 0 ? 0 : (1 << n) - 1); }
static inline vec set0(void) { return _mm512_setzero_ps(); }
static inline vec set1(float x) { return _mm512_set1_ps(x); }
static inline vec load(const float *p) { return _mm512_loadu_ps(p); }
static inline vec load_n(const float *p, long n) { return _mm512_maskz_loadu_ps(first(n), p); }
static inline void store_n(float *p, vec x, long n) { _mm512_mask_storeu_ps(p, first(n), x); }
static inline vec add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec fmadd(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec max(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline vec min(vec a, vec b) { return _mm512_min_ps(a, b); }

typedef __m256 half;

static inline half half_of(vec x) { return _mm512_castps512_ps256(x); }
static inline half half_set0(void) { return _mm256_setzero_ps(); }
static inline half half_set1(float x) { return _mm256_set1_ps(x); }
static inline half half_load_n(const float *p, long n) {
    return n >= 8 ? _mm256_loadu_ps(p) : _mm256_maskz_loadu_ps((__mmask8)first(n), p);
}
static inline void half_store_n(float *p, half x, long n) { _mm256_mask_storeu_ps(p, n >= 8 ? 0xff : (__mmask8)first(n), x); }
static inline half half_add(half a, half b) { return _mm256_add_ps(a, b); }
static inline half half_fmadd(half a, half b, half c) { return _mm256_fmadd_ps(a, b, c); }
static inline half half_max(half a, half b) { return _mm256_max_ps(a, b); }
static inline half half_min(half a, half b) { return _mm256_min_ps(a, b); }

#include "broadcast_body.h"
