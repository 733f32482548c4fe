/* resample_body.h: a weighted sum of rows. Include v16.h first. */
#include <math.h>

#include "resample.h"

/* 4 v16 at a time, so that a tap's weight and address serve 64 floats. */
V16_FN void resample_block(int64_t taps, const int32_t *index, const float *w, int64_t inner, const float *x, float *y) {
    v16 a[4];
    for (int v = 0; v < 4; v++) a[v] = v16_zero();
    for (int64_t t = 0; t < taps; t++)
        for (int v = 0; v < 4; v++) a[v] = v16_fma(v16_set1(w[t]), v16_load(x + index[t] * inner + 16 * v), a[v]);
    for (int v = 0; v < 4; v++) v16_store(y + 16 * v, a[v]);
}

V16_FN void resample_vector(int64_t taps, const int32_t *index, const float *w, int64_t inner, const float *x, float *y, int64_t n) {
    v16 a = v16_zero();
    for (int64_t t = 0; t < taps; t++) a = v16_fma(v16_set1(w[t]), v16_load_n(x + index[t] * inner, n), a);
    v16_store_n(y, a, n);
}

void ASYMO_NAME(asymo_resample_row)(int64_t taps, const int32_t *index, const float *w, int64_t inner, const float *x, float *y) {
    if (inner == 1) {
        float a = 0.0f;
        for (int64_t t = 0; t < taps; t++) a = fmaf(w[t], x[index[t]], a);
        *y = a;
        return;
    }
    int64_t j = 0;
    for (; j + 64 <= inner; j += 64) resample_block(taps, index, w, inner, x + j, y + j);
    for (; j < inner; j += 16) resample_vector(taps, index, w, inner, x + j, y + j, ASYMO_MIN(16, inner - j));
}
