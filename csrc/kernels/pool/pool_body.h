/* pool_body.h: see pool.h. */
#include "../simd/v16.h"
#include "pool.h"

#include <math.h>

/* Runs STATEMENT for each cell, in order, with `cell` at its first channel of the block and i, j, k at its place in the window. */
#define EACH_CELL(WINDOW, C, STATEMENT)                                                                                                    \
    for (int64_t i = 0; i < (WINDOW)->cells[0]; i++)                                                                                       \
        for (int64_t j = 0; j < (WINDOW)->cells[1]; j++) {                                                                                 \
            const float *cell = (WINDOW)->x + i * (WINDOW)->step[0] + j * (WINDOW)->step[1] + (C);                                         \
            for (int64_t k = 0; k < (WINDOW)->cells[2]; k++, cell += (WINDOW)->step[2]) STATEMENT                                          \
        }

/* Calls BLOCK(..., c, n) for 16 channels at a time and once for the rest, or for the last 16, of which some are done already. */
#define EACH_BLOCK(CHANNELS, BLOCK, ...)                                                                                                   \
    do {                                                                                                                                   \
        int64_t c = 0;                                                                                                                     \
        for (; c + 16 <= (CHANNELS); c += 16) BLOCK(__VA_ARGS__, c, 16);                                                                   \
        if (c < (CHANNELS) && c > 0) BLOCK(__VA_ARGS__, (CHANNELS)-16, 16);                                                                \
        if (c < (CHANNELS) && c == 0) BLOCK(__VA_ARGS__, c, (CHANNELS)-c);                                                                 \
    } while (0)

V16_FN void max_block(const asymo_pool_window *w, float *y, int64_t c, int64_t n) {
    v16 acc = v16_set1(-INFINITY);
    EACH_CELL(w, c, { acc = v16_nan_max(acc, v16_load_most(cell, n)); })
    v16_store_most(y + c, acc, n);
}

V16_FN void max_index_block(const asymo_pool_window *w, const asymo_pool_positions *at, float *y, int64_t c, int64_t n) {
    const int is_empty = w->cells[0] == 0 || w->cells[1] == 0 || w->cells[2] == 0;
    v16 acc = v16_set1(-INFINITY), best = v16_bits(w16_set1((int32_t)at->first));
    EACH_CELL(w, c, {
        const v16 x = v16_load_most(cell, n);
        const v16 position = v16_bits(w16_set1((int32_t)(at->first + i * at->move[0] + j * at->move[1] + k * at->move[2])));
        const m16 is_first_nan = m16_and(v16_ne(x, x), v16_eq(acc, acc));
        const m16 is_better = m16_or(v16_lt(acc, x), is_first_nan);
        acc = v16_select(is_better, x, acc);
        best = v16_select(is_better, position, best);
    })
    v16_store_most(y + c, acc, n);
    int32_t position[16];
    w16_store(position, w16_bits(best));
    for (int64_t lane = 0; lane < n; lane++)
        at->index[c + lane] = is_empty ? -1 : at->base + (c + lane) * at->channel_step + position[lane];
}

V16_FN void average_block(const asymo_pool_window *w, float count, float *y, int64_t c, int64_t n) {
    v16 acc = v16_zero();
    EACH_CELL(w, c, { acc = v16_add(acc, v16_load_most(cell, n)); })
    v16_store_most(y + c, v16_div(acc, v16_set1(count)), n);
}

/* The p-th root of sum, p > 2, to the last bit or two of a double: Newton from above falls until rounding stops it. */
static float root(float sum, int64_t p) {
    if (!(sum > 0.0f) || sum > 3.4028234663852886e38f) return sum;
    int exponent;
    (void)frexp((double)sum, &exponent);
    const int64_t up = exponent > 0 ? (exponent + p - 1) / p : -(-exponent / p);
    double y = ldexp(1.0, (int)up);
    for (;;) {
        double power = 1.0;
        for (int64_t i = 1; i < p; i++) power *= y;
        const double next = y - (y - (double)sum / power) / (double)p;
        if (!(next < y)) return (float)y;
        y = next;
    }
}

V16_FN void lp_block(const asymo_pool_window *w, int64_t p, float *y, int64_t c, int64_t n) {
    v16 acc = v16_zero();
    EACH_CELL(w, c, {
        const v16 x = v16_abs(v16_load_most(cell, n));
        v16 power = x;
        for (int64_t t = 2; t < p; t++) power = v16_mul(power, x);
        acc = p == 1 ? v16_add(acc, x) : v16_fma(power, x, acc);
    })
    if (p == 2) acc = v16_sqrt(acc);
    if (p > 2) {
        float sum[16];
        v16_store(sum, acc);
        for (int64_t lane = 0; lane < n; lane++) sum[lane] = root(sum[lane], p);
        acc = v16_load(sum);
    }
    v16_store_most(y + c, acc, n);
}

void ASYMO_NAME(asymo_pool_max)(const asymo_pool_window *window, float *y) { EACH_BLOCK(window->channels, max_block, window, y); }

void ASYMO_NAME(asymo_pool_max_index)(const asymo_pool_window *window, const asymo_pool_positions *positions, float *y) {
    EACH_BLOCK(window->channels, max_index_block, window, positions, y);
}

void ASYMO_NAME(asymo_pool_average)(const asymo_pool_window *window, float count, float *y) {
    EACH_BLOCK(window->channels, average_block, window, count, y);
}

void ASYMO_NAME(asymo_pool_lp)(const asymo_pool_window *window, int64_t p, float *y) {
    EACH_BLOCK(window->channels, lp_block, window, p, y);
}
