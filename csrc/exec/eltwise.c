#include "eltwise.h"

#include <string.h>

#include "../kernels/eltwise/act.h"
#include "../kernels/eltwise/eltwise.h"
#include "index.h"

enum { ROW_WORTH_A_BLOCK = 64 };

/* One input or output. contiguous: elements follow each other in the order of the output. */
typedef struct {
    char *base;
    const int64_t *stride;
    int64_t type, size, inner;
    int32_t is_contiguous;
} view;

/* What a run knows of its step; index is the position of the block's first element. */
typedef struct {
    const asymo_eltwise_args *args;
    view views[ASYMO_MAX_OPERANDS];
    float *scratch; /* [registers][block] */
    float *reg[ASYMO_ELTWISE_REGISTERS];
    int64_t row; /* length of the innermost dimension */
    int64_t first, n;
    int64_t index[ASYMO_MAX_RANK];
} state;

int64_t asymo_eltwise_units(const asymo_eltwise_args *args) {
    return asymo_ceil_div(asymo_count(args->rank, args->shape), args->unit_size);
}

int64_t asymo_eltwise_scratch(const asymo_eltwise_args *args) {
    (void)args;
    return ASYMO_ELTWISE_REGISTERS * ELTWISE_BLOCK * (int64_t)sizeof(float);
}

static void splat(float *dst, float value, int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = value;
}

#define TO_FLOAT(TYPE)                                                                                                                     \
    for (int64_t i = 0; i < n; i++) dst[i] = (float)((const TYPE *)src)[i * stride];                                                       \
    break;
static void convert_in(int64_t type, int64_t n, float *dst, const void *src, int64_t stride) {
    switch (type) {
    case ASYMO_F32: TO_FLOAT(float)
    case ASYMO_F64: TO_FLOAT(double)
    case ASYMO_I8: TO_FLOAT(int8_t)
    case ASYMO_U8: TO_FLOAT(uint8_t)
    case ASYMO_I16: TO_FLOAT(int16_t)
    case ASYMO_U16: TO_FLOAT(uint16_t)
    case ASYMO_I32: TO_FLOAT(int32_t)
    case ASYMO_U32: TO_FLOAT(uint32_t)
    case ASYMO_I64: TO_FLOAT(int64_t)
    case ASYMO_U64: TO_FLOAT(uint64_t)
    case ASYMO_BOOL:
        for (int64_t i = 0; i < n; i++) dst[i] = ((const uint8_t *)src)[i * stride] != 0 ? 1.0f : 0.0f;
        break;
    }
}

/* limit: the first float above the type's range */
#define FROM_FLOAT(TYPE, LOW, HIGH, LIMIT)                                                                                                 \
    for (int64_t i = 0; i < n; i++) {                                                                                                      \
        const float x = src[i];                                                                                                            \
        ((TYPE *)dst)[i * stride] = x != x ? 0 : x >= (LIMIT) ? (HIGH) : x <= (float)(LOW) ? (LOW) : (TYPE)x;                              \
    }                                                                                                                                      \
    break;
static void convert_out(int64_t type, int64_t n, void *dst, int64_t stride, const float *src) {
    switch (type) {
    case ASYMO_F32:
        for (int64_t i = 0; i < n; i++) ((float *)dst)[i * stride] = src[i];
        break;
    case ASYMO_F64:
        for (int64_t i = 0; i < n; i++) ((double *)dst)[i * stride] = src[i];
        break;
    case ASYMO_I8: FROM_FLOAT(int8_t, INT8_MIN, INT8_MAX, 128.0f)
    case ASYMO_U8: FROM_FLOAT(uint8_t, 0, UINT8_MAX, 256.0f)
    case ASYMO_I16: FROM_FLOAT(int16_t, INT16_MIN, INT16_MAX, 32768.0f)
    case ASYMO_U16: FROM_FLOAT(uint16_t, 0, UINT16_MAX, 65536.0f)
    case ASYMO_I32: FROM_FLOAT(int32_t, INT32_MIN, INT32_MAX, 0x1p31f)
    case ASYMO_U32: FROM_FLOAT(uint32_t, 0, UINT32_MAX, 0x1p32f)
    case ASYMO_I64: FROM_FLOAT(int64_t, INT64_MIN, INT64_MAX, 0x1p63f)
    case ASYMO_U64: FROM_FLOAT(uint64_t, 0, UINT64_MAX, 0x1p64f)
    case ASYMO_BOOL:
        for (int64_t i = 0; i < n; i++) ((uint8_t *)dst)[i * stride] = src[i] != 0.0f;
        break;
    }
}

/* Address of the block's first element. */
static char *locate(const state *s, const view *v) {
    return v->base + v->size * (v->is_contiguous ? s->first : asymo_offset(s->args->rank, s->index, v->stride));
}

/* The block's elements lie in memory as floats one after the other. */
static int is_plain(const state *s, const view *v) {
    return v->type == ASYMO_F32 && (v->is_contiguous || (v->inner == 1 && s->n <= s->row - s->index[s->args->rank - 1]));
}

/* Visits the pieces of the block that lie in one row of the innermost dimension. */
#define EACH_PIECE(s, v)                                                                                                                   \
    int64_t index[ASYMO_MAX_RANK], done = 0, piece;                                                                                        \
    memcpy(index, (s)->index, sizeof index);                                                                                               \
    for (; done < (s)->n; done += piece, asymo_advance((s)->args->rank, (s)->args->shape, index, piece))                                   \
        if (piece = ASYMO_MIN((s)->n - done, (s)->row - index[(s)->args->rank - 1]), 1)

static void load(state *s, int32_t dst, const view *v, int may_alias) {
    float *reg = s->reg[dst] = s->scratch + (int64_t)dst * ELTWISE_BLOCK;
    if (is_plain(s, v)) {
        if (may_alias)
            s->reg[dst] = (float *)locate(s, v);
        else
            memcpy(reg, locate(s, v), (size_t)s->n * sizeof(float));
        return;
    }
    if (v->is_contiguous) {
        convert_in(v->type, s->n, reg, locate(s, v), 1);
        return;
    }
    EACH_PIECE(s, v) {
        const char *src = v->base + v->size * asymo_offset(s->args->rank, index, v->stride);
        if (v->inner == 0) {
            float value = 0.0f;
            convert_in(v->type, 1, &value, src, 1);
            splat(reg + done, value, piece);
        } else {
            convert_in(v->type, piece, reg + done, src, v->inner);
        }
    }
}

static void store(const state *s, const view *v, const float *reg) {
    if (v->is_contiguous) {
        convert_out(v->type, s->n, locate(s, v), 1, reg);
        return;
    }
    EACH_PIECE(s, v) convert_out(v->type, piece, v->base + v->size * asymo_offset(s->args->rank, index, v->stride), v->inner, reg + done);
}

/* Runs the code over the block. With one output, a load may stand for the input's memory itself, and the row before the only store writes
 * to the output's memory; neither can be seen by another row, because the store is last. */
static void run_block(state *s, const int32_t *code, const float *imm, asymo_eltwise_fn *apply) {
    const asymo_eltwise_args *args = s->args;
    const int single = args->n_out == 1;
    for (int64_t i = 0; i < args->n_code; i++) {
        const int32_t *row = code + 5 * i, dst = row[1];
        if (row[0] == ASYMO_ELTWISE_load) {
            load(s, dst, &s->views[row[2]], single);
            continue;
        }
        if (row[0] == ASYMO_ELTWISE_store) {
            store(s, &s->views[args->n_in + dst], s->reg[row[2]]);
            continue;
        }
        float *to = s->scratch + (int64_t)dst * ELTWISE_BLOCK;
        const int32_t *next = row + 5;
        const view *y = &s->views[args->n_in];
        const int is_last = single && i + 2 == args->n_code && next[0] == ASYMO_ELTWISE_store && next[2] == dst && is_plain(s, y);
        if (is_last) to = (float *)locate(s, y);
        if (row[0] == ASYMO_ELTWISE_imm)
            splat(to, imm[row[2]], s->n);
        else if (row[0] == ASYMO_ELTWISE_act)
            asymo_act_rows()(row[3], 1, s->n, s->reg[row[2]], s->n, to, s->n, NULL, imm[row[4]], imm[row[4] + 1]);
        else
            apply(row[0], s->n, to, s->reg[row[2]], s->reg[row[3]], s->reg[row[4]]);
        s->reg[dst] = to;
        if (is_last) return;
    }
}

void asymo_eltwise_run(const asymo_eltwise_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    static const int64_t no_stride[1] = {0};
    state s = {.args = args, .scratch = worker->scratch};
    asymo_eltwise_args scalar;
    if (args->rank == 0) {
        scalar = *args;
        scalar.rank = 1;
        scalar.shape[0] = 1;
        s.args = &scalar;
    }
    const int64_t rank = s.args->rank, *strides = args->rank == 0 ? no_stride : (const int64_t *)op[2];
    int all_contiguous = 1;
    for (int64_t i = 0; i < args->n_in + args->n_out; i++) {
        view *v = &s.views[i];
        const int64_t types = i < args->n_in ? args->in_type : args->out_type, j = i < args->n_in ? i : i - args->n_in;
        v->base = op[3 + i];
        v->type = types >> (4 * j) & 15;
        v->size = asymo_dtype_size(v->type);
        v->stride = strides + (args->rank == 0 ? 0 : i * rank);
        v->inner = v->stride[rank - 1];
        v->is_contiguous = asymo_is_contiguous(rank, s.args->shape, v->stride);
        all_contiguous &= v->is_contiguous;
    }
    for (int64_t r = 0; r < ASYMO_ELTWISE_REGISTERS; r++) s.reg[r] = s.scratch;
    s.row = s.args->shape[rank - 1];
    const int64_t last = ASYMO_MIN(end * args->unit_size, asymo_count(rank, s.args->shape));
    asymo_eltwise_fn *apply = asymo_eltwise_kernel();
    for (s.first = begin * args->unit_size; s.first < last; s.first += s.n) {
        s.n = ASYMO_MIN(ELTWISE_BLOCK, last - s.first);
        if (!all_contiguous) {
            asymo_unravel(rank, s.args->shape, s.first, s.index);
            if (s.row >= ROW_WORTH_A_BLOCK) s.n = ASYMO_MIN(s.n, s.row - s.index[rank - 1]);
        }
        run_block(&s, op[0], op[1], apply);
    }
}
