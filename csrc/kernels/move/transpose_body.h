/* transpose_body.h: asymo_transpose_4. Blocks of 16 x 16, so that a cache line of either side is used up while it is in L1; inside a block
 * squares of the register width:
 *
 *   AVX2, AVX-512  8 x 8: rows in eight registers, three rounds of exchange at distance 1, 2 (unpack) and 4 (permute2f128)
 *   NEON           4 x 4: trn at distance 1 and 2
 *   portable       element by element */
#include "transpose.h"

#include "../simd/v16.h"

#define MOVE_FN static inline __attribute__((always_inline))

#if defined(ASYMO_VEC_AVX2) || defined(ASYMO_VEC_AVX512)
enum { SQUARE = 8 };
MOVE_FN void transpose_square(const uint32_t *src, int64_t ld_src, uint32_t *dst, int64_t ld_dst) {
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps((const float *)(src + i * ld_src));
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i + 0] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps((float *)(dst + i * ld_dst), _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps((float *)(dst + (i + 4) * ld_dst), _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}
#elif defined(ASYMO_VEC_NEON)
enum { SQUARE = 4 };
MOVE_FN void transpose_square(const uint32_t *src, int64_t ld_src, uint32_t *dst, int64_t ld_dst) {
    const uint32x4x2_t a = vtrnq_u32(vld1q_u32(src), vld1q_u32(src + ld_src));
    const uint32x4x2_t b = vtrnq_u32(vld1q_u32(src + 2 * ld_src), vld1q_u32(src + 3 * ld_src));
    vst1q_u32(dst, vcombine_u32(vget_low_u32(a.val[0]), vget_low_u32(b.val[0])));
    vst1q_u32(dst + ld_dst, vcombine_u32(vget_low_u32(a.val[1]), vget_low_u32(b.val[1])));
    vst1q_u32(dst + 2 * ld_dst, vcombine_u32(vget_high_u32(a.val[0]), vget_high_u32(b.val[0])));
    vst1q_u32(dst + 3 * ld_dst, vcombine_u32(vget_high_u32(a.val[1]), vget_high_u32(b.val[1])));
}
#else
enum { SQUARE = 4 };
MOVE_FN void transpose_square(const uint32_t *src, int64_t ld_src, uint32_t *dst, int64_t ld_dst) {
    for (int j = 0; j < SQUARE; j++)
        for (int k = 0; k < SQUARE; k++) dst[j * ld_dst + k] = src[k * ld_src + j];
}
#endif

MOVE_FN void transpose_any(int64_t rows, int64_t cols, const uint32_t *src, int64_t ld_src, uint32_t *dst, int64_t ld_dst) {
    for (int64_t j = 0; j < rows; j++)
        for (int64_t k = 0; k < cols; k++) dst[j * ld_dst + k] = src[k * ld_src + j];
}

void ASYMO_NAME(asymo_transpose_4)(int64_t rows, int64_t cols, const uint32_t *src, int64_t ld_src, uint32_t *dst, int64_t ld_dst);
void ASYMO_NAME(asymo_transpose_4)(int64_t rows, int64_t cols, const uint32_t *src, int64_t ld_src, uint32_t *dst, int64_t ld_dst) {
    enum { BLOCK = 16 };
    for (int64_t j0 = 0; j0 < rows; j0 += BLOCK) {
        const int64_t nj = ASYMO_MIN(BLOCK, rows - j0);
        for (int64_t k0 = 0; k0 < cols; k0 += BLOCK) {
            const int64_t nk = ASYMO_MIN(BLOCK, cols - k0);
            int64_t j = 0;
            for (; j + SQUARE <= nj; j += SQUARE) {
                const uint32_t *s = src + k0 * ld_src + j0 + j;
                uint32_t *d = dst + (j0 + j) * ld_dst + k0;
                int64_t k = 0;
                for (; k + SQUARE <= nk; k += SQUARE) transpose_square(s + k * ld_src, ld_src, d + k, ld_dst);
                transpose_any(SQUARE, nk - k, s + k * ld_src, ld_src, d + k, ld_dst);
            }
            transpose_any(nj - j, nk, src + k0 * ld_src + j0 + j, ld_src, dst + (j0 + j) * ld_dst + k0, ld_dst);
        }
    }
}
