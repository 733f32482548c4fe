#include <string.h>

#include "step.h"

int64_t asymo_fill_units(const asymo_fill_args *args) { return asymo_ceil_div(args->count, args->unit_size); }

int64_t asymo_fill_scratch(const asymo_fill_args *args) {
    (void)args;
    return 0;
}

/* Doubles what is written until a page is full, then copies the page. */
void asymo_fill_run(const asymo_fill_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const int64_t first = begin * args->unit_size, count = ASYMO_MIN(end * args->unit_size, args->count) - first;
    const int64_t bytes = count * args->size_bytes, page = 4096;
    char *dst = (char *)op[1] + first * args->size_bytes;
    if (bytes <= 0) return;
    int64_t done = ASYMO_MIN(args->size_bytes, bytes);
    memcpy(dst, op[0], (size_t)done);
    while (done < bytes) {
        const int64_t n = ASYMO_MIN(ASYMO_MIN(done, page), bytes - done);
        memcpy(dst + done, dst, (size_t)n);
        done += n;
    }
}
