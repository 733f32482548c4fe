#include <string.h>

#include "step.h"

int64_t asymo_gather_units(const asymo_gather_args *args) { return args->inner_bytes > 0 ? args->outer * args->count : 0; }

int64_t asymo_gather_scratch(const asymo_gather_args *args) {
    (void)args;
    return 0;
}

void asymo_gather_run(const asymo_gather_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const int64_t bytes = args->inner_bytes;
    if (begin == end) return;
    const char *x = op[0];
    char *y = op[2];
    if (args->axis == 0) { /* nothing to take: every index is out of range */
        asymo_worker_fault(worker);
        memset(y + begin * bytes, 0, (size_t)((end - begin) * bytes));
        return;
    }
    int64_t o = begin / args->count, i = begin % args->count;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t at = args->index_type == ASYMO_I64 ? ((const int64_t *)op[1])[i] : ((const int32_t *)op[1])[i];
        if (at < 0) at += args->axis;
        if (at < 0 || at >= args->axis) {
            asymo_worker_fault(worker);
            at = at < 0 ? 0 : args->axis - 1;
        }
        const char *from = x + (o * args->axis + at) * bytes;
        char *to = y + unit * bytes;
        switch (bytes) { /* constant sizes are one move each */
        case 4: memcpy(to, from, 4); break;
        case 8: memcpy(to, from, 8); break;
        default: memcpy(to, from, (size_t)bytes); break;
        }
        if (++i == args->count) i = 0, o++;
    }
}
