/* rnn_pack.c: R of one direction, rows gate by gate, into the blocks of rnn.h. */
#include "rnn.h"

int64_t asymo_rnn_packed_size(int64_t cell, int64_t hidden) {
    return asymo_rnn_blocks(hidden) * ASYMO_RNN_BLOCK * hidden * asymo_rnn_gates(cell);
}

int64_t asymo_rnn_state_bytes(int64_t cell, int64_t batch, int64_t hidden) {
    return asymo_rnn_planes(cell) * batch * asymo_rnn_blocks(hidden) * ASYMO_RNN_BLOCK * (int64_t)sizeof(float);
}

/* Gates first .. first + count - 1 of the block at column j, k by k. Returns the end of what was written. */
static float *pack_gates(int64_t hidden, int64_t j, int64_t first, int64_t count, const asymo_loose_float *r, float *packed) {
    for (int64_t k = 0; k < hidden; k++)
        for (int64_t gate = first; gate < first + count; gate++)
            for (int64_t i = j; i < j + ASYMO_RNN_BLOCK; i++) *packed++ = i < hidden ? r[(gate * hidden + i) * hidden + k] : 0.0f;
    return packed;
}

void asymo_rnn_pack(int64_t cell, int64_t hidden, const float *r, float *packed) {
    for (int64_t j = 0; j < hidden; j += ASYMO_RNN_BLOCK) {
        if (cell == ASYMO_GRU_CELL) {
            packed = pack_gates(hidden, j, 0, 2, r, packed);
            packed = pack_gates(hidden, j, 2, 1, r, packed);
        } else {
            packed = pack_gates(hidden, j, 0, asymo_rnn_gates(cell), r, packed);
        }
    }
}
