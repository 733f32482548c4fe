#include "transpose.h"

#include "../../common/cpu.h"

ASYMO_DECLARE(void, asymo_transpose_4, (int64_t rows, int64_t cols, const uint32_t *src, int64_t ld_src, uint32_t *dst, int64_t ld_dst));

asymo_transpose_fn *asymo_transpose_kernel(void) { return ASYMO_PICK(asymo_transpose_4); }
