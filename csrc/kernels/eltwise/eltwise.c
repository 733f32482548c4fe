#include "eltwise.h"

#include "../../common/cpu.h"

ASYMO_DECLARE(void, asymo_eltwise_apply, (int64_t op, int64_t n, float *dst, const float *a, const float *b, const float *c));

asymo_eltwise_fn *asymo_eltwise_kernel(void) { return ASYMO_PICK(asymo_eltwise_apply); }

typedef struct {
    const char *name;
    int32_t arity;
} op_row;

static const op_row rows[] = {
#define ASYMO_ELTWISE_CONTROL(NAME, ARITY) {#NAME, ARITY},
#define ASYMO_ELTWISE(NAME, ARITY, FORMULA) {#NAME, ARITY},
#include "eltwise.inc"
#undef ASYMO_ELTWISE_CONTROL
#undef ASYMO_ELTWISE
};

int32_t asymo_eltwise_op_count(void) { return ASYMO_ELTWISE_OPS; }
const char *asymo_eltwise_op_name(int32_t op) { return op >= 0 && op < ASYMO_ELTWISE_OPS ? rows[op].name : NULL; }
int32_t asymo_eltwise_op_arity(int32_t op) { return op >= 0 && op < ASYMO_ELTWISE_OPS ? rows[op].arity : -1; }
