#include "gemm_block.h"

#include <string.h>

int64_t asymo_gemm_rows_bytes(int64_t taps) { return (2 + taps) * ASYMO_GEMM_STRIP * (int64_t)sizeof(void *); }

asymo_gemm_rows asymo_gemm_rows_in(void *scratch) {
    void **at = scratch;
    return (asymo_gemm_rows){
        .c = (float **)at, .r = (const float **)(at + ASYMO_GEMM_STRIP), .a = (const float **)(at + 2 * ASYMO_GEMM_STRIP)};
}

asymo_gemm_grid asymo_gemm_grid_of(int64_t m, int64_t n, int64_t unit_m, int64_t unit_n) {
    const int64_t nr = asymo_gemm_row_for(ASYMO_CORE_ANY)->nr;
    asymo_gemm_grid grid = {unit_m < 1 ? ASYMO_MAX(m, 1) : unit_m, asymo_round_up(unit_n < 1 ? ASYMO_MAX(n, 1) : unit_n, nr), 0, 0};
    grid.blocks_m = asymo_ceil_div(m, grid.unit_m);
    grid.blocks_n = asymo_ceil_div(n, grid.unit_n);
    return grid;
}

/* An odd number of lines: such rows do not alias. */
static int64_t padded(int64_t k) { return asymo_round_up(k, 16) | 16; }

int64_t asymo_gemm_copy_rows(const asymo_gemm_table_row *kernel, int64_t k) {
    enum { FLOATS = 7 << 14 }; /* 448 KB, of 224 to 560 the quickest on Zen 4 (1 MB of L2), 2026-11; plans cut units for smaller ones */
    const int64_t rows = FLOATS / ASYMO_MAX(k, 1) / kernel->mr * kernel->mr;
    return ASYMO_MIN(ASYMO_MAX(rows, kernel->mr), asymo_gemm_strip(kernel));
}

int64_t asymo_gemm_copy_bytes(int64_t k) {
    return asymo_gemm_copy_rows(asymo_gemm_row_for(ASYMO_CORE_ANY), k) * padded(k) * (int64_t)sizeof(float);
}

void asymo_gemm_copy(const asymo_gemm_rows *rows, int64_t m, int64_t k, float *copy) {
    for (int64_t i = 0; i < m; i++, copy += padded(k)) {
        memcpy(copy, rows->a[i], (size_t)k * sizeof *copy);
        rows->a[i] = copy;
    }
}

void asymo_gemm_block_run(const asymo_gemm_table_row *kernel, const asymo_gemm_block *s) {
    const asymo_gemm_tile tile = {
        .a = s->rows.a,
        .taps = s->taps,
        .run = s->run,
        .b = s->b,
        .b_panel = s->taps * s->run * kernel->nr,
        .c = s->rows.c,
        .r = s->rows.r,
        .bias = s->bias,
        .column = s->column,
        .end = s->end,
    };
    kernel->ukr(&tile, s->m, s->n);
}
