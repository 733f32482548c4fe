/* copy.c: the universal move. Rows are the entries of the dimensions but the last; consecutive rows of one dimension make a matrix, and a
 * matrix is moved the way its strides allow:
 *
 *   last dimension dense in both         memcpy of rows, or of the whole when the rows are dense too
 *   two to four columns become dense     interleave
 *   dense in one, rows dense in other    transpose in blocks (4 bytes: by registers)
 *   anything else                        element by element */
#include <string.h>

#include "../kernels/move/transpose.h"
#include "index.h"
#include "step.h"

typedef struct {
    int64_t rows, cols;
    int64_t src_row, src_col, dst_row, dst_col;
} matrix;

static int64_t row_count(const asymo_copy_args *args) { return args->rank > 1 ? asymo_count(args->rank - 1, args->shape) : 1; }

int64_t asymo_copy_units(const asymo_copy_args *args) {
    if (asymo_count(args->rank, args->shape) == 0) return 0;
    return asymo_ceil_div(row_count(args), args->unit_rows);
}

int64_t asymo_copy_scratch(const asymo_copy_args *args) {
    (void)args;
    return 0;
}

// clang-format off
typedef struct { uint64_t low, high; } pair64;
// clang-format on

/* Blocks of 16 x 16 keep both sides in L1 when one of them is walked across its rows. */
#define MOVE(NAME, TYPE)                                                                                                                   \
    static void NAME(const matrix *m, const TYPE *src, TYPE *dst) {                                                                        \
        enum { BLOCK = 16 };                                                                                                               \
        if (m->dst_col == 1 && m->src_col == 0) {                                                                                          \
            for (int64_t j = 0; j < m->rows; j++)                                                                                          \
                for (int64_t k = 0; k < m->cols; k++) dst[j * m->dst_row + k] = src[j * m->src_row];                                       \
            return;                                                                                                                        \
        }                                                                                                                                  \
        for (int64_t j0 = 0; j0 < m->rows; j0 += BLOCK)                                                                                    \
            for (int64_t k0 = 0; k0 < m->cols; k0 += BLOCK) {                                                                              \
                const int64_t j1 = ASYMO_MIN(j0 + BLOCK, m->rows), k1 = ASYMO_MIN(k0 + BLOCK, m->cols);                                    \
                for (int64_t j = j0; j < j1; j++)                                                                                          \
                    for (int64_t k = k0; k < k1; k++) dst[j * m->dst_row + k * m->dst_col] = src[j * m->src_row + k * m->src_col];         \
            }                                                                                                                              \
    }
MOVE(move_1, uint8_t)
MOVE(move_2, uint16_t)
MOVE(move_4, uint32_t)
MOVE(move_8, uint64_t)
MOVE(move_16, pair64)

/* Planes of an image to pixels, halves to pairs: whole pixels are written one after the other. Wants 2 to 4 columns. */
static void interleave(const matrix *m, const uint32_t *restrict src, uint32_t *restrict dst) {
    const int64_t rows = m->rows, s = m->src_col;
    if (m->cols == 2)
        for (int64_t j = 0; j < rows; j++) dst[2 * j] = src[j], dst[2 * j + 1] = src[s + j];
    else if (m->cols == 3)
        for (int64_t j = 0; j < rows; j++) dst[3 * j] = src[j], dst[3 * j + 1] = src[s + j], dst[3 * j + 2] = src[2 * s + j];
    else
        for (int64_t j = 0; j < rows; j++)
            dst[4 * j] = src[j], dst[4 * j + 1] = src[s + j], dst[4 * j + 2] = src[2 * s + j], dst[4 * j + 3] = src[3 * s + j];
}

static void move(int64_t size, const matrix *m, const char *src, char *dst) {
    if (m->src_col == 1 && m->dst_col == 1) {
        const size_t bytes = (size_t)(size * m->cols);
        if (m->src_row == m->cols && m->dst_row == m->cols) {
            memcpy(dst, src, bytes * (size_t)m->rows);
            return;
        }
        for (int64_t j = 0; j < m->rows; j++) memcpy(dst + size * j * m->dst_row, src + size * j * m->src_row, bytes);
        return;
    }
    if (size == 4 && m->src_row == 1 && m->dst_col == 1 && m->cols >= 2 && m->cols <= 4 && m->dst_row == m->cols) {
        interleave(m, (const uint32_t *)src, (uint32_t *)dst);
        return;
    }
    if (size == 4 && m->src_row == 1 && m->dst_col == 1 && m->src_col > 0 && m->dst_row > 0) {
        asymo_transpose_kernel()(m->rows, m->cols, (const uint32_t *)src, m->src_col, (uint32_t *)dst, m->dst_row);
        return;
    }
    if (size == 4 && m->src_col == 1 && m->dst_row == 1 && m->src_row > 0 && m->dst_col > 0) {
        asymo_transpose_kernel()(m->cols, m->rows, (const uint32_t *)src, m->src_row, (uint32_t *)dst, m->dst_col);
        return;
    }
    switch (size) {
    case 1: move_1(m, (const uint8_t *)src, (uint8_t *)dst); break;
    case 2: move_2(m, (const uint16_t *)src, (uint16_t *)dst); break;
    case 4: move_4(m, (const uint32_t *)src, (uint32_t *)dst); break;
    case 8: move_8(m, (const uint64_t *)src, (uint64_t *)dst); break;
    case 16: move_16(m, (const pair64 *)src, (pair64 *)dst); break;
    }
}

void asymo_copy_run(const asymo_copy_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const int64_t rank = args->rank, size = args->size_bytes, outer = ASYMO_MAX(rank - 2, 0);
    const int64_t per_matrix = rank > 1 ? args->shape[rank - 2] : 1;
    const int64_t last = ASYMO_MIN(end * args->unit_rows, row_count(args));
    matrix m = {1, 1, 0, 1, 0, 1};
    if (rank > 0) {
        m.cols = args->shape[rank - 1];
        m.src_col = args->src_stride[rank - 1];
        m.dst_col = args->dst_stride[rank - 1];
    }
    if (rank > 1) {
        m.src_row = args->src_stride[rank - 2];
        m.dst_row = args->dst_stride[rank - 2];
    }
    for (int64_t row = begin * args->unit_rows; row < last; row += m.rows) {
        const int64_t first = row % per_matrix;
        int64_t index[ASYMO_MAX_RANK];
        asymo_unravel(outer, args->shape, row / per_matrix, index);
        m.rows = ASYMO_MIN(per_matrix - first, last - row);
        const int64_t src = asymo_offset(outer, index, args->src_stride) + first * m.src_row;
        const int64_t dst = asymo_offset(outer, index, args->dst_stride) + first * m.dst_row;
        move(size, &m, (const char *)op[0] + size * src, (char *)op[1] + size * dst);
    }
}
