/* winograd.c: r x r convolution by F(tile x tile, r x r): transform the inputs of some tiles, multiply, transform back.
 *
 * Units of the same tiles follow each other, and a run transforms the input of all that it has of them once. The scratch
 * (T = tile + r - 1, unit = unit_tiles):
 *
 *   pointer tables of the GEMM
 *   V  [T T][unit][ld(c)]          the tiles of a unit, all input channels
 *   M  [T T][unit][ld(n block)]    one block of output channels at a time: GEMMs, then the output transform
 *
 * A leading dimension is whole cache lines and one line more, so that rows do not alias in L1. */
#include "../kernels/winograd/winograd.h"

#include "gemm_block.h"

enum { N_BLOCK = 128 }; /* a multiple of every nr */

static int64_t leading(int64_t channels) { return asymo_round_up(channels, 16) + 16; }

/* T: the side of the patch under a tile. */
static int64_t side_of(const asymo_winograd_args *a) { return a->tile + a->kernel[0] - 1; }

static int64_t tiles_of(const asymo_winograd_args *a) {
    return a->batch * asymo_ceil_div(a->out[0], a->tile) * asymo_ceil_div(a->out[1], a->tile);
}

static asymo_gemm_grid grid_of(const asymo_winograd_args *a) { return asymo_gemm_grid_of(tiles_of(a), a->n, a->unit_tiles, a->unit_n); }

int64_t asymo_winograd_units(const asymo_winograd_args *args) {
    const asymo_gemm_grid grid = grid_of(args);
    return grid.blocks_m * grid.blocks_n;
}

int64_t asymo_winograd_scratch(const asymo_winograd_args *args) {
    const int64_t products = side_of(args) * side_of(args);
    const int64_t floats = products * (leading(args->c) + leading(ASYMO_MIN(args->n, N_BLOCK))); /* of V and M for one tile */
    return asymo_gemm_rows_bytes(1) + grid_of(args).unit_m * floats * (int64_t)sizeof(float);
}

/* Where tile i lies: its image, and its first output row and column. */
typedef struct {
    int64_t b, row, column;
} place;

static place place_of(const asymo_winograd_args *a, int64_t i) {
    const int64_t across = asymo_ceil_div(a->out[1], a->tile), down = asymo_ceil_div(a->out[0], a->tile);
    return (place){i / across / down, i / across % down * a->tile, i % across * a->tile};
}

static void transform_input(const asymo_winograd_args *a, const float *x, int64_t i, float *v, int64_t v_step) {
    const place at = place_of(a, i);
    const int64_t row = at.row - a->pad[0], column = at.column - a->pad[1], T = side_of(a);
    const asymo_winograd_patch patch = {
        .x = x + at.b * a->x_batch + row * a->x_stride[0] + column * a->x_stride[1],
        .row = a->x_stride[0],
        .pixel = a->x_stride[1],
        .top = ASYMO_MAX(0, -row),
        .bottom = ASYMO_MIN(T, a->in[0] - row),
        .left = ASYMO_MAX(0, -column),
        .right = ASYMO_MIN(T, a->in[1] - column),
        .channels = a->c,
        .v = v,
        .v_step = v_step,
    };
    ASYMO_PICK(asymo_winograd_input)(T, &patch);
}

/* Channels [n0, n0 + n) of tile i. */
static void transform_output(const asymo_winograd_args *a, void *const *op, int64_t i, const float *m, int64_t m_step, int64_t n0,
                             int64_t n) {
    const float *bias = op[2], *r = op[3], *slope = op[4];
    const place at = place_of(a, i);
    const asymo_winograd_tile out = {
        .m = m,
        .m_step = m_step,
        .rows = ASYMO_MIN(a->tile, a->out[0] - at.row),
        .columns = ASYMO_MIN(a->tile, a->out[1] - at.column),
        .channels = n,
        .bias = bias == NULL ? NULL : bias + n0,
        .r = r == NULL ? NULL : r + at.b * a->r_batch + at.row * a->r_stride[0] + at.column * a->r_stride[1] + n0,
        .y = (float *)op[5] + at.b * a->y_batch + at.row * a->y_stride[0] + at.column * a->y_stride[1] + n0,
        .y_row = a->y_stride[0],
        .y_pixel = a->y_stride[1],
        .r_row = a->r_stride[0],
        .r_pixel = a->r_stride[1],
        .end = asymo_epilogue_of(a->act, slope == NULL ? NULL : slope + n0, (float)a->p, (float)a->q),
    };
    ASYMO_PICK(asymo_winograd_output)(a->tile, side_of(a), &out);
}

/* M[tiles, n] = V[tiles, c] U, all of one xi. */
static void multiply(const asymo_gemm_table_row *kernel, asymo_gemm_rows rows, int64_t tiles, int64_t c, int64_t n, const float *v,
                     const float *u, float *m) {
    asymo_gemm_block block = {
        .n = n, .taps = 1, .run = c, .rows = {rows.a, NULL, rows.c}, .b = u, .end = asymo_epilogue_of(ASYMO_ACT_NONE, NULL, 0, 0)};
    for (int64_t i = 0; i < tiles; i += block.m) {
        block.m = ASYMO_MIN(asymo_gemm_strip(kernel), tiles - i);
        for (int64_t j = 0; j < block.m; j++) {
            rows.a[j] = v + (i + j) * leading(c);
            rows.c[j] = m + (i + j) * leading(n);
        }
        asymo_gemm_block_run(kernel, &block);
    }
}

void asymo_winograd_run(const asymo_winograd_args *a, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const asymo_gemm_table_row *kernel = asymo_gemm_row_for(worker->core_kind);
    const asymo_gemm_rows rows = asymo_gemm_rows_in(worker->scratch);
    const asymo_gemm_grid grid = grid_of(a);
    const int64_t products = side_of(a) * side_of(a), v_step = grid.unit_m * leading(a->c);
    const int64_t packed = asymo_gemm_packed_size(a->c, a->n);
    float *v = (float *)((char *)worker->scratch + asymo_gemm_rows_bytes(1)), *m = v + products * v_step;
    for (int64_t unit = begin, next; unit < end; unit = next) {
        const int64_t block = unit / grid.blocks_n, block_unit = block * grid.blocks_n;
        next = ASYMO_MIN(end, block_unit + grid.blocks_n);
        const int64_t first = block * grid.unit_m, tiles = ASYMO_MIN(grid.unit_m, tiles_of(a) - first);
        const int64_t n_end = ASYMO_MIN(a->n, (next - block_unit) * grid.unit_n);
        for (int64_t i = 0; i < tiles; i++) transform_input(a, op[0], first + i, v + i * leading(a->c), v_step);
        for (int64_t n0 = (unit - block_unit) * grid.unit_n; n0 < n_end; n0 += N_BLOCK) {
            const int64_t n = ASYMO_MIN(N_BLOCK, n_end - n0), m_step = grid.unit_m * leading(n);
            for (int64_t xi = 0; xi < products; xi++)
                multiply(kernel, rows, tiles, a->c, n, v + xi * v_step, (const float *)op[1] + xi * packed + n0 * a->c, m + xi * m_step);
            for (int64_t i = 0; i < tiles; i++) transform_output(a, op, first + i, m + i * leading(n), m_step, n0, n);
        }
    }
}
