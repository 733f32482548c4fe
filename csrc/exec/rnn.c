#include <stdlib.h>

#include "step.h"

int64_t asymo_rnn_units(const asymo_rnn_args *args);
int64_t asymo_rnn_scratch(const asymo_rnn_args *args);
void asymo_rnn_run(const asymo_rnn_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker);

int64_t asymo_rnn_units(const asymo_rnn_args *args) { (void)args; abort(); }
int64_t asymo_rnn_scratch(const asymo_rnn_args *args) { (void)args; abort(); }
void asymo_rnn_run(const asymo_rnn_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)args; (void)op; (void)begin; (void)end; (void)worker;
    abort();
}
int64_t asymo_rnn_phases(const asymo_rnn_args *args);
int64_t asymo_rnn_phases(const asymo_rnn_args *args) { (void)args; abort(); }
