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

/* One 3x3 filter: element xi of U goes to u[xi * size]. */
static void transform(int64_t T, const double (*g)[3], const asymo_loose_float *w, int64_t size, float *u) {
    for (int64_t row = 0; row < T; row++) {
        double half[3];
        for (int i = 0; i < 3; i++) half[i] = g[row][0] * w[i] + g[row][1] * w[3 + i] + g[row][2] * w[6 + i];
        for (int64_t column = 0; column < T; column++, u += size)
            *u = (float)(half[0] * g[column][0] + half[1] * g[column][1] + half[2] * g[column][2]);
    }
}

void asymo_winograd_pack(int64_t tile, int64_t c, int64_t n, const float *source, float *packed) {
    const asymo_loose_float *w = source;
    const double(*g)[3] = tile == 2 ? g2 : g4;
    const int64_t T = tile + 2, size = asymo_gemm_packed_size(c, n);
    int64_t mr, nr, kr;
    asymo_gemm_geometry(&mr, &nr, &kr);
    for (int64_t j = 0; j < n; j += nr, packed += c * nr) { /* panel by panel of all U */
        const int64_t columns = ASYMO_MIN(nr, n - j);
        for (int64_t k = 0; k < c; k++) {
            for (int64_t i = 0; i < columns; i++) transform(T, g, w + ((j + i) * c + k) * 9, size, packed + k * nr + i);
            for (int64_t xi = 0; xi < T * T; xi++)
                memset(packed + xi * size + k * nr + columns, 0, (size_t)(nr - columns) * sizeof *packed);
        }
    }
}
