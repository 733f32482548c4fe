/* gemm_pack.c: packs a computed B at run time, panel by panel; the contract is at asymo_gemm_pack_args. */
#include "../kernels/gemm/pack.h"
#include "step.h"

static int64_t panel_width(void) { return asymo_gemm_row_for(ASYMO_CORE_ANY)->nr; }

int64_t asymo_gemm_pack_units(const asymo_gemm_pack_args *args) {
    return args->batch[0] * args->batch[1] * args->batch[2] * asymo_ceil_div(args->n, panel_width());
}

int64_t asymo_gemm_pack_scratch(const asymo_gemm_pack_args *args) {
    (void)args;
    return 0;
}

void asymo_gemm_pack_run(const asymo_gemm_pack_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const int64_t nr = panel_width(), panels = asymo_ceil_div(args->n, nr);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t entry = unit / panels, j = unit % panels * nr;
        const int64_t b2 = entry % args->batch[2], b1 = entry / args->batch[2] % args->batch[1];
        const int64_t b0 = entry / (args->batch[2] * args->batch[1]);
        const float *b = (const float *)op[0] + b0 * args->b_stride[0] + b1 * args->b_stride[1] + b2 * args->b_stride[2];
        asymo_gemm_pack_panel(args->k, ASYMO_MIN(nr, args->n - j), nr, b + j * args->n_stride, args->k_stride, args->n_stride,
                              (float *)op[1] + unit * args->k * nr);
    }
}
