/* dwconv_body.h: see dwconv.h. */
#include "../simd/v16.h"
#include "dwconv.h"

/* Pixels of a pass: their accumulators, the columns of one kernel row and its weights fill the registers. */
#if defined(ASYMO_VEC_AVX512)
enum { WIDEST = 8 };
#else
enum { WIDEST = 4 };
#endif

/* n channels from c on, of `pixels` pixels from i on, to y[p ld]. Called with constants, so that the accumulators live in registers. taps
 * is a constant where the shape is common; then ratio is x_step / x_tap and neighbours share the columns they load. Else ratio is 0. */
V16_FN void block(const asymo_dwconv_span *s, int pixels, int64_t taps, int64_t ratio, int64_t i, int64_t c, int64_t n, float *y,
                  int64_t ld) {
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
    const v16 lo = v16_set1(s->end.lo), hi = v16_set1(s->end.hi);
    _Pragma("GCC unroll 8") for (int p = 0; p < pixels; p++) {
        if (s->r != NULL) {
            const float *r = s->r + (i + p) * s->r_pixel + c;
            acc[p] = v16_add(acc[p], v16_load_most(r, n));
        }
        const v16 bounded = v16_min(hi, v16_max(lo, acc[p]));
        v16_store_most(y + p * ld, bounded, n);
    }
}

/* Straight to y, or some channels at a time to the stack and from there to y. */
V16_FN void pass(const asymo_dwconv_span *s, int pixels, int64_t taps, int64_t ratio, int64_t i) {
    enum { STAGE = 1024 };
    float stage[STAGE] __attribute__((aligned(64)));
    const asymo_epilogue *end = &s->end;
    const int64_t step = end->apply == NULL ? s->channels : STAGE / pixels;
    for (int64_t first = 0; first < s->channels; first += step) {
        const int64_t last = ASYMO_MIN(first + step, s->channels);
        float *y = s->y + i * s->y_pixel + first, *to = end->apply == NULL ? y : stage;
        const int64_t ld = end->apply == NULL ? s->y_pixel : last - first;
        int64_t c = first;
        for (; c + 16 <= last; c += 16) block(s, pixels, taps, ratio, i, c, 16, to + (c - first), ld);
        if (c < last) block(s, pixels, taps, ratio, i, c, last - c, to + (c - first), ld);
        if (end->apply != NULL)
            end->apply(end->act, pixels, last - first, stage, ld, y, s->y_pixel, end->slope ? end->slope + first : NULL, end->p, end->q);
    }
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
