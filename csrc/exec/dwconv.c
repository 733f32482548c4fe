/* dwconv.c: depthwise convolution as spans of output pixels that have the same taps inside the image.
 *
 * A row of output has a left border (pixels whose first tap column is in the padding), an interior, and a right border; a border pixel
 * is a span of its own. Rows of the kernel above or below the image are left out of every span. A tap in the padding adds nothing, not
 * even 0 times a weight that is infinite.
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

/* The span [ow, ow + pixels) of a row; `row` holds everything that does not depend on it. */
static void run_span(const asymo_dwconv_args *a, const asymo_dwconv_span *row, int64_t ow, int64_t pixels) {
    const int64_t origin = ow * a->stride[1] - a->pad[1];
    const tap_range taps = taps_inside(origin, a->kernel[1], a->dilation[1], a->in[1]);
    asymo_dwconv_span span = *row;
    span.pixels = pixels;
    span.taps = taps.last - taps.first;
    if (span.taps == 0) span.rows = 0;
    if (span.rows > 0) {
        span.x += (origin + taps.first * a->dilation[1]) * a->x_stride[1];
        span.w += taps.first * span.w_tap;
    }
    span.y += ow * span.y_pixel;
    if (span.r != NULL) span.r += ow * span.r_pixel;
    ASYMO_PICK(asymo_dwconv_pixels)(&span);
}

static void run_row(const asymo_dwconv_args *a, const asymo_dwconv_span *row) {
    const int64_t reach = (a->kernel[1] - 1) * a->dilation[1], room = a->in[1] - 1 - reach + a->pad[1];
    const int64_t left = ASYMO_MIN(asymo_ceil_div(a->pad[1], a->stride[1]), a->out[1]);
    const int64_t right = ASYMO_MAX(left, room < 0 ? 0 : ASYMO_MIN(room / a->stride[1] + 1, a->out[1]));
    for (int64_t ow = 0; ow < left; ow++) run_span(a, row, ow, 1);
    if (left < right) run_span(a, row, left, right - left);
    for (int64_t ow = right; ow < a->out[1]; ow++) run_span(a, row, ow, 1);
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
        asymo_dwconv_span row = {
            .bias = bias == NULL ? NULL : bias + c,
            .channels = ASYMO_MIN(a->unit_c, a->channels - c),
            .x_row = a->dilation[0] * a->x_stride[0],
            .x_step = a->stride[1] * a->x_stride[1],
            .x_tap = a->dilation[1] * a->x_stride[1],
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
            run_row(a, &row);
        }
    }
}
