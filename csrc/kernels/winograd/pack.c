/* pack.c: U = G g G' in double (sums in ascending index, no fused operation), each element rounded once to float. */
#include <string.h>

#include "../../common/base.h"

#define INLINE static inline __attribute__((always_inline))

enum { MOST_TAPS = 5, LANES = 8 }; /* of a row; filters side by side */

/* A row of G, of which a kernel of r takes the first r columns: {1, p, p^2, ...} / M'(p) for point p of M. */
typedef double point[MOST_TAPS];

/* M = x (x^2 - 1). */
static const point points4[3] = {{1}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}};

/* M = x (x^2 - 9/16) (x^2 - 9/4). */
static const point points6[5] = {
    {64.0 / 81},
    {-128.0 / 243, -32.0 / 81, -8.0 / 27, -2.0 / 9, -1.0 / 6},
    {-128.0 / 243, 32.0 / 81, -8.0 / 27, 2.0 / 9, -1.0 / 6},
    {32.0 / 243, 16.0 / 81, 8.0 / 27, 4.0 / 9, 2.0 / 3},
    {32.0 / 243, -16.0 / 81, 8.0 / 27, -4.0 / 9, 2.0 / 3},
};

int64_t asymo_winograd_packed_size(int64_t tile, int64_t kernel, int64_t c, int64_t n) {
    return (tile + kernel - 1) * (tile + kernel - 1) * asymo_gemm_packed_size(c, n);
}

/* sum[l] = g[0] x[0][l] + g[1] x[step][l] + ..., r terms. */
INLINE void weigh(const int r, const double *g, double (*x)[LANES], int step, double *sum) {
    for (int l = 0; l < LANES; l++) sum[l] = g[0] * x[0][l];
    for (int i = 1; i < r; i++)
        for (int l = 0; l < LANES; l++) sum[l] += g[i] * x[i * step][l];
}

/* LANES filters w[r][r], side by side: element xi of their U goes to u[xi * size]. */
INLINE void transform(const int r, int64_t T, const point *g, double (*w)[LANES], int64_t size, float *u) {
    for (int64_t row = 0; row < T; row++) {
        double half[MOST_TAPS][LANES];
        for (int j = 0; j < r; j++) weigh(r, g[row], w + j, r, half[j]);
        for (int64_t column = 0; column < T; column++, u += size) {
            double sum[LANES];
            weigh(r, g[column], half, 1, sum);
            for (int l = 0; l < LANES; l++) u[l] = (float)sum[l];
        }
    }
}

/* Row k of a panel of all U: the filters w[columns][c][r][r] of one input channel, times their factors, zeros behind them. */
INLINE void pack_row(const int r, int64_t T, const point *g, const asymo_loose_float *w, const double *factor, int64_t c, int64_t columns,
                     int64_t nr, int64_t size, float *row) {
    const int taps = r * r;
    for (int64_t i = 0; i < columns; i += LANES) {
        double filters[MOST_TAPS * MOST_TAPS][LANES];
        for (int64_t l = 0; l < LANES; l++) {
            const double times = factor && i + l < columns ? factor[i + l] : 1;
            for (int tap = 0; tap < taps; tap++) filters[tap][l] = i + l < columns ? (float)(w[(i + l) * c * taps + tap] * times) : 0;
        }
        transform(r, T, g, filters, size, row + i);
    }
    for (int64_t xi = 0; xi < T * T && columns < nr; xi++) memset(row + xi * size + columns, 0, (size_t)(nr - columns) * sizeof *row);
}

void asymo_winograd_pack(int64_t tile, int64_t kernel, int64_t c, int64_t n, const float *source, const double *factor, float *packed) {
    const asymo_loose_float *w = source;
    const int64_t T = tile + kernel - 1, size = asymo_gemm_packed_size(c, n);
    point g[6] = {{0}};
    memcpy(g, T == 4 ? points4 : points6, (size_t)(T - 1) * sizeof *g);
    g[T - 1][kernel - 1] = 1; /* the point inf has the last tap */
    int64_t mr, nr, kr;
    asymo_gemm_geometry(&mr, &nr, &kr);                     /* nr is a multiple of LANES */
    for (int64_t j = 0; j < n; j += nr, packed += c * nr) { /* panel by panel of all U */
        const double *times = factor ? factor + j : NULL;
        for (int64_t k = 0; k < c; k++) {
            const asymo_loose_float *filters = w + (j * c + k) * kernel * kernel;
            const int64_t columns = ASYMO_MIN(nr, n - j);
            if (kernel == 3)
                pack_row(3, T, g, filters, times, c, columns, nr, size, packed + k * nr);
            else
                pack_row(5, T, g, filters, times, c, columns, nr, size, packed + k * nr);
        }
    }
}
