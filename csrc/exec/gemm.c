/* gemm.c: C = act(A B + bias + R) over a batch; the contract is at asymo_gemm_args. */
#include "gemm_block.h"

int64_t asymo_gemm_units(const asymo_gemm_args *args);
int64_t asymo_gemm_scratch(const asymo_gemm_args *args);
void asymo_gemm_run(const asymo_gemm_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker);

int64_t asymo_gemm_units(const asymo_gemm_args *args) {
    const asymo_gemm_grid grid = asymo_gemm_grid_of(args->m, args->n, args->unit_m, args->unit_n);
    return args->batch[0] * args->batch[1] * args->batch[2] * grid.blocks_m * grid.blocks_n;
}

int64_t asymo_gemm_scratch(const asymo_gemm_args *args) {
    (void)args;
    return asymo_gemm_rows_bytes(1);
}

/* Offset of batch entry i; index 0 is the outermost. */
static int64_t batch_offset(const asymo_gemm_args *args, const int64_t stride[3], int64_t i) {
    const int64_t b2 = i % args->batch[2], b1 = i / args->batch[2] % args->batch[1], b0 = i / (args->batch[2] * args->batch[1]);
    return b0 * stride[0] + b1 * stride[1] + b2 * stride[2];
}

void asymo_gemm_run(const asymo_gemm_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const asymo_gemm_table_row *kernel = asymo_gemm_row_for(worker->core_kind);
    const asymo_gemm_grid grid = asymo_gemm_grid_of(args->m, args->n, args->unit_m, args->unit_n);
    const asymo_gemm_rows rows = asymo_gemm_rows_in(worker->scratch);
    const int64_t blocks = grid.blocks_m * grid.blocks_n;
    const float *a = NULL, *r = op[3];
    float *c = NULL;
    asymo_gemm_block block = {
        .taps = 1, .run = args->k, .rows = rows, .bias = op[2], .slope = op[4],
        .act = args->act, .p = (float)args->p, .q = (float)args->q,
    };
    if (r == NULL) block.rows.r = NULL;

    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t entry = unit / blocks, index = unit % blocks;
        const int64_t m0 = grid.unit_m * (args->n_fastest ? index / grid.blocks_n : index % grid.blocks_m);
        const int64_t n0 = grid.unit_n * (args->n_fastest ? index % grid.blocks_n : index / grid.blocks_m);
        const int64_t m1 = ASYMO_MIN(m0 + grid.unit_m, args->m);
        a = (const float *)op[0] + batch_offset(args, args->a_stride, entry);
        c = (float *)op[5] + batch_offset(args, args->c_stride, entry);
        if (op[3]) r = (const float *)op[3] + batch_offset(args, args->r_stride, entry);
        block.b = (const float *)op[1] + batch_offset(args, args->b_stride, entry) + n0 * args->k;
        block.column = n0;
        block.n = ASYMO_MIN(grid.unit_n, args->n - n0);
        for (int64_t m = m0; m < m1; m += block.m) {
            block.m = ASYMO_MIN(asymo_gemm_strip(kernel), m1 - m);
            for (int64_t i = 0; i < block.m; i++) {
                rows.a[i] = a + (m + i) * args->lda;
                rows.c[i] = c + (m + i) * args->ldc;
                if (r) rows.r[i] = r + (m + i) * args->ldr;
            }
            asymo_gemm_block_run(kernel, &block);
        }
    }
}
