/* dwconv.c: depthwise convolution by rows of output. Rows of the kernel above or below the image are left out here, columns left and
 * right of it by the kernel. A tap in the padding adds nothing, not even 0 times a weight that is infinite.
 *
 * Units of an image: row blocks, and within a row block the channel blocks, fastest. */
#include "../kernels/dwconv/dwconv.h"

#include "step.h"

int64_t asymo_dwconv_units(const asymo_dwconv_args *args) {
    return args->batch * asymo_ceil_div(args->out[0], args->unit_rows) * asymo_ceil_div(args->channels, args->unit_c);
}

int64_t asymo_dwconv_scratch(const asymo_dwconv_args *args) {
    (void)args;
    return 0;
}

/* The taps [first, last) that lie inside an axis of `size` cells when tap 0 lies at `origin`. */
typedef struct {
    int64_t first, last;
} tap_range;

static tap_range taps_inside(int64_t origin, int64_t kernel, int64_t dilation, int64_t size) {
    const int64_t first = origin < 0 ? asymo_ceil_div(-origin, dilation) : 0;
    const int64_t last = origin < size ? asymo_ceil_div(size - origin, dilation) : 0;
    return (tap_range){ASYMO_MIN(first, kernel), ASYMO_MAX(ASYMO_MIN(first, kernel), ASYMO_MIN(last, kernel))};
}

void asymo_dwconv_run(const asymo_dwconv_args *a, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const float *x = op[0], *w = op[1], *bias = op[2], *r = op[3], *slope = op[4];
    float *y = op[5];
    const int64_t channel_blocks = asymo_ceil_div(a->channels, a->unit_c), row_blocks = asymo_ceil_div(a->out[0], a->unit_rows);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t b = unit / channel_blocks / row_blocks, row_block = unit / channel_blocks % row_blocks;
        const int64_t c = unit % channel_blocks * a->unit_c, first_row = row_block * a->unit_rows;
        const int64_t last_row = ASYMO_MIN(first_row + a->unit_rows, a->out[0]);
        asymo_dwconv_row row = {
            .bias = bias == NULL ? NULL : bias + c,
            .channels = ASYMO_MIN(a->unit_c, a->channels - c),
            .pixels = a->out[1],
            .taps = a->kernel[1],
            .columns = a->in[1],
            .origin = -a->pad[1],
            .stride = a->stride[1],
            .dilation = a->dilation[1],
            .x_row = a->dilation[0] * a->x_stride[0],
            .x_column = a->x_stride[1],
            .w_row = a->kernel[1] * a->channels,
            .w_tap = a->channels,
            .y_pixel = a->y_stride[1],
            .r_pixel = a->r_stride[1],
            .end = asymo_epilogue_of(a->act, slope == NULL ? NULL : slope + c, (float)a->p, (float)a->q),
        };
        for (int64_t oh = first_row; oh < last_row; oh++) {
            const int64_t origin = oh * a->stride[0] - a->pad[0];
            const tap_range taps = taps_inside(origin, a->kernel[0], a->dilation[0], a->in[0]);
            row.rows = taps.last - taps.first;
            row.x = x + b * a->x_batch + (row.rows ? (origin + taps.first * a->dilation[0]) * a->x_stride[0] : 0) + c;
            row.w = w + taps.first * row.w_row + c;
            row.y = y + b * a->y_batch + oh * a->y_stride[0] + c;
            row.r = r == NULL ? NULL : r + b * a->r_batch + oh * a->r_stride[0] + c;
            ASYMO_PICK(asymo_dwconv_pixels)(&row);
        }
    }
}
