/* separable.c: depthwise and pointwise convolutions together; the contract is at asymo_separable_args.
 *
 *   X  ........ in memory      rows of a unit, and those that the window reaches beyond them
 *   E  ........ scratch        the same rows; those that the next unit needs too move to the front
 *   D  ........ scratch        a strip of rows
 *   Y  ........ in memory
 *
 * The parts are gemm and dwconv steps over these rows. */
#include "gemm_block.h"

#include <string.h>

/* Rows [first, last). */
typedef struct {
    int64_t first, last;
} row_range;

int64_t asymo_separable_units(const asymo_separable_args *args) { return args->batch * asymo_ceil_div(args->out[0], args->unit_rows); }

/* Rows of the depthwise input that rows of its output see. */
static row_range seen(const asymo_separable_args *a, row_range out) {
    const int64_t origin = out.first * a->stride[0] - a->pad[0];
    const int64_t end = (out.last - 1) * a->stride[0] - a->pad[0] + (a->kernel[0] - 1) * a->dilation[0] + 1;
    const int64_t first = ASYMO_MIN(ASYMO_MAX(origin, 0), a->in[0]);
    return (row_range){first, ASYMO_MAX(first, ASYMO_MIN(end, a->in[0]))};
}

/* Rows of D at a time: of those that the row tables of a GEMM hold, the most whose pixels fill register tiles best. */
static int64_t strip_rows(const asymo_separable_args *a) {
    if (!a->projects) return a->unit_rows;
    const int64_t mr = asymo_gemm_row_for(ASYMO_CORE_ANY)->mr, width = ASYMO_MAX(a->out[1], 1);
    int64_t best = 1;
    for (int64_t rows = 2; rows <= a->unit_rows && rows * width <= ASYMO_GEMM_STRIP; rows++)
        if (asymo_round_up(rows * width, mr) * best <= asymo_round_up(best * width, mr) * rows) best = rows;
    return best;
}

static asymo_gemm_args pointwise(const asymo_separable_args *a, int part, int64_t m, int64_t k, int64_t n) {
    return (asymo_gemm_args){.m = m,
                             .n = n,
                             .k = k,
                             .lda = k,
                             .ldc = n,
                             .ldr = part == 2 && a->adds ? n : 0,
                             .batch = {1, 1, 1},
                             .n_fastest = 1,
                             .act = a->act[part],
                             .p = a->p[part],
                             .q = a->q[part]};
}

/* Bytes of scratch, one after the other. */
typedef struct {
    int64_t gemm, e, d;
} areas;

static areas areas_of(const asymo_separable_args *a) {
    const int64_t reach = (a->unit_rows - 1) * a->stride[0] + (a->kernel[0] - 1) * a->dilation[0] + 1;
    areas found = {0, 0, 0};
    if (a->expands) {
        const asymo_gemm_args expand = pointwise(a, 0, reach * a->in[1], a->c, a->e);
        found.gemm = asymo_gemm_scratch(&expand);
        found.e = asymo_round_up(ASYMO_MIN(reach, a->in[0]) * a->in[1] * a->e * (int64_t)sizeof(float), 64);
    }
    if (a->projects) {
        const asymo_gemm_args project = pointwise(a, 2, strip_rows(a) * a->out[1], a->e, a->n);
        found.gemm = ASYMO_MAX(found.gemm, asymo_gemm_scratch(&project));
        found.d = strip_rows(a) * a->out[1] * a->e * (int64_t)sizeof(float);
    }
    found.gemm = asymo_round_up(found.gemm, 64);
    return found;
}

int64_t asymo_separable_scratch(const asymo_separable_args *args) {
    const areas bytes = areas_of(args);
    return bytes.gemm + bytes.e + bytes.d;
}

static void run_pointwise(const asymo_gemm_args *gemm, const float *a, void *const *op, const float *r, float *c,
                          const asymo_worker *worker) {
    void *operands[] = {(void *)a, op[0], op[1], (void *)r, NULL, c};
    asymo_gemm_run(gemm, operands, 0, asymo_gemm_units(gemm), worker);
}

/* Rows `out` of the depthwise convolution. x: the first row that they see. */
static void run_depthwise(const asymo_separable_args *a, void *const *op, const float *x, row_range out, float *y,
                          const asymo_worker *worker) {
    const row_range rows = seen(a, out);
    const asymo_dwconv_args depthwise = {
        .batch = 1,
        .channels = a->e,
        .in = {rows.last - rows.first, a->in[1]},
        .out = {out.last - out.first, a->out[1]},
        .kernel = {a->kernel[0], a->kernel[1]},
        .stride = {a->stride[0], a->stride[1]},
        .dilation = {a->dilation[0], a->dilation[1]},
        .pad = {rows.first - (out.first * a->stride[0] - a->pad[0]), a->pad[1]},
        .x_stride = {a->in[1] * a->e, a->e},
        .y_stride = {a->out[1] * a->e, a->e},
        .unit_rows = out.last - out.first,
        .unit_c = a->e,
        .act = a->act[1],
        .p = a->p[1],
        .q = a->q[1],
    };
    void *operands[] = {(void *)x, op[3], op[4], NULL, NULL, y};
    asymo_dwconv_run(&depthwise, operands, 0, asymo_dwconv_units(&depthwise), worker);
}

void asymo_separable_run(const asymo_separable_args *a, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const areas bytes = areas_of(a);
    float *e = (float *)((char *)worker->scratch + bytes.gemm), *d = (float *)((char *)e + bytes.e);
    const int64_t blocks = asymo_ceil_div(a->out[0], a->unit_rows), strip = strip_rows(a);
    const int64_t x_row = a->in[1] * a->c, e_row = a->in[1] * a->e, y_row = a->out[1] * a->n;
    row_range made = {0, 0}; /* the rows in e */
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t image = unit / blocks, first = unit % blocks * a->unit_rows;
        const row_range unit_out = {first, ASYMO_MIN(first + a->unit_rows, a->out[0])}, rows = seen(a, unit_out);
        const float *x = (const float *)op[0] + image * a->in[0] * x_row;
        float *y = (float *)op[8] + image * a->out[0] * y_row;
        const float *r = op[7] ? (const float *)op[7] + image * a->out[0] * y_row : NULL;
        const float *from = x + rows.first * x_row; /* row rows.first of the depthwise input */
        if (a->expands) {
            int64_t kept = 0;
            if (unit > begin && first > 0 && made.first <= rows.first && rows.first < made.last) {
                kept = made.last - rows.first;
                memmove(e, e + (rows.first - made.first) * e_row, (size_t)(kept * e_row) * sizeof *e);
            }
            made = rows;
            const asymo_gemm_args expand = pointwise(a, 0, (rows.last - rows.first - kept) * a->in[1], a->c, a->e);
            run_pointwise(&expand, from + kept * x_row, op + 1, NULL, e + kept * e_row, worker);
            from = e;
        }
        for (int64_t h = unit_out.first; h < unit_out.last; h += strip) {
            const row_range out = {h, ASYMO_MIN(h + strip, unit_out.last)};
            float *to = y + h * y_row;
            run_depthwise(a, op, from + (seen(a, out).first - rows.first) * e_row, out, a->projects ? d : to, worker);
            if (!a->projects) continue;
            const asymo_gemm_args project = pointwise(a, 2, (out.last - out.first) * a->out[1], a->e, a->n);
            run_pointwise(&project, d, op + 5, r ? r + h * y_row : NULL, to, worker);
        }
    }
}
