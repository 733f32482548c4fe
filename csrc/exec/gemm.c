/* gemm.c: C = act(A B + bias + R) over a batch; the contract is at asymo_gemm_args. */
#include "gemm_block.h"

int64_t asymo_gemm_units(const asymo_gemm_args *args) {
    const asymo_gemm_grid grid = asymo_gemm_grid_of(args->m, args->n, args->unit_m, args->unit_n);
    return args->batch[0] * args->batch[1] * args->batch[2] * grid.blocks_m * grid.blocks_n;
}

int64_t asymo_gemm_scratch(const asymo_gemm_args *args) {
    return asymo_gemm_rows_bytes(1) + (asymo_gemm_rows_alias(args->m, args->lda) ? asymo_gemm_copy_bytes(args->k) : 0);
}

/* Offset of batch entry i; index 0 is the outermost. */
static int64_t batch_offset(const asymo_gemm_args *args, const int64_t stride[3], int64_t i) {
    const int64_t b2 = i % args->batch[2], b1 = i / args->batch[2] % args->batch[1], b0 = i / (args->batch[2] * args->batch[1]);
    return b0 * stride[0] + b1 * stride[1] + b2 * stride[2];
}

static void point(const asymo_gemm_args *args, void *const *op, int64_t entry, int64_t first, int64_t m, const asymo_gemm_rows *rows) {
    const float *a = (const float *)op[0] + batch_offset(args, args->a_stride, entry) + first * args->lda;
    float *c = (float *)op[5] + batch_offset(args, args->c_stride, entry) + first * args->ldc;
    for (int64_t i = 0; i < m; i++) rows->a[i] = a + i * args->lda;
    for (int64_t i = 0; i < m; i++) rows->c[i] = c + i * args->ldc;
    if (op[3] == NULL) return;
    const float *r = (const float *)op[3] + batch_offset(args, args->r_stride, entry) + first * args->ldr;
    for (int64_t i = 0; i < m; i++) rows->r[i] = r + i * args->ldr;
}

void asymo_gemm_run(const asymo_gemm_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const asymo_gemm_table_row *kernel = asymo_gemm_row_for(worker->core_kind);
    const asymo_gemm_grid grid = asymo_gemm_grid_of(args->m, args->n, args->unit_m, args->unit_n);
    const asymo_gemm_rows rows = asymo_gemm_rows_in(worker->scratch);
    const int64_t blocks = grid.blocks_m * grid.blocks_n;
    const int alias = asymo_gemm_rows_alias(args->m, args->lda);
    const int64_t strip = alias ? asymo_gemm_copy_rows(kernel, args->k) : asymo_gemm_strip(kernel);
    float *copy = (float *)((char *)worker->scratch + asymo_gemm_rows_bytes(1));
    asymo_gemm_block block = {
        .taps = 1,
        .run = args->k,
        .rows = rows,
        .bias = op[2],
        .end = asymo_epilogue_of(args->act, op[4], (float)args->p, (float)args->q),
    };
    if (op[3] == NULL) block.rows.r = NULL;

    int64_t pointed_entry = -1, pointed_m = -1; /* what the tables hold: units that share their rows find them made */
    for (int64_t unit = begin, wide; unit < end; unit += wide) {
        const int64_t entry = unit / blocks, index = unit % blocks;
        const int64_t m0 = grid.unit_m * (args->n_fastest ? index / grid.blocks_n : index % grid.blocks_m);
        const int64_t n0 = grid.unit_n * (args->n_fastest ? index % grid.blocks_n : index / grid.blocks_m);
        const int64_t m1 = ASYMO_MIN(m0 + grid.unit_m, args->m);
        block.b = (const float *)op[1] + batch_offset(args, args->b_stride, entry) + n0 * args->k;
        block.column = n0;
        wide = grid.blocks_m == 1 ? ASYMO_MIN(end - unit, blocks - index) : 1; /* neighbours in n are one block */
        block.n = ASYMO_MIN(wide * grid.unit_n, args->n - n0);
        for (int64_t m = m0; m < m1; m += block.m) {
            block.m = ASYMO_MIN(strip, m1 - m);
            if (entry != pointed_entry || m != pointed_m) {
                point(args, op, entry, m, block.m, &rows);
                if (alias) asymo_gemm_copy(&rows, block.m, args->k, copy);
            }
            pointed_entry = entry;
            pointed_m = m;
            asymo_gemm_block_run(kernel, &block);
        }
    }
}
