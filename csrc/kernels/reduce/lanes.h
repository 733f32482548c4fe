/* lanes.h: the order in which everything that sums is summed. Include a vector header first (v16.h).
 *
 * A reduction over r has 16 lanes. Lane i takes the elements r = i, i + 16, i + 32, ... in ascending order; then the lanes are merged by a
 * fixed tree. Where the lanes live depends on the layout, the order does not, so neither do the bits:
 *
 *   rows     (r contiguous)  lane i is element i of one v16
 *   columns  (j contiguous)  lane i of column j is element j of lane[i], a v16 (or LANE_VECTORS of them, side by side)
 *
 *   r      0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
 *         16 17 18 19 ...                               31
 *          |  |  |  |  |  |  |  |  |  |  |  |  |  |  |  |
 *   lane   0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
 *          0 + 8, 1 + 9, ... 7 + 15      (a + b: a is the lower lane)
 *          0 + 4, ... 3 + 7
 *          0 + 2, 1 + 3
 *          0 + 1
 */
#pragma once

enum {
    LANE_VECTORS = 4, /* v16 of columns done side by side: 256 bytes of a row at a time, 4 KB of lanes in L1 */
    LANE_COLUMNS = 16 * LANE_VECTORS,
};

/* Lanes 0 .. n - 1. */
V16_FN m16 m16_first(int64_t n) {
    static const float index[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return v16_lt(v16_load(index), v16_set1((float)n));
}

/* Columns: v16 number v of a row of n <= LANE_COLUMNS columns. Nothing beyond the row is touched. */
V16_FN v16 column_load(const float *x, int64_t v, int64_t n) {
    return 16 * v + 16 <= n ? v16_load(x + 16 * v) : v16_load_n(x + 16 * v, n - 16 * v);
}
V16_FN void column_store(float *y, v16 a, int64_t v, int64_t n) {
    if (16 * v + 16 <= n)
        v16_store(y + 16 * v, a);
    else
        v16_store_n(y + 16 * v, a, n - 16 * v);
}

/* Columns: merges the lanes of `vectors` column vectors into lane[0]. */
V16_FN void lanes_add(v16 lane[16][LANE_VECTORS], int64_t vectors) {
    for (int step = 8; step > 0; step >>= 1)
        for (int i = 0; i < step; i++)
            for (int64_t v = 0; v < vectors; v++) lane[i][v] = v16_add(lane[i][v], lane[i + step][v]);
}
V16_FN void lanes_zero(v16 lane[16][LANE_VECTORS], int64_t vectors) {
    for (int i = 0; i < 16; i++)
        for (int64_t v = 0; v < vectors; v++) lane[i][v] = v16_zero();
}
