/* probe.c: whether the core that runs this thread can run an instruction set's kernels. Kernels of the system have claimed for all cores
 * what only the big ones have (Exynos 9810, Unisoc T310), so it is not asked but tried. */
#include "../common/illegal.h"
#include "../kernels/gemm/gemm.h"

typedef struct {
    asymo_gemm_ukr *ukr;
    float c;
} trial;

/* 2 x 3 + 1 by a GEMM kernel. */
static void multiply(void *argument) {
    enum { MOST = 64 }; /* columns of a panel */
    trial *it = argument;
    const float two = 2.0f, one = 1.0f;
    const float *a = &two;
    float *c = &it->c;
    float b[MOST] = {3.0f};
    const asymo_epilogue end = asymo_epilogue_of(ASYMO_ACT_NONE, NULL, 0.0f, 0.0f);
    const asymo_gemm_tile tile = {.a = &a, .taps = 1, .run = 1, .b = b, .b_panel = MOST, .c = &c, .bias = &one, .end = end};
    it->ukr(&tile, 1, 1);
}

int32_t asymo_isa_runs_here(int32_t isa) {
    if (!asymo_isa_is_supported(isa)) return 0;
    for (int32_t i = 0; i < asymo_gemm_row_count(); i++) {
        trial it = {.ukr = asymo_gemm_table[i].ukr, .c = 0.0f};
        if ((int32_t)asymo_gemm_table[i].isa != isa || it.ukr == NULL) continue;
        if (!asymo_is_legal(multiply, &it) || it.c != 7.0f) return 0;
    }
    return 1;
}
