/* pack.c: B[k, n] as panels of nr columns, each [k][nr], the last one zero-filled on the right. */
#include "pack.h"

void asymo_gemm_geometry(int64_t *mr, int64_t *nr, int64_t *kr) {
    const asymo_gemm_table_row *row = asymo_gemm_row_for(ASYMO_CORE_ANY);
    *mr = row->mr;
    *nr = row->nr;
    *kr = row->kr;
}

int64_t asymo_gemm_packed_size(int64_t k, int64_t n) {
    const int64_t nr = asymo_gemm_row_for(ASYMO_CORE_ANY)->nr;
    return k * asymo_round_up(n, nr);
}

/* Rows of the source are contiguous: each row of the panel is a copy. */
static void copy_rows(int64_t k, int64_t n, int64_t nr, const asymo_loose_float *b, int64_t k_stride, float *panel) {
    for (int64_t i = 0; i < k; i++, b += k_stride, panel += nr) {
        if (n == nr)
            memcpy(panel, b, (size_t)nr * sizeof *b);
        else {
            memcpy(panel, b, (size_t)n * sizeof *b);
            memset(panel + n, 0, (size_t)(nr - n) * sizeof *b);
        }
    }
}

/* Anything else, a transpose (k_stride 1) first of all: blocks of k so that the lines read and the lines written stay in L1, four columns
 * at a time, which compilers store together. */
static void copy_columns(int64_t k, int64_t n, int64_t nr, const asymo_loose_float *b, int64_t k_stride, int64_t n_stride, float *panel) {
    enum { BLOCK = 16 };
    for (int64_t i0 = 0; i0 < k; i0 += BLOCK) {
        const int64_t i1 = ASYMO_MIN(i0 + BLOCK, k);
        int64_t j = 0;
        for (; j + 4 <= n; j += 4) {
            const asymo_loose_float *c0 = b + j * n_stride, *c1 = c0 + n_stride, *c2 = c1 + n_stride, *c3 = c2 + n_stride;
            for (int64_t i = i0; i < i1; i++) {
                float *row = panel + i * nr + j;
                row[0] = c0[i * k_stride], row[1] = c1[i * k_stride], row[2] = c2[i * k_stride], row[3] = c3[i * k_stride];
            }
        }
        for (; j < n; j++)
            for (int64_t i = i0; i < i1; i++) panel[i * nr + j] = b[j * n_stride + i * k_stride];
        for (int64_t i = i0; i < i1; i++)
            for (j = n; j < nr; j++) panel[i * nr + j] = 0.0f;
    }
}

void asymo_gemm_pack_panel(int64_t k, int64_t n, int64_t nr, const asymo_loose_float *b, int64_t k_stride, int64_t n_stride, float *panel) {
    if (n_stride == 1)
        copy_rows(k, n, nr, b, k_stride, panel);
    else
        copy_columns(k, n, nr, b, k_stride, n_stride, panel);
}

/* Columns of a panel times their factors. */
static void scale_columns(int64_t k, int64_t n, int64_t nr, const double *factor, float *panel) {
    for (int64_t i = 0; i < k; i++, panel += nr)
        for (int64_t j = 0; j < n; j++) panel[j] = (float)(panel[j] * factor[j]);
}

enum { SCALED_ROWS = 128 }; /* packed, then scaled while they are in L1 */

static void pack_scaled(int64_t k, int64_t n, int64_t nr, const asymo_loose_float *b, int64_t k_stride, int64_t n_stride,
                        const double *factor, float *panel) {
    for (int64_t i = 0; i < k; i += SCALED_ROWS) {
        const int64_t rows = ASYMO_MIN(SCALED_ROWS, k - i);
        asymo_gemm_pack_panel(rows, n, nr, b + i * k_stride, k_stride, n_stride, panel + i * nr);
        scale_columns(rows, n, nr, factor, panel + i * nr);
    }
}

void asymo_gemm_pack(int64_t k, int64_t n, const float *source, int64_t k_stride, int64_t n_stride, const double *factor, float *packed) {
    const asymo_loose_float *b = source;
    const int64_t nr = asymo_gemm_row_for(ASYMO_CORE_ANY)->nr;
    for (int64_t j = 0; j < n; j += nr, packed += k * nr) {
        const int64_t columns = ASYMO_MIN(nr, n - j);
        if (factor)
            pack_scaled(k, columns, nr, b + j * n_stride, k_stride, n_stride, factor + j, packed);
        else
            asymo_gemm_pack_panel(k, columns, nr, b + j * n_stride, k_stride, n_stride, packed);
    }
}
