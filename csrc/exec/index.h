/* index.h: positions in strided tensors. */
#pragma once

#include "../common/base.h"

static inline int64_t asymo_count(int64_t rank, const int64_t *shape) {
    int64_t n = 1;
    for (int64_t d = 0; d < rank; d++) n *= shape[d];
    return n;
}

static inline int64_t asymo_dtype_size(int64_t type) {
    static const int8_t size[] = {
        [ASYMO_F32] = 4, [ASYMO_F64] = 8, [ASYMO_I8] = 1,  [ASYMO_U8] = 1,  [ASYMO_I16] = 2,  [ASYMO_U16] = 2,
        [ASYMO_I32] = 4, [ASYMO_U32] = 4, [ASYMO_I64] = 8, [ASYMO_U64] = 8, [ASYMO_BOOL] = 1,
    };
    return size[type];
}

/* Row major without gaps; a dimension of one element may have any stride. */
static inline int asymo_is_contiguous(int64_t rank, const int64_t *shape, const int64_t *stride) {
    int64_t expected = 1;
    for (int64_t d = rank - 1; d >= 0; d--) {
        if (shape[d] != 1 && stride[d] != expected) return 0;
        expected *= shape[d];
    }
    return 1;
}

/* The index of element i in row major order. */
static inline void asymo_unravel(int64_t rank, const int64_t *shape, int64_t i, int64_t *index) {
    for (int64_t d = rank - 1; d > 0; d--) {
        index[d] = i % shape[d];
        i /= shape[d];
    }
    if (rank > 0) index[0] = i;
}

static inline int64_t asymo_offset(int64_t rank, const int64_t *index, const int64_t *stride) {
    int64_t offset = 0;
    for (int64_t d = 0; d < rank; d++) offset += index[d] * stride[d];
    return offset;
}

/* Moves the index by n elements that do not cross the end of the innermost dimension. */
static inline void asymo_advance(int64_t rank, const int64_t *shape, int64_t *index, int64_t n) {
    index[rank - 1] += n;
    for (int64_t d = rank - 1; d > 0 && index[d] == shape[d]; d--) {
        index[d] = 0;
        index[d - 1]++;
    }
}
