#include "typed.h"

#include <string.h>

#include "../kernels/eltwise/typed.h"
#include "index.h"

enum { MAX_VIEWS = 4 };

/* An operand as elements of size bytes; inner is its innermost stride. */
typedef struct {
    char *base;
    const int64_t *stride;
    int64_t size, inner;
} view;

int64_t asymo_typed_units(const asymo_typed_args *args) { return asymo_ceil_div(asymo_count(args->rank, args->shape), args->unit_size); }

int64_t asymo_typed_scratch(const asymo_typed_args *args) {
    (void)args;
    return MAX_VIEWS * TYPED_BLOCK * 8;
}

#define MOVE(TYPE)                                                                                                                         \
    for (int64_t i = 0; i < n; i++) ((TYPE *)dst)[i * to] = ((const TYPE *)src)[i * from];                                                 \
    break;
static void move(int64_t size, int64_t n, void *dst, int64_t to, const void *src, int64_t from) {
    switch (size) {
    case 1: MOVE(uint8_t)
    case 2: MOVE(uint16_t)
    case 4: MOVE(uint32_t)
    case 8: MOVE(uint64_t)
    }
}

/* Blocks of one row of the innermost dimension; an operand that is not dense there passes through scratch. */
void asymo_typed_run(const asymo_typed_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    static const int64_t one = 1, no_stride[MAX_VIEWS] = {0};
    const int64_t rank = ASYMO_MAX(args->rank, 1), n_in = args->n_in;
    const int64_t *shape = args->rank == 0 ? &one : args->shape, *strides = args->rank == 0 ? no_stride : op[0];
    view views[MAX_VIEWS];
    for (int64_t i = 0; i <= n_in; i++) {
        const int64_t type = i == n_in ? args->out_type : i == 0 && args->op == ASYMO_TYPED_where ? (int64_t)ASYMO_BOOL : args->in_type;
        views[i] = (view){op[1 + i], strides + i * rank, asymo_dtype_size(type), strides[i * rank + rank - 1]};
    }
    asymo_typed_fn *kernel = asymo_typed_kernel(args->op, args->in_type, args->out_type);
    const int64_t row = shape[rank - 1], last = ASYMO_MIN(end * args->unit_size, asymo_count(rank, shape));
    for (int64_t first = begin * args->unit_size, n; first < last; first += n) {
        int64_t index[ASYMO_MAX_RANK];
        asymo_unravel(rank, shape, first, index);
        n = ASYMO_MIN(ASYMO_MIN((int64_t)TYPED_BLOCK, row - index[rank - 1]), last - first);
        char *at[MAX_VIEWS] = {0}, *dense[MAX_VIEWS] = {0};
        for (int64_t i = 0; i <= n_in; i++) {
            const view *v = &views[i];
            at[i] = v->base + v->size * asymo_offset(rank, index, v->stride);
            dense[i] = v->inner == 1 || n == 1 ? at[i] : (char *)worker->scratch + i * TYPED_BLOCK * 8;
            if (i < n_in && dense[i] != at[i]) move(v->size, n, dense[i], 1, at[i], v->inner);
        }
        kernel(n, dense[n_in], dense[0], n_in > 1 ? dense[1] : NULL, n_in > 2 ? dense[2] : NULL);
        if (dense[n_in] != at[n_in]) move(views[n_in].size, n, at[n_in], views[n_in].inner, dense[n_in], 1);
    }
}
