/* resample.h: one output position of a resampling along an axis. */
#pragma once

#include "../../common/cpu.h"

/* y[j] = sum_t w[t] x[index[t] inner + j], by fma from 0 in ascending t, for j < inner. */
ASYMO_DECLARE(void, asymo_resample_row, (int64_t taps, const int32_t *index, const float *w, int64_t inner, const float *x, float *y));
