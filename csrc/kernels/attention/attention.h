/* attention.h: what lies between and behind the two products of an attention; the products themselves are GEMM micro-kernels. */
#pragma once

#include "../../common/cpu.h"

/* Scores to weights that are not divided yet, in place, for `rows` rows of n >= 1 that lie ld apart:
 *
 *   z[i][j] = scale x[i][j] + mask[i * mask_row + j]     one fma; without a mask one product
 *   x[i][j] = exp(z[i][j] - max z[i])
 *   sum[i]  = sum over j of x[i][j]                      in the order of reduce/lanes.h
 *
 * A row of z that holds NaN or +inf gives NaN, as in softmax. So does one of nothing but -inf; with idle it gives weights 0 and the sum 1.
 * x overlaps nothing. */
ASYMO_DECLARE(void, asymo_attention_weights,
              (int64_t rows, int64_t n, float scale, const float *mask, int64_t mask_row, int64_t idle, float *x, int64_t ld, float *sum));

/* y[i * y_row + j] = x[i * ld + j] / sum[i] for i < rows, j < n. */
ASYMO_DECLARE(void, asymo_attention_quotients,
              (int64_t rows, int64_t n, const float *x, int64_t ld, const float *sum, float *y, int64_t y_row));
