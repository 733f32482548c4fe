/* pack.h: one panel of B.
 *
 *   panel[i * nr + j] = b[i * k_stride + j * n_stride] for i < k, j < n <= nr; 0 for n <= j < nr
 *
 * b may lie at any address. */
#pragma once

#include <string.h>

#include "gemm.h"

void asymo_gemm_pack_panel(int64_t k, int64_t n, int64_t nr, const asymo_loose_float *b, int64_t k_stride, int64_t n_stride, float *panel);
