/* pool.c: pooling, one output row of one image a unit.
 *
 * Cells in the padding never enter a window: they are -inf to a maximum and 0 to a sum. An average divides by the cells inside the
 * image or, with include_pad, inside the image and its padding: a window that hangs over the padded end (ceil_mode) counts no more.
 * Indices (int64) lie where Y's elements lie, with Y's strides. Each is a flat position in the tensor [batch][channels][in...], or with
 * column_major in the one whose first spatial axis runs fastest. */
#include "../kernels/pool/pool.h"

#include "step.h"

int64_t asymo_pool_units(const asymo_pool_args *args) { return args->out[2] == 0 ? 0 : args->batch * args->out[0] * args->out[1]; }

int64_t asymo_pool_scratch(const asymo_pool_args *args) {
    (void)args;
    return 0;
}

/* Along one axis: the first cell of the window inside the image, how many there are, and how many an average counts. */
typedef struct {
    int64_t first, cells, counted;
} extent;

static extent extent_of(const asymo_pool_args *a, int axis, int64_t out) {
    const int64_t origin = out * a->stride[axis] - a->pad[axis], step = a->dilation[axis];
    const int64_t skipped = origin < 0 ? asymo_ceil_div(-origin, step) : 0;
    const int64_t until_end = ASYMO_MAX(0, asymo_ceil_div(a->in[axis] - origin, step));
    const int64_t until_pad_end = ASYMO_MAX(0, asymo_ceil_div(a->in[axis] + a->pad_end[axis] - origin, step));
    extent e = {origin + skipped * step, ASYMO_MAX(0, ASYMO_MIN(a->kernel[axis], until_end) - skipped), 0};
    e.counted = a->include_pad ? ASYMO_MIN(a->kernel[axis], until_pad_end) : e.cells;
    return e;
}

void asymo_pool_run(const asymo_pool_args *a, void *const *op, int64_t begin, int64_t end, const asymo_worker *worker) {
    (void)worker;
    const float *x = op[0];
    float *y = op[1];
    int64_t *indices = op[2];
    const int64_t spatial = a->in[0] * a->in[1] * a->in[2];
    const int64_t row_major[3] = {a->in[1] * a->in[2], a->in[2], 1}, column_major[3] = {1, a->in[0], a->in[0] * a->in[1]};
    const int64_t *move = a->column_major ? column_major : row_major;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t h = unit % a->out[1], d = unit / a->out[1] % a->out[0], b = unit / a->out[1] / a->out[0];
        const extent depth = extent_of(a, 0, d), height = extent_of(a, 1, h);
        for (int64_t w = 0; w < a->out[2]; w++) {
            const extent width = extent_of(a, 2, w);
            const int64_t offset = b * a->y_batch + d * a->y_stride[0] + h * a->y_stride[1] + w * a->y_stride[2];
            const int64_t count = depth.counted * height.counted * width.counted;
            asymo_pool_window window = {.cells = {depth.cells, height.cells, width.cells}, .channels = a->channels};
            for (int axis = 0; axis < 3; axis++) window.step[axis] = a->dilation[axis] * a->x_stride[axis];
            const int is_empty = depth.cells == 0 || height.cells == 0 || width.cells == 0;
            window.x = x + b * a->x_batch;
            if (!is_empty) window.x += depth.first * a->x_stride[0] + height.first * a->x_stride[1] + width.first * a->x_stride[2];
            if (a->mode == ASYMO_POOL_AVERAGE) {
                ASYMO_PICK(asymo_pool_average)(&window, (float)count, y + offset);
            } else if (a->mode == ASYMO_POOL_LP) {
                ASYMO_PICK(asymo_pool_lp)(&window, (int64_t)a->p, y + offset);
            } else if (indices == NULL) {
                ASYMO_PICK(asymo_pool_max)(&window, y + offset);
            } else {
                asymo_pool_positions positions = {
                    .index = indices + offset,
                    .base = b * a->channels * spatial,
                    .channel_step = spatial,
                    .first = is_empty ? 0 : depth.first * move[0] + height.first * move[1] + width.first * move[2],
                };
                for (int axis = 0; axis < 3; axis++) positions.move[axis] = a->dilation[axis] * move[axis];
                ASYMO_PICK(asymo_pool_max_index)(&window, &positions, y + offset);
            }
        }
    }
}
