/* pack.c: U = G g G' in double (sums in ascending index, no fused operation), each element rounded once to float. */
#include <string.h>

#include "../../common/base.h"

static const double g2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/* Row of point p: {1, p, p^2} / M'(p) with M = x (x^2 - 9/16) (x^2 - 9/4). */
static const double g4[6][3] = {
    {64.0 / 81, 0, 0},
    {-128.0 / 243, -32.0 / 81, -8.0 / 27},
    {-128.0 / 243, 32.0 / 81, -8.0 / 27},
    {32.0 / 243, 16.0 / 81, 8.0 / 27},
    {32.0 / 243, -16.0 / 81, 8.0 / 27},
    {0, 0, 1},
};

int64_t asymo_winograd_packed_size(int64_t tile, int64_t c, int64_t n) { return (tile + 2) * (tile + 2) * asymo_gemm_packed_size(c, n); }

enum { LANES = 8 };

/* LANES filters w[3][3], side by side: element xi of their U goes to u[xi * size]. */
static void transform(int64_t T, const double (*g)[3], double (*w)[LANES], int64_t size, float *u) {
    for (int64_t row = 0; row < T; row++) {
        double half[3][LANES];
        for (int i = 0; i < 3; i++)
            for (int l = 0; l < LANES; l++) half[i][l] = g[row][0] * w[i][l] + g[row][1] * w[3 + i][l] + g[row][2] * w[6 + i][l];
        for (int64_t column = 0; column < T; column++, u += size) {
            const double a = g[column][0], b = g[column][1], d = g[column][2];
            for (int l = 0; l < LANES; l++) u[l] = (float)(half[0][l] * a + half[1][l] * b + half[2][l] * d);
        }
    }
}

/* Row k of a panel of all U: the filters w[columns][c][3][3] of one input channel, times their factors, zeros behind them. */
static void pack_row(int64_t T, const double (*g)[3], const asymo_loose_float *w, const double *factor, int64_t c, int64_t columns,
                     int64_t nr, int64_t size, float *row) {
    for (int64_t i = 0; i < columns; i += LANES) {
        double filters[9][LANES];
        for (int64_t l = 0; l < LANES; l++) {
            const double times = factor && i + l < columns ? factor[i + l] : 1;
            for (int tap = 0; tap < 9; tap++) filters[tap][l] = i + l < columns ? (float)(w[(i + l) * c * 9 + tap] * times) : 0;
        }
        transform(T, g, filters, size, row + i);
    }
    for (int64_t xi = 0; xi < T * T && columns < nr; xi++) memset(row + xi * size + columns, 0, (size_t)(nr - columns) * sizeof *row);
}

void asymo_winograd_pack(int64_t tile, int64_t c, int64_t n, const float *source, const double *factor, float *packed) {
    const asymo_loose_float *w = source;
    const double(*g)[3] = tile == 2 ? g2 : g4;
    const int64_t size = asymo_gemm_packed_size(c, n);
    int64_t mr, nr, kr;
    asymo_gemm_geometry(&mr, &nr, &kr);                     /* nr is a multiple of LANES */
    for (int64_t j = 0; j < n; j += nr, packed += c * nr) { /* panel by panel of all U */
        const double *times = factor ? factor + j : NULL;
        for (int64_t k = 0; k < c; k++)
            pack_row(tile + 2, g, w + (j * c + k) * 9, times, c, ASYMO_MIN(nr, n - j), nr, size, packed + k * nr);
    }
}
