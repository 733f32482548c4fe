/* dwconv_body.h: see dwconv.h. */
#include "../simd/each.h"
#include "../simd/v16.h"
#include "dwconv.h"

#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 20")
#endif

/* A block is PIXELS pixels of LANES channels. BY_COLUMNS: 32 registers hold their accumulators, the weights of a kernel row and a column.
 */
#if defined(ASYMO_VEC_AVX512)
#define BY_COLUMNS
enum { PIXELS = 8, LANES = 16, WALKS = 0 };
#elif defined(ASYMO_VEC_NEON)
#define BY_COLUMNS
enum { PIXELS = 8, LANES = 8, WALKS = 1 };
#else
enum { PIXELS = 4, LANES = 16 };
#endif
enum { MOST_TAPS = 7 }; /* of a row, where they are a constant */

/* What is constant in a pass: it sums the taps [first, last) of its pixels, which are all inside the image. stride is a constant and
 * dilation 1, or stride is 0. edge: then columns may lie outside the image, and the row may end before the last pixel. */
typedef struct {
    int pixels, stride, edge;
    int64_t first, last;
} pass_shape;

/* n <= LANES, a constant where it is LANES. */
V16_FN v16 load(const float *p, int64_t n) {
    if (n == LANES) return LANES == 16 ? v16_load(p) : v16_load_8(p);
    if (LANES == 16) return v16_load_n(p, n);
    float few[8] = {0};
    for (int64_t i = 0; i < n; i++) few[i] = p[i];
    return v16_load_8(few);
}
V16_FN void store(float *p, v16 a, int64_t n) {
    if (n == 16)
        v16_store(p, a);
    else if (n == 8)
        v16_store_8(p, a);
    else
        v16_store_n(p, a, n);
}

#ifdef BY_COLUMNS
/* p + step. On NEON the next load waits for it, and it for sum, or so the compiler is told: it would begin with all loads and all
 * distances, for which there are not enough registers. */
V16_FN const float *next(const float *p, int64_t step, v16 *sum) {
    p += step;
#if defined(ASYMO_VEC_NEON)
    __asm__("" : "+r"(p), "+w"(sum->q[1]));
#else
    (void)sum;
#endif
    return p;
}

/* acc += the sums of n channels from c on, column by column: a column is loaded once, for all pixels that see it. */
V16_FN void sum_columns(const asymo_dwconv_row *s, pass_shape shape, v16 *acc, int64_t i, int64_t c, int64_t n) {
    const int taps = (int)shape.last, stride = shape.stride;
    const int64_t first = s->origin + i * stride;
    const float *x = s->x, *w = s->w + c;
    for (int64_t h = 0; h < s->rows; h++, x += s->x_row, w += s->w_row) {
        v16 weight[MOST_TAPS];
        UNROLLED for (int k = 0; k < taps; k++) weight[k] = load(w + k * s->w_tap, n);
        const float *column = WALKS ? x + (first * s->x_column + c) : NULL;
        UNROLLED for (int j = 0; j < (PIXELS - 1) * stride + taps; j++) {
            if (!shape.edge || (uint64_t)(first + j) < (uint64_t)s->columns) {
                const v16 cell = load(WALKS ? column : x + ((first + j) * s->x_column + c), n);
                UNROLLED for (int k = taps - 1; k >= 0; k--) {
                    const int p = (j - k) / stride;
                    if (j >= k && p < PIXELS && p * stride + k == j) acc[p] = v16_fma(cell, weight[k], acc[p]);
                }
            }
            if (WALKS) column = next(column, s->x_column, &acc[ASYMO_MIN(j / stride, PIXELS - 1)]);
        }
    }
}

#endif

/* The same tap by tap, of any stride and dilation. */
V16_FN void sum_taps(const asymo_dwconv_row *s, pass_shape shape, v16 *acc, int64_t i, int64_t c, int64_t n) {
    const int64_t stride = shape.stride ? shape.stride : s->stride, dilation = shape.stride ? 1 : s->dilation;
    const int64_t taps = shape.last - shape.first, first = s->origin + i * stride + shape.first * dilation;
    const float *x = s->x + (first * s->x_column + c), *w = s->w + (shape.first * s->w_tap + c);
    for (int64_t h = 0; h < s->rows; h++, x += s->x_row, w += s->w_row) _Pragma("GCC unroll 7") for (int64_t k = 0; k < taps; k++) {
            const v16 weight = load(w + k * s->w_tap, n);
            EACH(p, shape.pixels) { acc[p] = v16_fma(load(x + (p * stride + k * dilation) * s->x_column, n), weight, acc[p]); }
        }
}

/* n channels from c on of pixels [i, i + count), to y[p ld]. Called with constants, so that the accumulators live in registers. */
V16_FN void block(const asymo_dwconv_row *s, pass_shape shape, int64_t i, int64_t count, int64_t c, int64_t n, float *y, int64_t ld) {
    const v16 start = s->bias == NULL ? v16_zero() : load(s->bias + c, n), lo = v16_set1(s->end.lo), hi = v16_set1(s->end.hi);
    v16 acc[PIXELS];
    EACH(p, shape.pixels) acc[p] = start;
#ifdef BY_COLUMNS
    if (shape.stride)
        sum_columns(s, shape, acc, i, c, n);
    else
#endif
        sum_taps(s, shape, acc, i, c, n);
    const float *r = s->r == NULL ? NULL : s->r + (i * s->r_pixel + c);
    const int64_t r_pixel = s->r_pixel;
    EACH(p, shape.pixels) {
        if (shape.edge && p == count) break;
        if (r != NULL) acc[p] = v16_add(acc[p], load(r + p * r_pixel, n));
        store(y, v16_between(acc[p], lo, hi), n);
        y += ld;
    }
}

/* Pixels [i, i + count), straight to y, or some channels at a time to the stack and from there to y. The last LANES channels are a block
 * of their own, some of which the block before has done, unless y may be r. */
V16_FN void pass(const asymo_dwconv_row *s, pass_shape shape, int64_t i, int64_t count) {
    enum { STAGE = 1024 };
    float stage[STAGE] __attribute__((aligned(64)));
    const asymo_epilogue *end = &s->end;
    const pass_shape rest = {shape.pixels, shape.stride, LANES == 16 ? shape.edge : shape.stride != 0, shape.first, shape.last};
    const int64_t step = end->apply == NULL ? s->channels : STAGE / shape.pixels;
    for (int64_t first = 0; first < s->channels; first += step) {
        const int64_t last = ASYMO_MIN(first + step, s->channels);
        float *y = s->y + i * s->y_pixel + first, *to = end->apply == NULL ? y : stage;
        const int64_t ld = end->apply == NULL ? s->y_pixel : last - first;
        for (int64_t c = first; c < last; c += LANES) {
            if (c + LANES > last) {
                if (s->r != NULL || last - first < LANES) {
                    block(s, rest, i, count, c, last - c, to + (c - first), ld);
                    break;
                }
                c = last - LANES;
            }
            block(s, shape, i, count, c, LANES, to + (c - first), ld);
        }
        if (end->apply != NULL)
            end->apply(end->act, count, last - first, stage, ld, y, s->y_pixel, end->slope ? end->slope + first : NULL, end->p, end->q);
    }
}

/* A single channel: lane l of vector v is pixel i + 16 v + l, n <= 16 `vectors` pixels. The elements under some taps are first dealt to
 * their phases, so that neighbours in a phase are neighbouring pixels: with ratio 2
 *
 *     x            0 1 2 3 4 5 6 7 ...        tap 2 d + q of pixels i, i + 1, ... is phase[q][d], phase[q][d + 1], ...
 *     phase[0]     0   2   4   6
 *     phase[1]       1   3   5   7 */
enum { MOST_RATIO = 4, DEPTH = 128, FEWEST_PIXELS = 16 };
#if defined(ASYMO_VEC_AVX512)
enum { VECTORS = 8 };
#else
enum { VECTORS = 4 };
#endif

V16_FN void deal(const float *x, int64_t step, int64_t count, int64_t width, float *phase) {
    for (int64_t j = 0; j < count; j++) phase[j] = x[j * step];
    for (int64_t j = count; j < width; j++) phase[j] = 0.0f;
}

V16_FN void line_block(const asymo_dwconv_row *s, int vectors, int64_t ratio, int64_t i, int64_t n) {
    const int64_t step = s->stride * s->x_column, tap = s->dilation * s->x_column, at = s->origin * s->x_column;
    float phase[MOST_RATIO][VECTORS * 16 + DEPTH], line[VECTORS * 16];
    v16 acc[VECTORS];
    _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++) acc[v] = v16_set1(s->bias == NULL ? 0.0f : *s->bias);
    for (int64_t h = 0; h < s->rows; h++) {
        for (int64_t k = 0; k < s->taps; k += ratio * DEPTH) {
            const float *x = s->x + (h * s->x_row + at + i * step + k * tap), *w = s->w + h * s->w_row + k * s->w_tap;
            const int64_t taps = ASYMO_MIN(s->taps - k, ratio * DEPTH), depth = asymo_ceil_div(taps, ratio);
            for (int64_t q = 0; q < ASYMO_MIN(ratio, taps); q++)
                deal(x + q * tap, step, n + asymo_ceil_div(taps - q, ratio) - 1, 16 * vectors + depth - 1, phase[q]);
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

V16_FN void line_of(const asymo_dwconv_row *s, int64_t ratio, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 16 * VECTORS) {
        const int64_t n = ASYMO_MIN(end - i, 16 * VECTORS);
        if (n > 64)
            line_block(s, VECTORS, ratio, i, n);
        else if (n > 32)
            line_block(s, 4, ratio, i, n);
        else if (n > 16)
            line_block(s, 2, ratio, i, n);
        else
            line_block(s, 1, ratio, i, n);
    }
}

/* stride / dilation where it is a whole number of phases that line_block can hold, else 0. */
static int64_t phases_of(const asymo_dwconv_row *s) {
    const int64_t ratio = s->stride / s->dilation;
    return ratio >= 1 && ratio <= MOST_RATIO && ratio * s->dilation == s->stride ? ratio : 0;
}

/* A pixel with the taps that it has inside the image. */
static __attribute__((noinline)) void lone_pixel(const asymo_dwconv_row *s, int64_t i) {
    const int64_t at = s->origin + i * s->stride, room = s->columns - at;
    const int64_t first = at < 0 ? ASYMO_MIN(asymo_ceil_div(-at, s->dilation), s->taps) : 0;
    const int64_t last = room > 0 ? ASYMO_MIN(asymo_ceil_div(room, s->dilation), s->taps) : 0;
    pass(s, (pass_shape){1, 0, 0, first, ASYMO_MAX(first, last)}, i, 1);
}

/* A row by pixels that have the same taps inside the image: those at its borders one by one, those between, [left, right), together.
 * stride: as in pass_shape; taps is a constant with it. */
V16_FN void row_by_taps(const asymo_dwconv_row *s, int64_t taps, int stride) {
    const int64_t room = s->columns - 1 - (taps - 1) * s->dilation - s->origin;
    const int64_t left = s->origin < 0 ? ASYMO_MIN(asymo_ceil_div(-s->origin, s->stride), s->pixels) : 0;
    const int64_t right = ASYMO_MAX(left, room < 0 ? 0 : ASYMO_MIN(room / s->stride + 1, s->pixels));
    int64_t i = 0;
    for (; i < left; i++) lone_pixel(s, i);
    if (stride == 0 && s->channels == 1 && right - left >= FEWEST_PIXELS && phases_of(s)) {
        line_of(s, phases_of(s), left, right);
        i = right;
    }
    for (; i + PIXELS <= right; i += PIXELS) pass(s, (pass_shape){PIXELS, stride, 0, 0, taps}, i, PIXELS);
    for (; i + 2 <= right; i += 2) pass(s, (pass_shape){2, stride, 0, 0, taps}, i, 2);
    for (; i < s->pixels; i++) lone_pixel(s, i);
}

#ifdef BY_COLUMNS
/* A row whose dilation is 1, taps and stride constants: blocks at its ends leave out the columns outside the image. */
V16_FN void row_of(const asymo_dwconv_row *s, int taps, int stride) {
    for (int64_t i = 0; i < s->pixels; i += PIXELS) {
        const int64_t first = s->origin + i * stride, count = ASYMO_MIN(s->pixels - i, PIXELS);
        if (first >= 0 && first + (PIXELS - 1) * stride + taps <= s->columns && count == PIXELS)
            pass(s, (pass_shape){PIXELS, stride, 0, 0, taps}, i, PIXELS);
        else
            pass(s, (pass_shape){PIXELS, stride, 1, 0, taps}, i, count);
    }
}
#else
V16_FN void row_of(const asymo_dwconv_row *s, int taps, int stride) { row_by_taps(s, taps, stride); }
#endif

void ASYMO_NAME(asymo_dwconv_pixels)(const asymo_dwconv_row *s) {
    const int64_t stride = s->dilation == 1 && s->channels > 1 ? s->stride : 0;
    if (s->taps == 3 && stride == 1)
        row_of(s, 3, 1);
    else if (s->taps == 3 && stride == 2)
        row_of(s, 3, 2);
    else if (s->taps == 5 && stride == 1)
        row_of(s, 5, 1);
    else if (s->taps == 5 && stride == 2)
        row_of(s, 5, 2);
    else if (s->taps == 7 && stride == 1)
        row_of(s, 7, 1);
    else
        row_by_taps(s, s->taps, 0);
}
