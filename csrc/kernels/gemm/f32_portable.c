/* f32_portable.c: 4 x 8 in plain C. */
#include <math.h>

#include "gemm.h"

enum { MR = 4, NR = 8 };

static void tile(const asymo_gemm_tile *t, const float *b, int64_t column, int64_t m, int64_t n) {
    float acc[MR][NR];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) acc[i][j] = t->bias ? t->bias[column + j] : 0.0f;
    for (int64_t tap = 0; tap < t->taps; tap++)
        for (int64_t k = 0; k < t->run; k++, b += NR)
            for (int64_t i = 0; i < m; i++) {
                const float y = t->a[tap * MR + i][k];
                for (int64_t j = 0; j < n; j++) acc[i][j] = fmaf(y, b[j], acc[i][j]);
            }
    if (t->r)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) acc[i][j] += t->r[i][column + j];
    if (t->end.apply) {
        asymo_epilogue_rows(&t->end, acc[0], NR, t->c, column, m, n);
        return;
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float x = acc[i][j];
            x = t->end.lo > x ? t->end.lo : x;
            t->c[i][column + j] = t->end.hi < x ? t->end.hi : x;
        }
}

void asymo_f32_gemm_ukr_4x8k1__portable(const asymo_gemm_tile *t, int64_t m, int64_t n) {
    for (int64_t j = 0; j < n; j += NR)
        for (int64_t i = 0; i < m; i += MR) {
            const asymo_gemm_tile at = asymo_gemm_tile_at(t, i);
            tile(&at, t->b + j / NR * t->b_panel, t->column + j, ASYMO_MIN(m - i, MR), ASYMO_MIN(n - j, NR));
        }
}
