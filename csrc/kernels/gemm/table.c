/* table.c: gemm.inc as rows, and the row in use. */
#include "gemm.h"

#if defined(__x86_64__)
#define BOUND_AVX2(f) f
#define BOUND_AVX512(f) f
#else
#define BOUND_AVX2(f) NULL
#define BOUND_AVX512(f) NULL
#endif
#if defined(__aarch64__)
#define BOUND_NEON(f) f
#else
#define BOUND_NEON(f) NULL
#endif
#define BOUND_PORTABLE(f) f

const asymo_gemm_table_row asymo_gemm_table[] = {
#define ASYMO_GEMM_UKR(ISA, CORE, SYMBOL, MR, NR, KR) {#SYMBOL, BOUND_##ISA(SYMBOL), ASYMO_ISA_##ISA, ASYMO_CORE_##CORE, MR, NR, KR},
#include "gemm.inc"
#undef ASYMO_GEMM_UKR
};

enum { ROWS = sizeof asymo_gemm_table / sizeof asymo_gemm_table[0] };

const asymo_gemm_table_row *asymo_gemm_row_for(int32_t core_kind) {
    const asymo_gemm_table_row *any = &asymo_gemm_table[0];
    for (int i = 0; i < ROWS; i++) {
        const asymo_gemm_table_row *row = &asymo_gemm_table[i];
        if (row->isa != asymo_isa_now) continue;
        if (row->core == (asymo_core_kind)core_kind) return row;
        if (row->core == ASYMO_CORE_ANY) any = row;
    }
    return any;
}

int32_t asymo_gemm_row_count(void) { return ROWS; }

asymo_gemm_row asymo_gemm_row_at(int32_t i) {
    const asymo_gemm_table_row *row = &asymo_gemm_table[i];
    return (asymo_gemm_row){row->symbol, (int32_t)row->isa, (int32_t)row->core, row->mr, row->nr, row->kr, row->ukr != NULL};
}
