/* attention_body.h: see attention.h. Include v16.h first. */
#include <math.h>
#include <string.h>

#include "../reduce/lanes.h"
#include "../simd/v16_math.h"
#include "attention.h"

V16_FN v16 masked(v16 scale, v16 x, const float *mask, int64_t n) {
    return mask ? v16_fma(scale, x, v16_load_most(mask, n)) : v16_mul(scale, x);
}

V16_FN float weights_row(int64_t n, v16 scale, const float *mask, int64_t idle, float *x) {
    const int64_t whole = n & ~(int64_t)15, rest = n & 15;
    v16 top = v16_set1(-INFINITY), sum = v16_zero();
    for (int64_t j = 0; j < whole; j += 16) {
        const v16 z = masked(scale, v16_load(x + j), mask ? mask + j : NULL, 16);
        v16_store(x + j, z);
        top = v16_nan_max(top, z);
    }
    if (rest) {
        const v16 z = masked(scale, v16_load_n(x + whole, rest), mask ? mask + whole : NULL, rest);
        v16_store_n(x + whole, z, rest);
        top = v16_select(m16_first(rest), v16_nan_max(top, z), top);
    }
    const float most = v16_reduce_max(top);
    if (idle && most == -INFINITY) {
        memset(x, 0, (size_t)n * sizeof *x);
        return 1.0f;
    }
    top = v16_set1(most);

    for (int64_t j = 0; j < whole; j += 16) {
        const v16 e = v16_exp_falling(v16_sub(v16_load(x + j), top));
        v16_store(x + j, e);
        sum = v16_add(sum, e);
    }
    if (rest) {
        const v16 e = v16_exp_falling(v16_sub(v16_load_n(x + whole, rest), top));
        v16_store_n(x + whole, e, rest);
        sum = v16_select(m16_first(rest), v16_add(sum, e), sum);
    }
    return v16_reduce_add(sum);
}

void ASYMO_NAME(asymo_attention_weights)(int64_t rows, int64_t n, float scale, const float *mask, int64_t mask_row, int64_t idle, float *x,
                                         int64_t ld, float *sum) {
    for (int64_t i = 0; i < rows; i++) sum[i] = weights_row(n, v16_set1(scale), mask ? mask + i * mask_row : NULL, idle, x + i * ld);
}

void ASYMO_NAME(asymo_attention_quotients)(int64_t rows, int64_t n, const float *x, int64_t ld, const float *sum, float *y, int64_t y_row) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j += 16) {
            const int64_t columns = ASYMO_MIN(16, n - j);
            v16_store_most(y + i * y_row + j, v16_div(v16_load_most(x + i * ld + j, columns), v16_set1(sum[i])), columns);
        }
}
