/* attention.c: Y = softmax(scale Q K^T + mask) V, a register tile of query rows at a time; the contract is at asymo_attention_args.
 *
 * The scores of a tile stay in the worker's scratch, where everything that one entry of the batch needs lies packed:
 *
 *   keys     K^T as B[depth, keys]   panels of GEMM, a transpose
 *   values   V as B[keys, width]     panels of GEMM, rows copied
 *   q        [mr][depth]             the rows of a tile; in Q they may lie so far apart that they alias
 *   x        [mr][ld]                scores, then weights; the first product's C and the second one's A
 *   y        [mr][ldy]               the second product, before it is divided
 *   sums     [mr]
 *
 * Units that are run at once and belong to one entry share what is packed. */
#include "../kernels/attention/attention.h"
#include "../kernels/gemm/pack.h"
#include "../kernels/move/transpose.h"
#include "step.h"

enum { MOST_ROWS = 16 }; /* of any kernel's register tile */

/* Where each of these begins, in floats, and how many there are in all. */
typedef struct {
    int64_t ld, ldy;
    int64_t keys, values, q, x, y, sums, end;
} places;

static int64_t take(places *at, int64_t floats) {
    const int64_t begin = at->end;
    at->end += asymo_round_up(floats, ASYMO_CACHE_LINE / sizeof(float));
    return begin;
}

static places lay_out(const asymo_attention_args *args) {
    places at = {.ld = 16 * (asymo_ceil_div(args->keys, 16) | 1), .ldy = args->width}; /* ld: odd in cache lines, or rows would alias */
    at.keys = take(&at, asymo_gemm_packed_size(args->depth, args->keys));
    at.values = take(&at, asymo_gemm_packed_size(args->keys, args->width));
    at.q = take(&at, MOST_ROWS * args->depth);
    at.x = take(&at, MOST_ROWS * at.ld);
    at.y = take(&at, MOST_ROWS * at.ldy);
    at.sums = take(&at, MOST_ROWS);
    return at;
}

static int64_t blocks_of(const asymo_attention_args *args) { return asymo_ceil_div(args->rows, args->unit_rows); }

int64_t asymo_attention_units(const asymo_attention_args *args) {
    return args->batch[0] * args->batch[1] * args->batch[2] * blocks_of(args);
}

int64_t asymo_attention_scratch(const asymo_attention_args *args) { return lay_out(args).end * (int64_t)sizeof(float); }

static int64_t batch_offset(const asymo_attention_args *args, const int64_t stride[3], int64_t i) {
    const int64_t b2 = i % args->batch[2], b1 = i / args->batch[2] % args->batch[1], b0 = i / (args->batch[2] * args->batch[1]);
    return b0 * stride[0] + b1 * stride[1] + b2 * stride[2];
}

/* K^T: panel j holds, for every element of a key, that of nr keys. */
static void pack_keys(const asymo_attention_args *args, const float *k, int64_t nr, float *packed) {
    asymo_transpose_fn *transpose = asymo_transpose_kernel();
    for (int64_t j = 0; j < args->keys; j += nr, packed += args->depth * nr) {
        const int64_t n = ASYMO_MIN(nr, args->keys - j);
        if (n < nr) memset(packed, 0, (size_t)(args->depth * nr) * sizeof *packed);
        transpose(args->depth, n, (const uint32_t *)(k + j * args->k_row), args->k_row, (uint32_t *)packed, nr);
    }
}

static void pack_values(const asymo_attention_args *args, const float *v, int64_t nr, float *packed) {
    for (int64_t j = 0; j < args->width; j += nr, packed += args->keys * nr)
        asymo_gemm_pack_panel(args->keys, ASYMO_MIN(nr, args->width - j), nr, v + j, args->v_row, 1, packed);
}

/* c[i][:n] = the m rows of a times a packed B[k, n]. */
static void multiply(const asymo_gemm_table_row *kernel, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                     float *c, int64_t ldc) {
    const float *rows[MOST_ROWS];
    float *targets[MOST_ROWS];
    for (int64_t i = 0; i < m; i++) {
        rows[i] = a + i * lda;
        targets[i] = c + i * ldc;
    }
    const asymo_gemm_tile tile = {
        .a = rows,
        .taps = 1,
        .run = k,
        .b = b,
        .b_panel = k * kernel->nr,
        .c = targets,
        .end = asymo_epilogue_of(ASYMO_ACT_NONE, NULL, 0, 0),
    };
    kernel->ukr(&tile, m, n);
}

void asymo_attention_run(const asymo_attention_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const asymo_gemm_table_row *kernel = asymo_gemm_row_for(worker->core_kind);
    const int64_t blocks = blocks_of(args), depth = args->depth;
    const places at = lay_out(args);
    float *s = worker->scratch, *x = s + at.x, *sums = s + at.sums;
    for (int64_t unit = begin, packed = -1; unit < end; unit++) {
        const int64_t entry = unit / blocks, first = unit % blocks * args->unit_rows, last = ASYMO_MIN(first + args->unit_rows, args->rows);
        const float *q = (const float *)op[0] + batch_offset(args, args->q_stride, entry);
        const float *mask = op[3] ? (const float *)op[3] + batch_offset(args, args->mask_stride, entry) : NULL;
        float *y = (float *)op[4] + batch_offset(args, args->y_stride, entry);
        if (entry != packed) {
            pack_keys(args, (const float *)op[1] + batch_offset(args, args->k_stride, entry), kernel->nr, s + at.keys);
            pack_values(args, (const float *)op[2] + batch_offset(args, args->v_stride, entry), kernel->nr, s + at.values);
            packed = entry;
        }
        for (int64_t i = first; i < last; i += kernel->mr) {
            const int64_t m = ASYMO_MIN(kernel->mr, last - i);
            for (int64_t r = 0; r < m; r++) memcpy(s + at.q + r * depth, q + (i + r) * args->q_row, (size_t)depth * sizeof *q);
            multiply(kernel, m, args->keys, depth, s + at.q, depth, s + at.keys, x, at.ld);
            ASYMO_PICK(asymo_attention_weights)
            (m, args->keys, (float)args->scale, mask ? mask + i * args->mask_row : NULL, args->mask_row, args->idle, x, at.ld, sums);
            multiply(kernel, m, args->width, args->keys, x, at.ld, s + at.values, s + at.y, at.ldy);
            ASYMO_PICK(asymo_attention_quotients)(m, args->width, s + at.y, at.ldy, sums, y + i * args->y_row, args->y_row);
        }
    }
}
