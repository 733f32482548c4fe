/* rnn.c: the recurrent part of LSTM, GRU and RNN, a phase (or two, GRU) per time step. Layouts: kernels/rnn/rnn.h.
 * A unit is the blocks of 16 hidden columns that cover unit_n. An empty sequence has one phase too: it hands the first state on. */
#include "../kernels/rnn/rnn.h"
#include "step.h"

static int64_t blocks_per_unit(const asymo_rnn_args *args) { return asymo_ceil_div(args->unit_n, ASYMO_RNN_BLOCK); }

int64_t asymo_rnn_units(const asymo_rnn_args *args) { return asymo_ceil_div(asymo_rnn_blocks(args->hidden), blocks_per_unit(args)); }

int64_t asymo_rnn_scratch(const asymo_rnn_args *args) {
    (void)args;
    return 0;
}

int64_t asymo_rnn_phases(const asymo_rnn_args *args) { return ASYMO_MAX(args->seq, 1) * asymo_rnn_phases_per_step(args); }

void asymo_rnn_run(const asymo_rnn_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const int64_t last = ASYMO_MIN(end * blocks_per_unit(args), asymo_rnn_blocks(args->hidden));
    for (int64_t block = begin * blocks_per_unit(args); block < last; block++) ASYMO_PICK(asymo_rnn_block)(args, op, worker->phase, block);
}
