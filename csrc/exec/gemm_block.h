/* gemm_block.h: a block of rows x columns of one GEMM, through the micro-kernel of the worker's core. gemm and conv are this plus
 * tables of row pointers.
 *
 * Rows are taken in strips of at most ASYMO_GEMM_STRIP, whose pointers stand in the worker's scratch:
 *   a  [m tile][tap][mr]  where row i of the tile begins for a tap
 *   c  [row]              where the row of the output begins, at column 0
 *   r  [row]              the same for the residual
 * a, b and c are as in kernels/gemm/gemm.h. r may be exactly c (in place); otherwise nothing overlaps c. */
#pragma once

#include "../kernels/gemm/gemm.h"
#include "step.h"

enum { ASYMO_GEMM_STRIP = 256 };

typedef struct {
    const float **a, **r;
    float **c;
} asymo_gemm_rows;

typedef struct {
    int64_t m, n, taps, run; /* m <= ASYMO_GEMM_STRIP; k = taps * run */
    asymo_gemm_rows rows;    /* rows.r NULL: no residual */
    const float *b;          /* the panel of column */
    int64_t column;          /* a multiple of nr */
    const float *bias;       /* NULL: none */
    asymo_epilogue end;
} asymo_gemm_block;

/* Bytes of the pointer tables of a strip, and the tables in scratch. */
int64_t asymo_gemm_rows_bytes(int64_t taps);
asymo_gemm_rows asymo_gemm_rows_in(void *scratch);

/* Rows of a strip: the most whole m tiles that the tables hold. */
static inline int64_t asymo_gemm_strip(const asymo_gemm_table_row *kernel) { return ASYMO_GEMM_STRIP / kernel->mr * kernel->mr; }

/* Rows of A a multiple of 4096 bytes apart fall into the same few lines of L1 and drive each other out (K = 1024 ran at 72 % of the
 * speed of K = 1000 on Zen 4, 2026-11). Such a strip of one tap is copied to scratch first, rows a little apart. */
static inline int asymo_gemm_rows_alias(int64_t m, int64_t row_stride) {
    enum { WAYS = 4, ALIAS = 4096 / sizeof(float) };
    return m > WAYS && row_stride % ALIAS == 0;
}
/* Rows that are copied at a time, so that they stay in L2; bytes of scratch for them; the copy itself, which points rows.a at it. */
int64_t asymo_gemm_copy_rows(const asymo_gemm_table_row *kernel, int64_t k);
int64_t asymo_gemm_copy_bytes(int64_t k);
void asymo_gemm_copy(const asymo_gemm_rows *rows, int64_t m, int64_t k, float *copy);

void asymo_gemm_block_run(const asymo_gemm_table_row *kernel, const asymo_gemm_block *block);

/* How a step cuts its output, shared by the steps that count units: blocks of unit_m x unit_n. */
typedef struct {
    int64_t unit_m, unit_n, blocks_m, blocks_n;
} asymo_gemm_grid;

/* unit_n is rounded up to whole panels (nr columns); a size below 1 is the whole dimension. */
asymo_gemm_grid asymo_gemm_grid_of(int64_t m, int64_t n, int64_t unit_m, int64_t unit_n);
