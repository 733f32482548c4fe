/* conv.c: convolution as GEMM over row pointers; the contract is at asymo_conv_args.
 *
 * Output pixel p is a row of the GEMM. Its row of A is the window's positions one after the other, each a run of c contiguous elements
 * of X found through a pointer; a position outside X is a pointer to zeros. Nothing is copied.
 *
 * With few channels the runs are short, so the kw positions of a window's row become one run of kw * c elements, which is what they
 * are in memory (dilation 1, pixels without a gap) except where the row sticks out of the image: those rows are copied to a patch with
 * its zeros. The order of the sum is the same. */
#include "gemm_block.h"

#include <string.h>

enum { D, H, W }; /* of the triples */

typedef struct {
    int64_t taps, run;  /* of the GEMM */
    int64_t across;     /* taps of a window's row: kw, or 1 when they are one run */
    int64_t width;      /* pixels of a tap: 1, or kw */
    int64_t patch_rows; /* floats per output pixel for rows that stick out */
    int64_t zeros;      /* floats of zeros, where those of the worker are too few */
    int alias;          /* the strip is copied: see asymo_gemm_rows_alias */
} shape;

static shape shape_of(const asymo_conv_args *args) {
    enum { FEW_CHANNELS = 16 };
    const int64_t kw = args->kernel[W], rows = args->kernel[D] * args->kernel[H];
    const int joined = kw > 1 && args->c <= FEW_CHANNELS && args->dilation[W] == 1 && args->x_stride[W] == args->c;
    shape s = {.taps = rows * kw, .run = args->c, .across = kw, .width = 1};
    if (joined) s = (shape){.taps = rows, .run = kw * args->c, .across = 1, .width = kw, .patch_rows = rows * kw * args->c};
    if (s.run > ASYMO_ZEROS) s.zeros = s.run;
    s.alias = s.taps == 1 && asymo_gemm_rows_alias(args->out[W], args->stride[W] * args->x_stride[W]);
    return s;
}

static int64_t pixels(const asymo_conv_args *args) { return args->batch * args->out[D] * args->out[H] * args->out[W]; }

int64_t asymo_conv_units(const asymo_conv_args *args) {
    const asymo_gemm_grid grid = asymo_gemm_grid_of(pixels(args), args->n, args->unit_m, args->unit_n);
    return args->groups * grid.blocks_m * grid.blocks_n;
}

int64_t asymo_conv_scratch(const asymo_conv_args *args) {
    const shape s = shape_of(args);
    return asymo_gemm_rows_bytes(s.taps) + (ASYMO_GEMM_STRIP * s.patch_rows + s.zeros) * (int64_t)sizeof(float) +
           (s.alias ? asymo_gemm_copy_bytes(s.run) : 0);
}

/* A position in the output. */
typedef struct {
    int64_t b, d, h, w;
} pixel;

static pixel pixel_at(const asymo_conv_args *args, int64_t p) {
    const int64_t w = p % args->out[W], row = p / args->out[W];
    const int64_t h = row % args->out[H], slice = row / args->out[H];
    return (pixel){slice / args->out[D], slice % args->out[D], h, w};
}

static void next_row(const asymo_conv_args *args, pixel *at) {
    at->w = 0;
    if (++at->h < args->out[H]) return;
    at->h = 0;
    if (++at->d < args->out[D]) return;
    at->d = 0;
    at->b++;
}

static int inside(int64_t i, int64_t n) { return (uint64_t)i < (uint64_t)n; }

/* The part of row [first, first + width) of the image that exists, zeros around it. Both are in pixels. */
static void copy_patch(const float *row, int64_t first, int64_t width, int64_t in, int64_t c, float *patch) {
    const int64_t from = ASYMO_MAX(first, 0), to = ASYMO_MAX(ASYMO_MIN(first + width, in), from);
    memset(patch, 0, (size_t)(width * c) * sizeof *patch);
    if (to > from) memcpy(patch + (from - first) * c, row + from * c, (size_t)((to - from) * c) * sizeof *patch);
}

/* n pointers a distance apart. One by one: vectors take longer for so few. */
static void point_inside(const float *x, int64_t step, int64_t n, const float **a) {
    for (int64_t i = 0; i < n; i++, x += step) {
        a[i] = x;
        __asm__("" : "+r"(x));
    }
}

/* Pointers a[tap * mr + i] of the n pixels from at on, all in one row of the output. patch: room for the first of them. */
static void point_row(const asymo_conv_args *args, const shape *s, const float *x, const float *zeros, float *patch, pixel at, int64_t n,
                      int64_t mr, const float **a) {
    const int64_t stride = args->stride[W], in = args->in[W], step = args->x_stride[W];
    for (int64_t kd = 0; kd < args->kernel[D]; kd++) {
        const int64_t d = at.d * args->stride[D] - args->pad[D] + kd * args->dilation[D];
        for (int64_t kh = 0; kh < args->kernel[H]; kh++) {
            const int64_t h = at.h * args->stride[H] - args->pad[H] + kh * args->dilation[H];
            const int exists = inside(d, args->in[D]) && inside(h, args->in[H]);
            const float *row = exists ? x + at.b * args->x_batch + d * args->x_stride[D] + h * args->x_stride[H] : NULL;
            for (int64_t kw = 0; kw < s->across; kw++, a += mr) {
                int64_t w = at.w * stride - args->pad[W] + kw * args->dilation[W];
                if (exists && w >= 0 && w + (n - 1) * stride + s->width <= in) {
                    point_inside(row + w * step, stride * step, n, a);
                    continue;
                }
                for (int64_t i = 0; i < n; i++, w += stride) {
                    if (!exists) {
                        a[i] = zeros;
                    } else if (inside(w, in) && w + s->width <= in) {
                        a[i] = row + w * step;
                    } else if (s->width == 1) {
                        a[i] = zeros;
                    } else {
                        float *own = patch + i * s->patch_rows + (kd * args->kernel[H] + kh) * s->run;
                        copy_patch(row, w, s->width, in, args->c, own);
                        a[i] = own;
                    }
                }
            }
        }
    }
}

/* The tables for m pixels from p on; x, y and r point at the group's first channel. */
static void point(const asymo_conv_args *args, const shape *s, const float *x, float *y, const float *r, const float *zeros, float *patch,
                  int64_t p, int64_t m, int64_t mr, const asymo_gemm_rows *rows) {
    pixel at = pixel_at(args, p);
    for (int64_t i = 0; i < m;) {
        const int64_t n = ASYMO_MIN(ASYMO_MIN(m - i, args->out[W] - at.w), mr - i % mr);
        point_row(args, s, x, zeros, patch + i * s->patch_rows, at, n, mr, rows->a + i / mr * s->taps * mr + i % mr);
        const int64_t y0 = at.b * args->y_batch + at.d * args->y_stride[D] + at.h * args->y_stride[H] + at.w * args->y_stride[W];
        const int64_t r0 = at.b * args->r_batch + at.d * args->r_stride[D] + at.h * args->r_stride[H] + at.w * args->r_stride[W];
        for (int64_t j = 0; j < n; j++) rows->c[i + j] = y + y0 + j * args->y_stride[W];
        if (r)
            for (int64_t j = 0; j < n; j++) rows->r[i + j] = r + r0 + j * args->r_stride[W];
        i += n;
        at.w += n;
        if (at.w == args->out[W]) next_row(args, &at);
    }
}

void asymo_conv_run(const asymo_conv_args *args, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    const asymo_gemm_table_row *kernel = asymo_gemm_row_for(worker->core_kind);
    const shape s = shape_of(args);
    const int64_t m_all = pixels(args), k = s.taps * s.run;
    const asymo_gemm_grid grid = asymo_gemm_grid_of(m_all, args->n, args->unit_m, args->unit_n);
    const int64_t blocks = grid.blocks_m * grid.blocks_n, packed = asymo_gemm_packed_size(k, args->n);
    const asymo_gemm_rows rows = asymo_gemm_rows_in(worker->scratch);
    float *patch = (float *)((char *)worker->scratch + asymo_gemm_rows_bytes(s.taps)), *own_zeros = patch + ASYMO_GEMM_STRIP * s.patch_rows;
    float *copy = own_zeros + s.zeros;
    const int64_t strip = s.alias ? asymo_gemm_copy_rows(kernel, s.run) : asymo_gemm_strip(kernel);
    const float *zeros = worker->zeros, *x = op[0], *w = op[1], *bias = op[2], *r = op[3], *slope = op[4];
    float *y = op[5];
    if (s.zeros) zeros = memset(own_zeros, 0, (size_t)s.zeros * sizeof *own_zeros);
    asymo_gemm_block block = {.taps = s.taps, .run = s.run, .rows = rows};
    if (r == NULL) block.rows.r = NULL;

    int64_t pointed_g = -1, pointed_m = -1; /* what the tables hold: units that share their pixels find them made */
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t g = unit / blocks, index = unit % blocks;
        const int64_t m0 = grid.unit_m * (args->n_fastest ? index / grid.blocks_n : index % grid.blocks_m);
        const int64_t n0 = grid.unit_n * (args->n_fastest ? index % grid.blocks_n : index / grid.blocks_m);
        const int64_t m1 = ASYMO_MIN(m0 + grid.unit_m, m_all);
        block.b = w + g * packed + n0 * k;
        block.bias = bias ? bias + g * args->n : NULL;
        block.end = asymo_epilogue_of(args->act, slope ? slope + g * args->n : NULL, (float)args->p, (float)args->q);
        block.column = n0;
        block.n = ASYMO_MIN(grid.unit_n, args->n - n0);
        for (int64_t m = m0; m < m1; m += block.m) {
            block.m = ASYMO_MIN(strip, m1 - m);
            if (g != pointed_g || m != pointed_m) {
                point(args, &s, x + g * args->c, y + g * args->n, r ? r + g * args->n : NULL, zeros, patch, m, block.m, kernel->mr, &rows);
                if (s.alias) asymo_gemm_copy(&rows, block.m, s.run, copy);
            }
            pointed_g = g;
            pointed_m = m;
            asymo_gemm_block_run(kernel, &block);
        }
    }
}
