/* gemm_unit.c: the default unit of a gemm or conv.
 *
 * In tiles of mr x nr: at least 4 units for each worker, about square in elements (least traffic for their work), the rows of A within
 * STRIP_FLOATS, all units of a dimension about equal. One tile of rows is streamed: its units are at least WIDE panels. The larger of A
 * and B is walked once, so the smaller one's blocks change fastest. */
#include <math.h>

#include "gemm_block.h"

static int64_t even(int64_t all, int64_t part) { return asymo_ceil_div(all, asymo_ceil_div(all, part)); }

void asymo_gemm_unit(int64_t m, int64_t n, int64_t k, int64_t workers, int64_t *unit_m, int64_t *unit_n, int64_t *n_fastest) {
    enum { UNITS_PER_WORKER = 4, STRIP_FLOATS = 1 << 16, WIDE = 4 };
    const asymo_gemm_table_row *row = asymo_gemm_row_for(ASYMO_CORE_ANY);
    const int64_t tiles = ASYMO_MAX(asymo_ceil_div(m, row->mr), 1), panels = ASYMO_MAX(asymo_ceil_div(n, row->nr), 1);
    const int64_t units = workers > 1 ? UNITS_PER_WORKER * workers : 1;
    const double area = (double)tiles * (double)panels / (double)units;

    int64_t wide = (int64_t)ceil(sqrt(area * (double)row->mr / (double)row->nr));
    if (tiles == 1) wide = ASYMO_MAX((int64_t)area, WIDE);
    if (workers <= 1) wide = panels;
    wide = even(panels, ASYMO_MIN(ASYMO_MAX(wide, 1), panels));

    const int64_t most = ASYMO_MIN(STRIP_FLOATS / ASYMO_MAX(k * row->mr, 1), asymo_gemm_strip(row) / row->mr);
    const int64_t tall = even(tiles, ASYMO_MAX(ASYMO_MIN((int64_t)(area / (double)wide), most), 1));

    *unit_m = tall * row->mr;
    *unit_n = wide * row->nr;
    *n_fastest = m >= n;
}
