/* f32_avx2.c: 6 x 16: 12 accumulators, 2 registers of B, 1 of A; one is free. */
#include <immintrin.h>

enum { MR = 6, LANES = 8, NR = 16 };
#define KERNEL asymo_f32_gemm_ukr_6x16k1__avx2
#define EACH_M(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6)
#define WIDE(M) (M <= 1 ? 4 : M <= 2 ? 2 : 1)

typedef __m256 vec;

static inline __m256i first(long n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n < 0 ? 0 : n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vec set0(void) { return _mm256_setzero_ps(); }
static inline vec set1(float x) { return _mm256_set1_ps(x); }
static inline vec load(const float *p) { return _mm256_loadu_ps(p); }
static inline vec load_n(const float *p, long n) { return n >= LANES ? load(p) : _mm256_maskload_ps(p, first(n)); }
static inline void store_n(float *p, vec x, long n) {
    if (n >= LANES)
        _mm256_storeu_ps(p, x);
    else
        _mm256_maskstore_ps(p, first(n), x);
}
static inline vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec fmadd(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline vec min(vec a, vec b) { return _mm256_min_ps(a, b); }

typedef __m128 half;

static inline half half_of(vec x) { return _mm256_castps256_ps128(x); }
static inline half half_set0(void) { return _mm_setzero_ps(); }
static inline half half_set1(float x) { return _mm_set1_ps(x); }
static inline half half_load_n(const float *p, long n) {
    return n >= 4 ? _mm_loadu_ps(p) : _mm_maskload_ps(p, _mm256_castsi256_si128(first(n)));
}
static inline void half_store_n(float *p, half x, long n) {
    if (n >= 4)
        _mm_storeu_ps(p, x);
    else
        _mm_maskstore_ps(p, _mm256_castsi256_si128(first(n)), x);
}
static inline half half_add(half a, half b) { return _mm_add_ps(a, b); }
static inline half half_fmadd(half a, half b, half c) { return _mm_fmadd_ps(a, b, c); }
static inline half half_max(half a, half b) { return _mm_max_ps(a, b); }
static inline half half_min(half a, half b) { return _mm_min_ps(a, b); }

#include "broadcast_body.h"
