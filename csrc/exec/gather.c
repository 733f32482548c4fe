#include <stdlib.h>

#include "step.h"

int64_t asymo_gather_units(const asymo_gather_args *args);
int64_t asymo_gather_scratch(const asymo_gather_args *args);
void asymo_gather_run(const asymo_gather_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker);

int64_t asymo_gather_units(const asymo_gather_args *args) { (void)args; abort(); }
int64_t asymo_gather_scratch(const asymo_gather_args *args) { (void)args; abort(); }
void asymo_gather_run(const asymo_gather_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)args; (void)op; (void)begin; (void)end; (void)worker;
    abort();
}
