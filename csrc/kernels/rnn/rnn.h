/* rnn.h: the recurrent part of LSTM, GRU and RNN: layouts, and one block of hidden columns in one phase.
 *
 * A block is 16 hidden columns. R is packed block by block, in the order in which a block is read; columns beyond hidden are zeros.
 * Gates have ONNX's order (LSTM: i o f c, GRU: z r h). The same on every instruction set.
 *
 *   LSTM  block 0: k = 0: i[16] o[16] f[16] c[16], k = 1: ...            | block 1 ...
 *   GRU   block 0: k = 0: z[16] r[16], k = 1: ...  then  k = 0: h[16], ... | block 1 ...
 *   RNN   block 0: k = 0: [16], k = 1: ...                               | block 1 ...
 *
 * Scratch: rows of the padded width, batch rows in a plane.
 *
 *   plane   0, 1                                  2             3
 *           h after even and odd steps            LSTM: c       GRU: r * h (read by every block of the second phase)
 *                                                 GRU: z
 */
#pragma once

#include "../../common/cpu.h"

enum { ASYMO_RNN_CELL = 0, ASYMO_LSTM_CELL = 1, ASYMO_GRU_CELL = 2, ASYMO_RNN_BLOCK = 16 };

static inline int64_t asymo_rnn_gates(int64_t cell) { return cell == ASYMO_LSTM_CELL ? 4 : cell == ASYMO_GRU_CELL ? 3 : 1; }
static inline int64_t asymo_rnn_planes(int64_t cell) { return cell == ASYMO_LSTM_CELL ? 3 : cell == ASYMO_GRU_CELL ? 4 : 2; }
static inline int64_t asymo_rnn_blocks(int64_t hidden) { return asymo_ceil_div(hidden, ASYMO_RNN_BLOCK); }
/* Phases of one time step: a GRU that multiplies r into h before R needs all of r * h before it can go on. */
static inline int64_t asymo_rnn_phases_per_step(const asymo_rnn_args *args) {
    return args->cell == ASYMO_GRU_CELL && !args->linear_before_reset ? 2 : 1;
}

/* Runs block `block` in phase `phase`, for every row of the batch. op: the operands of asymo_rnn_args. */
ASYMO_DECLARE(void, asymo_rnn_block, (const asymo_rnn_args *args, void *const *op, int64_t phase, int64_t block));
