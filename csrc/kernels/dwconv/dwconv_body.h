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

/* A single channel: lane l of vector v is pixel i + 16 v + l, n <= 16 `vectors` pixels. The elements under some taps are first dealt to
 * their phases, so that neighbours in a phase are neighbouring pixels: with ratio 2
 *
 *     x            0 1 2 3 4 5 6 7 ...        tap 2 d + q of pixels i, i + 1, ... is phase[q][d], phase[q][d + 1], ...
 *     phase[0]     0   2   4   6
 *     phase[1]       1   3   5   7 */
enum { MOST_RATIO = 4, DEPTH = 128, FEWEST_PIXELS = 16 };

V16_FN void deal(const float *x, int64_t step, int64_t count, int64_t width, float *phase) {
    for (int64_t j = 0; j < count; j++) phase[j] = x[j * step];
    for (int64_t j = count; j < width; j++) phase[j] = 0.0f;
}

V16_FN void line_block(const asymo_dwconv_span *s, int vectors, int64_t ratio, int64_t i, int64_t n) {
    float phase[MOST_RATIO][WIDEST * 16 + DEPTH], line[WIDEST * 16];
    v16 acc[WIDEST];
    _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++) acc[v] = v16_set1(s->bias == NULL ? 0.0f : *s->bias);
    for (int64_t h = 0; h < s->rows; h++) {
        for (int64_t k = 0; k < s->taps; k += ratio * DEPTH) {
            const float *x = s->x + h * s->x_row + i * s->x_step + k * s->x_tap, *w = s->w + h * s->w_row + k * s->w_tap;
            const int64_t taps = ASYMO_MIN(s->taps - k, ratio * DEPTH), depth = asymo_ceil_div(taps, ratio);
            for (int64_t q = 0; q < ASYMO_MIN(ratio, taps); q++)
                deal(x + q * s->x_tap, s->x_step, n + asymo_ceil_div(taps - q, ratio) - 1, 16 * vectors + depth - 1, phase[q]);
            for (int64_t d = 0; d < depth; d++)
                for (int64_t q = 0; q < ASYMO_MIN(ratio, taps - d * ratio); q++, w += s->w_tap) {
                    const v16 weight = v16_set1(*w);
                    _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++) {
                        acc[v] = v16_fma(v16_load(phase[q] + d + 16 * v), weight, acc[v]);
                    }
                }
        }
    }
    _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++) v16_store(line + 16 * v, acc[v]);
    if (s->r != NULL)
        for (int64_t p = 0; p < n; p++) line[p] += s->r[(i + p) * s->r_pixel];
    if (s->end.apply != NULL) asymo_epilogue_tile(&s->end, line, n, 1, 1, 0);
    for (int64_t p = 0; p < n; p++) {
        const float above = s->end.lo > line[p] ? s->end.lo : line[p];
        s->y[(i + p) * s->y_pixel] = s->end.hi < above ? s->end.hi : above;
    }
}

V16_FN void line_of(const asymo_dwconv_span *s, int64_t ratio) {
    for (int64_t i = 0; i < s->pixels; i += 16 * WIDEST) {
        const int64_t n = ASYMO_MIN(s->pixels - i, 16 * WIDEST);
        if (n > 64)
            line_block(s, WIDEST, ratio, i, n);
        else if (n > 32)
            line_block(s, 4, ratio, i, n);
        else if (n > 16)
            line_block(s, 2, ratio, i, n);
        else
            line_block(s, 1, ratio, i, n);
    }
}

/* x_step / x_tap where it is a whole number of phases that line_block can hold, else 0. */
static int64_t phases_of(const asymo_dwconv_span *s) {
    const int64_t ratio = s->x_tap == 0 ? 0 : s->x_step / s->x_tap;
    return ratio >= 1 && ratio <= MOST_RATIO && ratio * s->x_tap == s->x_step ? ratio : 0;
}

void ASYMO_NAME(asymo_dwconv_pixels)(const asymo_dwconv_span *s) {
    if (s->channels == 1 && s->pixels >= FEWEST_PIXELS && phases_of(s))
        line_of(s, phases_of(s));
    else if (s->taps == 3 && s->x_step == s->x_tap)
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
