/* winograd_body.h: see winograd.h. */
#include "../simd/v16.h"
#include "winograd.h"

#define UNROLL _Pragma("GCC unroll 6")

/* b = B' d for one line of T cells. */
V16_FN void input_line(int T, const v16 d[6], v16 b[6]) {
    if (T == 4) {
        b[0] = v16_sub(d[0], d[2]);
        b[1] = v16_add(d[1], d[2]);
        b[2] = v16_sub(d[2], d[1]);
        b[3] = v16_sub(d[1], d[3]);
        return;
    }
    const v16 p = v16_set1(0.75f), q = v16_set1(1.5f), minus_p2 = v16_set1(-0.5625f), minus_q2 = v16_set1(-2.25f);
    const v16 p2q2 = v16_set1(1.265625f), minus_sum = v16_set1(-2.8125f);
    const v16 even_p = v16_fma(minus_q2, d[2], d[4]), odd_p = v16_mul(p, v16_fma(minus_q2, d[1], d[3]));
    const v16 even_q = v16_fma(minus_p2, d[2], d[4]), odd_q = v16_mul(q, v16_fma(minus_p2, d[1], d[3]));
    b[0] = v16_fma(p2q2, d[0], v16_fma(minus_sum, d[2], d[4]));
    b[1] = v16_add(even_p, odd_p);
    b[2] = v16_sub(even_p, odd_p);
    b[3] = v16_add(even_q, odd_q);
    b[4] = v16_sub(even_q, odd_q);
    b[5] = v16_fma(p2q2, d[1], v16_fma(minus_sum, d[3], d[5]));
}

/* y = A' m for one line of T products. */
V16_FN void output_line(int tile, int T, const v16 m[6], v16 y[4]) {
    const v16 sum_p = v16_add(m[1], m[2]), difference_p = v16_sub(m[1], m[2]);
    if (T == 4) {
        y[0] = v16_add(m[0], sum_p);
        y[1] = v16_sub(difference_p, m[3]);
        return;
    }
    const v16 sum_q = v16_add(m[3], m[4]), difference_q = v16_sub(m[3], m[4]);
    const v16 p = v16_set1(0.75f), q = v16_set1(1.5f), p2 = v16_set1(0.5625f), q2 = v16_set1(2.25f);
    const v16 p3 = v16_set1(0.421875f), q3 = v16_set1(3.375f);
    y[0] = v16_add(v16_add(m[0], sum_p), sum_q);
    if (tile == 2) {
        y[1] = v16_fma(q, difference_q, v16_fma(p, difference_p, m[5]));
        return;
    }
    y[1] = v16_fma(q, difference_q, v16_mul(p, difference_p));
    y[2] = v16_fma(q2, sum_q, v16_mul(p2, sum_p));
    y[3] = v16_fma(q3, difference_q, v16_fma(p3, difference_p, m[5]));
}

V16_FN void input_block(const int T, const int is_whole, const asymo_winograd_patch *patch, int64_t c, int64_t n) {
    v16 half[6][6];
    UNROLL for (int j = 0; j < T; j++) {
        v16 d[6], b[6];
        UNROLL for (int i = 0; i < T; i++) {
            const int is_inside = is_whole || (i >= patch->top && i < patch->bottom && j >= patch->left && j < patch->right);
            d[i] = is_inside ? v16_load_most(patch->x + i * patch->row + j * patch->pixel + c, n) : v16_zero();
        }
        input_line(T, d, b);
        UNROLL for (int i = 0; i < T; i++) half[i][j] = b[i];
    }
    UNROLL for (int i = 0; i < T; i++) {
        v16 b[6];
        input_line(T, half[i], b);
        UNROLL for (int j = 0; j < T; j++) v16_store_most(patch->v + (i * T + j) * patch->v_step + c, b[j], n);
    }
}

V16_FN void input(const int T, const int is_whole, const asymo_winograd_patch *patch) {
    int64_t c = 0;
    for (; c + 16 <= patch->channels; c += 16) input_block(T, is_whole, patch, c, 16);
    if (c < patch->channels) input_block(T, is_whole, patch, c, patch->channels - c);
}

V16_FN void output_block(const int tile, const int T, const asymo_winograd_tile *out, int64_t c, int64_t n) {
    v16 half[4][6];
    UNROLL for (int j = 0; j < T; j++) {
        v16 m[6], y[4];
        UNROLL for (int i = 0; i < T; i++) m[i] = v16_load_most(out->m + (i * T + j) * out->m_step + c, n);
        output_line(tile, T, m, y);
        UNROLL for (int i = 0; i < tile; i++) half[i][j] = y[i];
    }
    const v16 bias = out->bias == NULL ? v16_zero() : v16_load_most(out->bias + c, n);
    const v16 lo = v16_set1(out->end.lo), hi = v16_set1(out->end.hi);
    for (int64_t i = 0; i < out->rows; i++) {
        v16 y[4];
        output_line(tile, T, half[i], y);
        UNROLL for (int j = 0; j < tile; j++) {
            if (j >= out->columns) break;
            v16 acc = v16_add(y[j], bias);
            if (out->r != NULL) acc = v16_add(acc, v16_load_most(out->r + i * out->r_row + j * out->r_pixel + c, n));
            v16_store_most(out->y + i * out->y_row + j * out->y_pixel + c, v16_between(acc, lo, hi), n);
        }
    }
}

V16_FN void output_blocks(const int tile, const int T, const asymo_winograd_tile *out) {
    int64_t c = 0;
    for (; c + 16 <= out->channels; c += 16) output_block(tile, T, out, c, 16);
    if (c < out->channels) output_block(tile, T, out, c, out->channels - c);
}

/* Straight to y, or some channels at a time to the stack and from there to y. */
V16_FN void output(const int tile, const int T, const asymo_winograd_tile *out) {
    enum { STAGE = 1024 };
    const asymo_epilogue *end = &out->end;
    float stage[STAGE] __attribute__((aligned(64)));
    const int64_t step = end->apply == NULL ? out->channels : STAGE / (tile * tile);
    asymo_winograd_tile part = *out;
    for (int64_t c = 0; c < out->channels; c += step) {
        part.m = out->m + c;
        part.channels = ASYMO_MIN(step, out->channels - c);
        if (out->bias != NULL) part.bias = out->bias + c;
        if (out->r != NULL) part.r = out->r + c;
        if (end->apply != NULL) {
            part.y = stage;
            part.y_pixel = part.channels;
            part.y_row = tile * part.y_pixel;
        }
        output_blocks(tile, T, &part);
        if (end->apply == NULL) continue;
        for (int64_t i = 0; i < out->rows; i++)
            end->apply(end->act, out->columns, part.channels, stage + i * part.y_row, part.y_pixel, out->y + i * out->y_row + c,
                       out->y_pixel, end->slope ? end->slope + c : NULL, end->p, end->q);
    }
}

void ASYMO_NAME(asymo_winograd_input)(int64_t T, const asymo_winograd_patch *patch) {
    const int is_whole = patch->top == 0 && patch->left == 0 && patch->bottom == T && patch->right == T;
    if (T == 4)
        is_whole ? input(4, 1, patch) : input(4, 0, patch);
    else
        is_whole ? input(6, 1, patch) : input(6, 0, patch);
}

void ASYMO_NAME(asymo_winograd_output)(int64_t tile, int64_t T, const asymo_winograd_tile *out) {
    if (T == 4)
        output(2, 4, out);
    else if (tile == 4)
        output(4, 6, out);
    else
        output(2, 6, out);
}
