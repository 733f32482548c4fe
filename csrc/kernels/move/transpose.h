/* transpose.h: a strided 2-D transpose of 4-byte elements. */
#pragma once

#include "../../common/base.h"

/* dst[j * ld_dst + k] = src[k * ld_src + j] for j < rows, k < cols. Bits are moved, not values: any 4-byte type. src and dst do not
 * overlap; nothing beyond the rows x cols elements of either is touched. */
typedef void asymo_transpose_fn(int64_t rows, int64_t cols, const uint32_t *src, int64_t ld_src, uint32_t *dst, int64_t ld_dst);

/* For the instruction set in use. */
asymo_transpose_fn *asymo_transpose_kernel(void);
