#include <stdlib.h>

#include "step.h"

int64_t asymo_pool_units(const asymo_pool_args *args);
int64_t asymo_pool_scratch(const asymo_pool_args *args);
void asymo_pool_run(const asymo_pool_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker);

int64_t asymo_pool_units(const asymo_pool_args *args) { (void)args; abort(); }
int64_t asymo_pool_scratch(const asymo_pool_args *args) { (void)args; abort(); }
void asymo_pool_run(const asymo_pool_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)args; (void)op; (void)begin; (void)end; (void)worker;
    abort();
}
