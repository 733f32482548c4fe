/* dwconv_body.h: see dwconv.h. */
#include "../simd/v16.h"
#include "dwconv.h"

/* Pixels of a pass: their accumulators, the columns of one kernel row and its weights fill the registers. */
#if defined(ASYMO_VEC_AVX512)
enum { WIDEST = 8 };
#else
enum { WIDEST = 4 };
#endif

/* n channels from c on, of `pixels` pixels from i on. Called with constants, so that the accumulators live in registers. taps is a
 * constant where the shape is common; then ratio is x_step / x_tap and neighbours share the columns they load. Else ratio is 0. */
V16_FN void block(const asymo_dwconv_span *s, int pixels, int64_t taps, int64_t ratio, int64_t i, int64_t c, int64_t n) {
    const float *x = s->x + i * s->x_step + c, *w = s->w + c;
    const v16 start = s->bias == NULL ? v16_zero() : v16_load_n(s->bias + c, n);
    v16 acc[8];
    _Pragma("GCC unroll 8") for (int p = 0; p < pixels; p++) acc[p] = start;
    for (int64_t h = 0; h < s->rows; h++, x += s->x_row, w += s->w_row) _Pragma("GCC unroll 7") for (int64_t k = 0; k < taps; k++) {
            const float *weights = w + k * s->w_tap;
            const v16 weight = v16_load_most(weights, n);
            _Pragma("GCC unroll 8") for (int p = 0; p < pixels; p++) {
                const float *column = x + (ratio ? (p * ratio + k) * s->x_tap : p * s->x_step + k * s->x_tap);
                acc[p] = v16_fma(v16_load_most(column, n), weight, acc[p]);
            }
        }
    if (s->r != NULL) _Pragma("GCC unroll 8") for (int p = 0; p < pixels; p++) {
            const float *r = s->r + (i + p) * s->r_pixel + c;
            acc[p] = v16_add(acc[p], v16_load_most(r, n));
        }
    if (s->end.apply != NULL) {
        float staged[8 * 16] __attribute__((aligned(64)));
        _Pragma("GCC unroll 8") for (int p = 0; p < pixels; p++) v16_store(staged + 16 * p, acc[p]);
        asymo_epilogue_apply(&s->end, staged, pixels, n, 16, c);
        _Pragma("GCC unroll 8") for (int p = 0; p < pixels; p++) acc[p] = v16_load(staged + 16 * p);
    }
    const v16 lo = v16_set1(s->end.lo), hi = v16_set1(s->end.hi);
    _Pragma("GCC unroll 8") for (int p = 0; p < pixels; p++) {
        const v16 bounded = v16_min(hi, v16_max(lo, acc[p]));
        v16_store_most(s->y + (i + p) * s->y_pixel + c, bounded, n);
    }
}

V16_FN void pass(const asymo_dwconv_span *s, int pixels, int64_t taps, int64_t ratio, int64_t i) {
    int64_t c = 0;
    for (; c + 16 <= s->channels; c += 16) block(s, pixels, taps, ratio, i, c, 16);
    if (c < s->channels) block(s, pixels, taps, ratio, i, c, s->channels - c);
}

V16_FN void span_of(const asymo_dwconv_span *s, int64_t taps, int64_t ratio) {
    int64_t i = 0;
    for (; i + WIDEST <= s->pixels; i += WIDEST) pass(s, WIDEST, taps, ratio, i);
    if (WIDEST > 4 && i + 4 <= s->pixels) {
        pass(s, 4, taps, ratio, i);
        i += 4;
    }
    if (i + 2 <= s->pixels) {
        pass(s, 2, taps, ratio, i);
        i += 2;
    }
    if (i < s->pixels) pass(s, 1, taps, ratio, i);
}

void ASYMO_NAME(asymo_dwconv_pixels)(const asymo_dwconv_span *s) {
    if (s->taps == 3 && s->x_step == s->x_tap)
        span_of(s, 3, 1);
    else if (s->taps == 3 && s->x_step == 2 * s->x_tap)
        span_of(s, 3, 2);
    else if (s->taps == 5 && s->x_step == s->x_tap)
        span_of(s, 5, 1);
    else if (s->taps == 5 && s->x_step == 2 * s->x_tap)
        span_of(s, 5, 2);
    else if (s->taps == 7 && s->x_step == s->x_tap)
        span_of(s, 7, 1);
    else
        span_of(s, s->taps, 0);
}
