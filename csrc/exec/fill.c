#include <string.h>

#include "step.h"

int64_t asymo_fill_units(const asymo_fill_args *args) { return asymo_ceil_div(args->count, args->unit_size); }

/* As many patterns as go into a page, one at least. */
static int64_t patterns(const asymo_fill_args *args) { return ASYMO_MAX(4096 / ASYMO_MAX(args->size_bytes, 1), 1); }

int64_t asymo_fill_scratch(const asymo_fill_args *args) { return patterns(args) * args->size_bytes; }

void asymo_fill_run(const asymo_fill_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const int64_t size = args->size_bytes, first = begin * args->unit_size, last = ASYMO_MIN(end * args->unit_size, args->count);
    const int64_t most = ASYMO_MIN(patterns(args), last - first);
    char *dst = op[1], *page = worker->scratch;
    for (int64_t i = 0; i < most; i++) memcpy(page + i * size, op[0], (size_t)size);
    for (int64_t i = first, n; i < last; i += n) {
        n = ASYMO_MIN(most, last - i);
        memcpy(dst + i * size, page, (size_t)(n * size));
    }
}
