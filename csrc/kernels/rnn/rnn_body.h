/* rnn_body.h: recurrent cells, 16 hidden columns at a time. Include v16.h first.
 *
 * For every row of the batch: the gates' accumulators start at the input part (plus the recurrent bias), h R is added by fma in
 * ascending k, then activations and the cell's update follow in registers. Up to ROWS(gates) rows share one pass over R:
 *
 *                R[k]:  gate 0   gate 1   gate 2   gate 3      16 columns each
 *   h[row 0][k]  x      a[0][0]  a[0][1]  a[0][2]  a[0][3]
 *   h[row 1][k]  x      a[1][0]  ...                           every a is one accumulator per output
 *
 * A row whose sequence has ended keeps its state and writes zeros to Y. */
#include "../eltwise/act_body.h"
#include "../simd/each.h"
#include "rnn.h"

#ifdef ASYMO_VEC_AVX512
#define ROWS(gates) 4
#else
#define ROWS(gates) (4 / (gates))
#endif
enum { MAX_ROWS = 4, MAX_GATES = 4 };

/* What a block needs to know of its step. */
typedef struct {
    const asymo_rnn_args *args;
    void *const *op;
    int64_t step, second_phase;
    int64_t j, n;    /* first column, columns inside hidden */
    int64_t width;   /* hidden, padded */
    const float *r;  /* the block's panel */
    float *plane[4]; /* of the scratch, NULL where the cell has none; h_out is plane[step & 1] */
} block_state;

/* One row of the batch at this step. */
typedef struct {
    const float *x;         /* gates of the input */
    const float *h;         /* [hidden] of the step before; NULL: zeros */
    float *h_out;           /* [16]: this block's part of the new h */
    float *c, *z, *reset;   /* [16]: this block's part of planes 2 and 3 */
    const float *reset_all; /* [hidden] */
    float *y, *y_h, *y_c;   /* [n]; NULL: not wanted */
} block_row;

V16_FN v16 part(const block_state *s, const float *p, int64_t g) {
    return p == NULL ? v16_zero() : v16_load_n(p + g * s->args->hidden + s->j, s->n);
}

V16_FN v16 input(const block_state *s, const block_row *row, int64_t g) {
    return s->op[2] ? v16_add(part(s, row->x, g), part(s, s->op[2], g)) : part(s, row->x, g);
}

static v16 activated(const block_state *s, int64_t i, v16 x) {
    return v16_act(s->args->act[i], x, v16_zero(), (float)s->args->p[i], (float)s->args->q[i]);
}

V16_FN v16 gate(const block_state *s, int64_t i, v16 x) {
    const float clip = (float)s->args->clip;
    return activated(s, i, clip > 0.0f ? v16_clip(x, v16_set1(-clip), v16_set1(clip)) : x);
}

#ifdef ASYMO_VEC_NEON
#include "products_neon.h"
#else
/* a[row][gate] += sum over k of h[row][k] r[k][gate]; rows and gates are constants. */
V16_FN void add_products(const int rows, const int gates, int64_t hidden, const float *const *h, const float *r, v16 a[][MAX_GATES]) {
    v16 t[MAX_ROWS][MAX_GATES];
    EACH(i, rows) EACH(g, gates) t[i][g] = a[i][g];
    for (int64_t k = 0; k < hidden; k++, r += 16 * gates) EACH(i, rows) {
            const v16 hk = v16_set1(h[i][k]);
            EACH(g, gates) t[i][g] = v16_fma(hk, v16_load(r + 16 * g), t[i][g]);
        }
    EACH(i, rows) EACH(g, gates) a[i][g] = t[i][g];
}
#endif

/* The same for any number of rows up to MAX_ROWS, with the rows' h; reset: with r * h instead. */
V16_FN void add_recurrent(const block_state *s, int64_t gates, int64_t rows, const block_row *row, int reset, const float *r,
                          v16 a[][MAX_GATES]) {
    if (row[0].h == NULL) return;
    const float *h[MAX_ROWS];
    for (int64_t i = 0; i < rows; i++) h[i] = reset ? row[i].reset_all : row[i].h;
    int64_t i = 0;
    for (; i + ROWS(gates) <= rows; i += ROWS(gates)) add_products(ROWS(gates), gates, s->args->hidden, h + i, r, a + i);
    if (ROWS(gates) > 1)
        for (; i < rows; i++) add_products(1, gates, s->args->hidden, h + i, r, a + i);
}

V16_FN v16 h_before(const block_state *s, const block_row *row) { return part(s, row->h, 0); }

V16_FN v16 c_before(const block_state *s, const block_row *row, int64_t b) {
    if (s->step > 0) return v16_load(row->c);
    return s->op[6] ? part(s, (const float *)s->op[6] + b * s->args->hidden, 0) : v16_zero();
}

/* Writes the new h, and y when this step has one (else zeros there). */
V16_FN void put_h(const block_state *s, const block_row *row, v16 h, int active) {
    v16_store(row->h_out, h);
    if (row->y) v16_store_n(row->y, active ? h : v16_zero(), s->n);
    if (row->y_h) v16_store_n(row->y_h, h, s->n);
}

V16_FN void put_c(const block_state *s, const block_row *row, v16 c) {
    v16_store(row->c, c);
    if (row->y_c) v16_store_n(row->y_c, c, s->n);
}

/* Newer clangs take half a minute to compile all cells for NEON as one function. */
#ifdef __clang__
#define CELL_FN static __attribute__((noinline))
#else
#define CELL_FN V16_FN
#endif

CELL_FN void rnn_rows(const block_state *s, int64_t rows, const block_row *row) {
    v16 a[MAX_ROWS][MAX_GATES];
    for (int64_t i = 0; i < rows; i++) a[i][0] = input(s, &row[i], 0);
    add_recurrent(s, 1, rows, row, 0, s->r, a);
    for (int64_t i = 0; i < rows; i++) put_h(s, &row[i], gate(s, 0, a[i][0]), 1);
}

CELL_FN void lstm_rows(const block_state *s, int64_t rows, const block_row *row, const int64_t *b) {
    enum { I, O, F, C };
    v16 a[MAX_ROWS][MAX_GATES];
    for (int64_t i = 0; i < rows; i++)
        for (int64_t g = 0; g < 4; g++) a[i][g] = input(s, &row[i], g);
    add_recurrent(s, 4, rows, row, 0, s->r, a);
    const float *peephole = s->op[3];
    for (int64_t i = 0; i < rows; i++) {
        const v16 before = c_before(s, &row[i], b[i]);
        if (peephole) {
            a[i][I] = v16_fma(part(s, peephole, 0), before, a[i][I]);
            a[i][F] = v16_fma(part(s, peephole, 2), before, a[i][F]);
        }
        const v16 in = gate(s, 0, a[i][I]);
        const v16 forget = s->args->input_forget ? v16_sub(v16_set1(1.0f), in) : gate(s, 0, a[i][F]);
        const v16 c = v16_fma(forget, before, v16_mul(in, gate(s, 1, a[i][C])));
        if (peephole) a[i][O] = v16_fma(part(s, peephole, 1), c, a[i][O]);
        const v16 out = gate(s, 0, a[i][O]);
        put_c(s, &row[i], c);
        put_h(s, &row[i], v16_mul(out, activated(s, 2, c)), 1);
    }
}

/* h' = (1 - z) candidate + z h */
V16_FN v16 gru_mix(v16 z, v16 candidate, v16 h) { return v16_fma(z, h, v16_mul(v16_sub(v16_set1(1.0f), z), candidate)); }

V16_FN void gru_gates(const block_state *s, int64_t rows, const block_row *row, v16 a[][MAX_GATES]) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t g = 0; g < 2; g++) a[i][g] = input(s, &row[i], g);
    add_recurrent(s, 2, rows, row, 0, s->r, a);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t g = 0; g < 2; g++) a[i][g] = gate(s, 0, a[i][g]);
}

/* candidate = g(x + (r * h) R + bias), in two phases. */
CELL_FN void gru_rows(const block_state *s, int64_t rows, const block_row *row) {
    v16 a[MAX_ROWS][MAX_GATES];
    if (!s->second_phase) {
        gru_gates(s, rows, row, a);
        for (int64_t i = 0; i < rows; i++) {
            v16_store(row[i].z, a[i][0]);
            v16_store(row[i].reset, v16_mul(a[i][1], h_before(s, &row[i])));
        }
        return;
    }
    for (int64_t i = 0; i < rows; i++) a[i][0] = input(s, &row[i], 2);
    add_recurrent(s, 1, rows, row, 1, s->r + 2 * 16 * s->args->hidden, a);
    for (int64_t i = 0; i < rows; i++) put_h(s, &row[i], gru_mix(v16_load(row[i].z), gate(s, 1, a[i][0]), h_before(s, &row[i])), 1);
}

/* candidate = g(x + r * (h R + bias)), in one phase. */
CELL_FN void gru_linear_rows(const block_state *s, int64_t rows, const block_row *row) {
    v16 a[MAX_ROWS][MAX_GATES], candidate[MAX_ROWS][MAX_GATES];
    gru_gates(s, rows, row, a);
    for (int64_t i = 0; i < rows; i++) candidate[i][0] = part(s, s->op[2], 2);
    add_recurrent(s, 1, rows, row, 0, s->r + 2 * 16 * s->args->hidden, candidate);
    for (int64_t i = 0; i < rows; i++) {
        const v16 new = gate(s, 1, v16_fma(a[i][1], candidate[i][0], part(s, row[i].x, 2)));
        put_h(s, &row[i], gru_mix(a[i][0], new, h_before(s, &row[i])), 1);
    }
}

V16_FN float *in_plane(const block_state *s, int64_t i, int64_t offset) { return s->plane[i] ? s->plane[i] + offset : NULL; }

/* Row b of the batch; time: its position in x and y at this step. */
V16_FN block_row row_at(const block_state *s, int64_t b, int64_t time) {
    const asymo_rnn_args *args = s->args;
    const int64_t own = b * s->width + s->j, last = s->step + 1 >= args->seq;
    const float *first_h = s->op[5];
    float *y = s->op[7], *y_h = s->op[8], *y_c = s->op[9];
    return (block_row){
        .x = args->seq == 0 ? NULL : (const float *)s->op[0] + time * args->x_seq + b * args->x_batch,
        .h = s->step > 0 ? s->plane[(s->step & 1) ^ 1] + b * s->width
             : first_h   ? first_h + b * args->hidden
                         : NULL,
        .h_out = s->plane[s->step & 1] + own,
        .c = in_plane(s, 2, own),
        .z = in_plane(s, 2, own),
        .reset = in_plane(s, 3, own),
        .reset_all = in_plane(s, 3, b * s->width),
        .y = y && args->seq > 0 ? y + time * args->y_seq + b * args->y_batch + s->j : NULL,
        .y_h = y_h && last ? y_h + b * args->hidden + s->j : NULL,
        .y_c = y_c && last ? y_c + b * args->hidden + s->j : NULL,
    };
}

V16_FN void run_rows(const block_state *s, int64_t rows, const block_row *row, const int64_t *b) {
    if (s->args->cell == ASYMO_LSTM_CELL)
        lstm_rows(s, rows, row, b);
    else if (s->args->cell == ASYMO_RNN_CELL)
        rnn_rows(s, rows, row);
    else if (s->args->linear_before_reset)
        gru_linear_rows(s, rows, row);
    else
        gru_rows(s, rows, row);
}

/* The sequence of row b is over: its state stays. */
V16_FN void keep(const block_state *s, int64_t b) {
    const block_row row = row_at(s, b, s->step);
    if (s->args->cell == ASYMO_LSTM_CELL) put_c(s, &row, c_before(s, &row, b));
    put_h(s, &row, h_before(s, &row), 0);
}

void ASYMO_NAME(asymo_rnn_block)(const asymo_rnn_args *args, void *const *op, int64_t phase, int64_t block) {
    const int64_t per_step = asymo_rnn_phases_per_step(args), width = asymo_rnn_blocks(args->hidden) * ASYMO_RNN_BLOCK;
    block_state s = {
        .args = args,
        .op = op,
        .step = phase / per_step,
        .second_phase = phase % per_step,
        .j = block * ASYMO_RNN_BLOCK,
        .n = ASYMO_MIN(ASYMO_RNN_BLOCK, args->hidden - block * ASYMO_RNN_BLOCK),
        .width = width,
        .r = (const float *)op[1] + block * ASYMO_RNN_BLOCK * args->hidden * asymo_rnn_gates(args->cell),
    };
    for (int64_t i = 0; i < asymo_rnn_planes(args->cell); i++) s.plane[i] = (float *)op[10] + i * args->batch * width;

    const int32_t *lengths = op[4];
    const int is_last_phase = s.second_phase == per_step - 1;
    block_row row[MAX_ROWS];
    int64_t index[MAX_ROWS], rows = 0;
    for (int64_t b = 0; b < args->batch; b++) {
        const int64_t length = lengths ? ASYMO_MIN(lengths[b], args->seq) : args->seq;
        if (s.step < length) {
            index[rows] = b;
            row[rows++] = row_at(&s, b, args->reverse ? length - 1 - s.step : s.step);
        } else if (is_last_phase) {
            keep(&s, b);
        }
        if (rows == MAX_ROWS) {
            run_rows(&s, rows, row, index);
            rows = 0;
        }
    }
    if (rows) run_rows(&s, rows, row, index);
}
