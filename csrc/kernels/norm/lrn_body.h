/* lrn_body.h: local response normalisation. Include v16.h first.
 *
 * The squares of a row stand in scratch between zeros, so that a window is `size` unaligned loads:
 *
 *   scratch  0 .. 0 | x[0]^2 .. x[channels-1]^2 | 0 .. 0
 *           (size-1)/2                           to the end
 *
 * t^-beta is 1 / sqrt(t sqrt(t)) for beta = 0.75 (the usual one), else exp(-beta log(t)). */
#include "../simd/v16_math.h"
#include "../reduce/lanes.h"
#include "norm.h"

V16_FN v16 divided_by_power(v16 x, v16 t, float beta) {
    if (beta == 0.75f) return v16_div(x, v16_sqrt(v16_mul(t, v16_sqrt(t))));
    return v16_mul(x, v16_exp(v16_mul(v16_set1(-beta), v16_log(t))));
}

void ASYMO_NAME(asymo_lrn_rows)(int64_t rows, int64_t channels, int64_t size, float alpha, float beta, float bias, const float *x, float *y,
                                float *scratch) {
    float *square = scratch + (size - 1) / 2;
    const int64_t floats = asymo_lrn_scratch_floats(channels, size);
    for (int64_t i = 0; i < floats; i++) scratch[i] = 0.0f;
    for (int64_t r = 0; r < rows; r++, x += channels, y += channels) {
        for (int64_t c = 0; c < channels; c += 16) {
            const int64_t n = ASYMO_MIN(16, channels - c);
            const v16 a = column_load(x + c, 0, n);
            column_store(square + c, v16_mul(a, a), 0, n);
        }
        for (int64_t c = 0; c < channels; c += 16) {
            const int64_t n = ASYMO_MIN(16, channels - c);
            v16 sum = v16_zero();
            for (int64_t i = 0; i < size; i++) sum = v16_add(sum, v16_load(scratch + c + i));
            const v16 t = v16_fma(v16_set1(alpha / (float)size), sum, v16_set1(bias));
            column_store(y + c, divided_by_power(column_load(x + c, 0, n), t, beta), 0, n);
        }
    }
}
