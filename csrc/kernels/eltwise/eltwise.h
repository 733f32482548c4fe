/* eltwise.h: one instruction of a chain over n elements. */
#pragma once

#include "../../common/base.h"

/* dst[i] = op(a[i], b[i], c[i]) for i < n. op: a row ASYMO_ELTWISE of eltwise.inc; operands beyond its arity are not read.
 * dst may be the same array as an operand; otherwise they do not overlap. No alignment. */
typedef void asymo_eltwise_fn(int64_t op, int64_t n, float *dst, const float *a, const float *b, const float *c);

/* For the instruction set in use. */
asymo_eltwise_fn *asymo_eltwise_kernel(void);

/* The numbers of the instructions. */
enum {
#define ASYMO_ELTWISE_CONTROL(NAME, ARITY) ASYMO_ELTWISE_##NAME,
#define ASYMO_ELTWISE(NAME, ARITY, FORMULA) ASYMO_ELTWISE_##NAME,
#include "eltwise.inc"
#undef ASYMO_ELTWISE_CONTROL
#undef ASYMO_ELTWISE
    ASYMO_ELTWISE_OPS,
};
