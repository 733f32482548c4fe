/* typed.h: one operation on n elements of one type; exec/typed.h has the meaning of each. */
#pragma once

#include "../../common/base.h"

/* y[i] = op(a[i], b[i], c[i]) for i < n; operands beyond the arity are not read. All dense; y may be the array of an operand whose elements
 * have the same size. */
typedef void asymo_typed_fn(int64_t n, void *y, const void *a, const void *b, const void *c);

/* NULL: no such operation on these types. */
asymo_typed_fn *asymo_typed_kernel(int64_t op, int64_t in_type, int64_t out_type);

enum {
#define ASYMO_TYPED(NAME, ARITY) ASYMO_TYPED_##NAME,
#include "typed.inc"
#undef ASYMO_TYPED
    ASYMO_TYPED_OPS,
};
