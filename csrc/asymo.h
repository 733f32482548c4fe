/* asymo.h: the public C API, and the one header that cffi reads.
 *
 * Written in the subset that cffi parses: no #include, no conditional, no function-like macro.
 * C files include "common/base.h", which brings <stdint.h> and <stddef.h> and then this file.
 *
 * Vocabulary
 *   step     one entry of a program: a kind, its argument struct, its operands
 *   operand  where a tensor lives: a slot (arena, constant, input, output) and a byte offset
 *   unit     the smallest piece of a step's output that is not split further
 *   phase    a step runs its phases one after the other with a barrier between them; most have one
 *
 * Every argument struct holds numbers only (plain old data), so a plan can be printed and stored. All sizes and
 * strides are in elements unless the name ends in _bytes. Activation tensors are channels-last (NHWC, NWC, NDHWC).
 */
#pragma once

/* ---- status ------------------------------------------------------------------------------------------------- */

typedef enum {
    ASYMO_OK = 0,
    ASYMO_INVALID_ARGUMENT = 1,
    ASYMO_OUT_OF_MEMORY = 2,
    ASYMO_THREAD_FAILED = 3,
    ASYMO_UNSUPPORTED = 4,
    ASYMO_FORKED = 5,
} asymo_status;

/* Sentence about the last failure on this thread; valid until the next failing call on this thread. */
const char *asymo_last_error(void);
const char *asymo_version(void);

/* ---- instruction sets (rows of common/isa.inc) ---------------------------------------------------------------- */

int32_t asymo_isa_count(void);
const char *asymo_isa_name(int32_t isa);
int32_t asymo_isa_is_supported(int32_t isa);
/* 1: the core that runs the calling thread can run the kernels of `isa`, which was tried. Pin the thread first. */
int32_t asymo_isa_runs_here(int32_t isa);
/* What CPUID says of the core that runs the calling thread, where it tells types apart (Intel hybrid): 0x40 Core, 0x20 Atom; 0 nothing. */
int32_t asymo_hybrid_kind(void);
int32_t asymo_isa_current(void);
/* Chooses the instruction set of every kernel from now on. Not thread-safe; packed weights depend on it. */
asymo_status asymo_isa_select(int32_t isa);

/* ---- operands and activations --------------------------------------------------------------------------------- */

/* slot < 0: the operand is absent (an optional input). */
typedef struct {
    int64_t slot;
    int64_t offset_bytes;
} asymo_ref;

enum { ASYMO_MAX_OPERANDS = 24, ASYMO_MAX_RANK = 8 };

/* y = act(x), applied as the last thing an epilogue does. p and q are the activation's parameters. */
typedef enum {
    ASYMO_ACT_NONE = 0,
    ASYMO_ACT_CLIP = 1,       /* min(max(x, p), q); Relu is p = 0, q = +inf */
    ASYMO_ACT_LEAKY_RELU = 2, /* x < 0 ? p x : x */
    ASYMO_ACT_PRELU = 3,      /* x < 0 ? slope[channel] x : x; slope is an operand */
    ASYMO_ACT_SIGMOID = 4,
    ASYMO_ACT_TANH = 5,
    ASYMO_ACT_SILU = 6,         /* x sigmoid(p x): SiLU has p = 1 */
    ASYMO_ACT_HARD_SIGMOID = 7, /* min(max(p x + q, 0), 1) */
    ASYMO_ACT_HARD_SWISH = 8,   /* p x min(max(x / 6 + 0.5, 0), 1) + q: HardSwish has p = 1, q = 0 */
    ASYMO_ACT_GELU_ERF = 9,     /* 0.5 x (1 + erf(x / sqrt 2)) */
    ASYMO_ACT_GELU_TANH = 10,   /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    ASYMO_ACT_ELU = 11,         /* x < 0 ? p (exp(x) - 1) : x */
    ASYMO_ACT_AFFINE = 12,      /* softsign of RNN cells and others: p tanh(q x) */
    ASYMO_ACT_SOFTSIGN = 13,    /* x / (1 + |x|) */
    ASYMO_ACT_SOFTPLUS = 14,    /* log(1 + exp(x)) */
    ASYMO_ACT_LINEAR = 15,      /* p x + q (Affine) */
    ASYMO_ACT_THRESHOLDED = 16, /* x > p ? x : 0 */
} asymo_act;

/* ---- step arguments, one struct per row of exec/steps.inc ------------------------------------------------------ */

/* gemm: C[m,n] = act(A[m,k] B[k,n] + bias[n] + R[m,n]), for every entry of a batch of up to three dimensions.
 * operands: 0 A, 1 B packed (gemm_pack layout), 2 bias or absent, 3 R (residual) or absent, 4 PRELU slope[n] or absent, 5 C.
 * batch strides are in elements; 0 broadcasts. B's batch stride is in elements of the packed form.
 * A unit is a block of unit_m rows and unit_n columns of one batch entry, n fastest when n_fastest. */
typedef struct {
    int64_t m, n, k;
    int64_t lda, ldc, ldr;
    int64_t batch[3];
    int64_t a_stride[3], b_stride[3], c_stride[3], r_stride[3];
    int64_t unit_m, unit_n;
    int64_t n_fastest;
    int64_t act;
    double p, q;
} asymo_gemm_args;

/* gemm_pack: packs B[k,n] into panels at run time, for a MatMul whose B is not constant.
 * element (i, j) of B lies at i * k_stride + j * n_stride. Packed size of a batch entry: asymo_gemm_packed_size(k, n).
 * operands: 0 B, 1 packed. A unit is one panel (nr columns) of one batch entry. */
typedef struct {
    int64_t k, n;
    int64_t k_stride, n_stride;
    int64_t batch[3];
    int64_t b_stride[3];
} asymo_gemm_pack_args;

/* conv: 1-D, 2-D and 3-D convolution by indirect GEMM, channels last, any group count.
 *   Y[b, od, oh, ow, g*N + j] = act(bias + R + sum_{kd, kh, kw, c} X[b, od*stride - pad + kd*dilation, ..., g*C + c] W)
 * with zeros outside X; the sum runs in ascending (kd, kh, kw, c). Index 0 of the triples is depth, 1 height, 2 width.
 * operands: 0 X, 1 W packed per group as B[k = kd*kh*kw*C, n = N] (gemm_pack layout), 2 bias or absent, 3 R or absent,
 *           4 PRELU slope or absent, 5 Y.
 * x_stride, y_stride, r_stride: elements from one depth slice, row, pixel to the next; x_batch, ...: from image to image.
 * (A pixel stride above the channel count lets a step read or write a slice of a concatenation in place.)
 * A unit is unit_m consecutive output pixels (flattened over batch, depth, height, width) x unit_n channels of a group. */
typedef struct {
    int64_t batch, groups;
    int64_t c, n; /* input and output channels of one group */
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], pad[3];
    int64_t x_batch, y_batch, r_batch;
    int64_t x_stride[3], y_stride[3], r_stride[3];
    int64_t unit_m, unit_n;
    int64_t n_fastest;
    int64_t act;
    double p, q;
} asymo_conv_args;

/* dwconv: depthwise convolution, channels last, one output channel per input channel; 1-D is kernel {1, kw}.
 * operands: 0 X, 1 W as [kh][kw][channels], 2 bias or absent, 3 R or absent, 4 PRELU slope or absent, 5 Y.
 * pairs are {height, width}. A tap in the padding is left out. A unit is unit_rows output rows x unit_c channels of one image. */
typedef struct {
    int64_t batch, channels;
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], pad[2];
    int64_t x_batch, y_batch, r_batch;
    int64_t x_stride[2], y_stride[2], r_stride[2]; /* row, pixel */
    int64_t unit_rows, unit_c;
    int64_t act;
    double p, q;
} asymo_dwconv_args;

/* separable: a depthwise convolution with the pointwise ones around it, some rows at a time, so that what passes between them stays in the
 * cache. Every element has the bits that a gemm, a dwconv and a gemm step would give it.
 *   E = act[0](X A + a)          1x1, c -> e channels;  absent: E is X and e is c
 *   D = act[1](depthwise(E) + d)
 *   Y = act[2](D B + b + R)      1x1, e -> n channels;  absent: Y is D and n is e
 * operands: 0 X, 1 A packed or absent, 2 a or absent, 3 W as [kh][kw][e], 4 d or absent, 5 B packed or absent, 6 b or absent,
 *           7 R or absent (only with B), 8 Y. All tensors are dense. expands, projects: whether there is an A, a B. act: no PRELU.
 * A unit is unit_rows rows of Y of one image. Consecutive units that are run at once compute the rows of E that they share once. */
typedef struct {
    int64_t batch;
    int64_t c, e, n;
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], pad[2];
    int64_t expands, projects, adds; /* adds: whether there is an R */
    int64_t unit_rows;
    int64_t act[3];
    double p[3], q[3];
} asymo_separable_args;

/* winograd: square convolution, stride 1, dilation 1, groups 1, by F(tile x tile, kernel): tile 2 or 4 of a kernel 3x3, tile 2 of 5x5.
 * operands: 0 X, 1 W transformed and packed (asymo_winograd_pack), 2 bias or absent, 3 R or absent, 4 PRELU slope or absent, 5 Y.
 * A unit is unit_tiles consecutive output tiles (flattened over batch, rows, columns) x unit_n output channels, n fastest. unit_n is
 * rounded up to whole panels; a size below 1 is the whole dimension. Consecutive units of the same tiles that are run at once transform
 * their input once. */
typedef struct {
    int64_t tile, kernel[2];
    int64_t batch, c, n;
    int64_t in[2], out[2], pad[2];
    int64_t x_batch, y_batch, r_batch;
    int64_t x_stride[2], y_stride[2], r_stride[2];
    int64_t unit_tiles, unit_n;
    int64_t act;
    double p, q;
} asymo_winograd_args;

/* pool: windows over channels-last data. average divides by the window's cells inside the (padded when include_pad) input.
 * operands: 0 X, 1 Y, 2 indices (int64, MaxPool's second output) or absent.
 * Indices have Y's strides; they are flat positions in the NCHW (row major, or column major) tensor, -1 for a window of padding only.
 * A maximum is NaN if a cell is. p is a whole number >= 1.
 * A unit is one output row (the last spatial axis) of one image. */
typedef enum { ASYMO_POOL_MAX = 0, ASYMO_POOL_AVERAGE = 1, ASYMO_POOL_LP = 2 } asymo_pool_kind;
typedef struct {
    int64_t mode;
    int64_t batch, channels;
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3];
    int64_t x_batch, y_batch;
    int64_t x_stride[3], y_stride[3];
    int64_t include_pad, column_major;
    double p; /* order of LpPool */
} asymo_pool_args;

/* eltwise: a chain of fp32 elementwise instructions over broadcast inputs; see exec/eltwise.h for the instruction set.
 * operands: 0 code (int32, n_code x 5), 1 immediates (float), 2 strides (int64 [n_in + n_out][rank]), then inputs, then outputs.
 * An input of bool or integer type is loaded as float by in_type (asymo_dtype, 4 bits per input, first input lowest).
 * out_type likewise: a comparison writes bool. A unit is unit_size consecutive elements of the flattened output. */
typedef struct {
    int64_t rank;
    int64_t shape[8];
    int64_t n_in, n_out, n_code;
    int64_t in_type, out_type;
    int64_t unit_size;
} asymo_eltwise_args;

/* Instructions of eltwise, rows of kernels/eltwise/eltwise.inc; arity is how many of a, b, c are registers. */
int32_t asymo_eltwise_op_count(void);
const char *asymo_eltwise_op_name(int32_t op);
int32_t asymo_eltwise_op_arity(int32_t op);
enum { ASYMO_ELTWISE_REGISTERS = 32 };

/* dtypes of the steps that move or compute anything but fp32 */
typedef enum {
    ASYMO_F32 = 0,
    ASYMO_F64 = 1,
    ASYMO_I8 = 2,
    ASYMO_U8 = 3,
    ASYMO_I16 = 4,
    ASYMO_U16 = 5,
    ASYMO_I32 = 6,
    ASYMO_U32 = 7,
    ASYMO_I64 = 8,
    ASYMO_U64 = 9,
    ASYMO_BOOL = 10,
} asymo_dtype;

/* typed: one elementwise operation exactly in its own type (asymo_dtype in_type -> out_type), broadcasting by strides.
 * op: see exec/typed.h. operands: 0 strides (int64 [n_in + 1][rank]), then inputs, then the output.
 * A unit is unit_size consecutive elements of the flattened output. */
typedef struct {
    int64_t op;
    int64_t rank;
    int64_t shape[8];
    int64_t n_in;
    int64_t in_type, out_type;
    int64_t unit_size;
} asymo_typed_args;

/* Operations of typed, rows of kernels/eltwise/typed.inc. Only a supported combination of types may be added to a program. */
int32_t asymo_typed_op_count(void);
const char *asymo_typed_op_name(int32_t op);
int32_t asymo_typed_op_arity(int32_t op);
int32_t asymo_typed_is_supported(int64_t op, int64_t in_type, int64_t out_type);

/* copy: moves elements of size_bytes (1, 2, 4, 8, 16) between strided tensors of the same shape: Transpose, Concat, Split,
 * Slice, Expand, Tile and layout changes are all this. Strides in elements; 0 repeats, negative reverses.
 * operands: 0 source, 1 destination. A unit is unit_rows consecutive rows: entries of the dimensions but the last. The order of the
 * dimensions is free; a transpose is fast when the last one is dense in one tensor and the one before it in the other. */
typedef struct {
    int64_t size_bytes;
    int64_t rank;
    int64_t shape[8];
    int64_t src_stride[8], dst_stride[8];
    int64_t unit_rows;
} asymo_copy_args;

/* fill: writes the size_bytes-sized pattern count times. operands: 0 pattern, 1 destination. */
typedef struct {
    int64_t size_bytes;
    int64_t count;
    int64_t unit_size;
} asymo_fill_args;

/* gather: Y[o, i, :] = X[o, index[i], :]; rows of inner_bytes; a negative index counts from the end, one out of range is clamped
 * and reported through the worker's error flag (exec/step.h). index_type is ASYMO_I32 or ASYMO_I64.
 * operands: 0 X, 1 index, 2 Y. A unit is one (o, i). */
typedef struct {
    int64_t outer, axis, count, inner_bytes;
    int64_t index_type;
} asymo_gather_args;

/* reduce: Y[o, j] = reduction over r of X[o, r, j]. Lane i of 16 takes the elements r congruent i mod 16, then a fixed tree.
 * operands: 0 X, 1 Y. A unit is one o and up to unit_inner of j. */
typedef enum {
    ASYMO_REDUCE_SUM = 0,
    ASYMO_REDUCE_MEAN = 1,
    ASYMO_REDUCE_MAX = 2,
    ASYMO_REDUCE_MIN = 3,
    ASYMO_REDUCE_PROD = 4,
    ASYMO_REDUCE_L1 = 5,
    ASYMO_REDUCE_L2 = 6,
    ASYMO_REDUCE_SUM_SQUARE = 7,
    ASYMO_REDUCE_LOG_SUM = 8,
    ASYMO_REDUCE_LOG_SUM_EXP = 9,
} asymo_reduce_kind;
typedef struct {
    int64_t mode;
    int64_t outer, reduce, inner;
    int64_t outer_stride, reduce_stride; /* of X; the inner stride is 1 */
    int64_t unit_inner;
} asymo_reduce_args;

/* argreduce: index (int64) of the largest or smallest along r, the first or the last of equals; NaN beats every number.
 * operands: 0 X (fp32), 1 Y. A unit is one o. */
typedef struct {
    int64_t largest, select_last;
    int64_t outer, reduce, inner;
} asymo_argreduce_args;

/* softmax: over r of X[o, r, j]; log: its logarithm. Y may be X. operands: 0 X, 1 Y. A unit is one o and up to unit_inner of j. */
typedef struct {
    int64_t log;
    int64_t outer, reduce, inner;
    int64_t unit_inner;
} asymo_softmax_args;

/* attention: Y[i] = sum over j of w[i, j] V[j] / sum over j of w[i, j], for every entry of a batch of up to three dimensions, where
 *   z[i, j] = scale (Q[i] . K[j]) + mask[i, j]     one accumulator from 0, fma in ascending element; then one fma (no mask: one product)
 *   w[i, j] = exp(z[i, j] - max of z[i])
 * The sum over V has one accumulator, fma in ascending j; that of w has the order of softmax. `rows` queries and `keys` keys, both >= 1, of
 * `depth` elements; values have `width`. x_row: elements from row to row of operand x, whose rows are contiguous. Strides of 0 broadcast.
 * operands: 0 Q, 1 K, 2 V, 3 mask or absent, 4 Y. A unit is unit_rows queries of one entry. Consecutive units of an entry that are run at
 * once read K and V once. A query whose z are all -inf: NaN, or with idle 0. */
typedef struct {
    int64_t batch[3];
    int64_t rows, keys, depth, width;
    int64_t q_stride[3], k_stride[3], v_stride[3], mask_stride[3], y_stride[3];
    int64_t q_row, k_row, v_row, mask_row, y_row;
    int64_t unit_rows;
    int64_t idle;
    double scale;
} asymo_attention_args;

/* norm: Y = (X - mean) / sqrt(variance + eps) * scale + bias over the reduced positions of each group.
 * X is [outer, reduce, groups, inner] in memory; statistics are taken over (reduce, inner) for inner_reduced, else over reduce for each
 * inner. scale and bias have the index of param: 0 over the reduced positions (LayerNormalization), 1 over [groups, inner]
 * (InstanceNormalization, channels last). rms: no mean. stash: operands 4, 5 get mean and 1 / sqrt(variance + eps).
 * Y may be X. operands: 0 X, 1 scale or absent, 2 bias or absent, 3 Y, 4 mean or absent, 5 inverse deviation or absent. */
typedef struct {
    int64_t rms;
    int64_t outer, groups, reduce, inner;
    int64_t inner_reduced;
    int64_t param;
    double eps;
} asymo_norm_args;

/* lrn: local response normalisation over channels, channels last. operands: 0 X, 1 Y. A unit is unit_rows pixels. */
typedef struct {
    int64_t rows, channels, size;
    int64_t unit_rows;
    double alpha, beta, bias;
} asymo_lrn_args;

/* resample: one axis of X[o, i, j] by a table of taps: Y[o, i, j] = sum_t w[i, t] X[o, index[i, t], j], ascending t.
 * operands: 0 X, 1 index (int32 [count][taps]), 2 w (float [count][taps]) or absent (nearest: copies), 3 Y. A unit is one (o, i). */
typedef struct {
    int64_t outer, axis, count, inner;
    int64_t taps;
} asymo_resample_args;

/* rnn: the recurrent part of LSTM, GRU and RNN in one direction, gates in ONNX's order. The input part X W^T + Wb is a gemm step's.
 * cell: 0 RNN, 1 LSTM, 2 GRU. gates = 1, 4, 3. Phases: one per time step (GRU without linear_before_reset: two).
 * operands: 0 gates of the input, element (t, b, i) at t x_seq + b x_batch + i, 1 R packed by asymo_rnn_pack (kernels/rnn/rnn.h),
 *   2 recurrent bias [gates*hidden], added here, or absent (it may be folded into 0, but for gate h of a GRU with linear_before_reset),
 *   3 peephole P [3*hidden] or absent, 4 sequence_lens (int32 [batch]) or absent, 5 initial h [batch][hidden] or absent,
 *   6 initial c or absent, 7 Y [seq][..] or absent, 8 Y_h [batch][hidden] or absent, 9 Y_c or absent, 10 scratch (asymo_rnn_state_bytes).
 * y_seq, y_batch: element strides of Y. act, p, q: ONNX's f, g, h. A unit is unit_n hidden columns, rounded up to a multiple of 16. */
typedef struct {
    int64_t cell;
    int64_t seq, batch, hidden;
    int64_t reverse, linear_before_reset, input_forget;
    int64_t x_seq, x_batch;
    int64_t y_seq, y_batch;
    int64_t unit_n;
    int64_t act[3];
    double p[3], q[3];
    double clip; /* bounds what enters a gate's activation, not what enters h(c), as in ONNX Runtime; 0: none */
} asymo_rnn_args;

/* ---- sizes and packing: pure functions, called while planning -------------------------------------------------- */

/* A row of kernels/gemm/gemm.inc. isa as in asymo_isa_name; core: 0 any, 1 in-order; bound: 0 when it belongs to another architecture. */
typedef struct {
    const char *symbol;
    int32_t isa, core;
    int64_t mr, nr, kr;
    int32_t bound;
} asymo_gemm_row;
int32_t asymo_gemm_row_count(void);
asymo_gemm_row asymo_gemm_row_at(int32_t i);

/* Geometry of the current instruction set's GEMM layout and out-of-order variant. */
void asymo_gemm_geometry(int64_t *mr, int64_t *nr, int64_t *kr);
/* Elements of B[k,n] packed: ceil(n / nr) panels of [k][nr], zero-filled on the right.
 * What is packed (b, w, r below) may lie at any address. factor: n numbers, or NULL for ones; what is packed is each element of column j
 * (of filter j) times factor[j] in double, rounded to float. */
int64_t asymo_gemm_packed_size(int64_t k, int64_t n);
void asymo_gemm_pack(int64_t k, int64_t n, const float *b, int64_t k_stride, int64_t n_stride, const double *factor, float *packed);
int64_t asymo_winograd_packed_size(int64_t tile, int64_t kernel, int64_t c, int64_t n);
/* w: [n][c][kernel][kernel] (ONNX OIHW). */
void asymo_winograd_pack(int64_t tile, int64_t kernel, int64_t c, int64_t n, const float *w, const double *factor, float *packed);
/* r: ONNX's R of one direction [gates*hidden][hidden]; rows in ONNX gate order. */
int64_t asymo_rnn_packed_size(int64_t cell, int64_t hidden);
void asymo_rnn_pack(int64_t cell, int64_t hidden, const float *r, float *packed);
int64_t asymo_rnn_state_bytes(int64_t cell, int64_t batch, int64_t hidden);

/* ---- programs -------------------------------------------------------------------------------------------------- */

typedef struct asymo_program asymo_program;
typedef struct asymo_pool asymo_pool;

int32_t asymo_step_kind(const char *name); /* -1: no such kind */
int32_t asymo_step_kind_count(void);
const char *asymo_step_kind_name(int32_t kind);
int64_t asymo_step_args_bytes(int32_t kind);
/* Units of the step; what the planner and the simulator count with. */
int64_t asymo_step_units(int32_t kind, const void *args);
int64_t asymo_step_phases(int32_t kind, const void *args);

/* How the units of a step are shared. Everything here steers time only, never a result. */
enum { ASYMO_MAX_TYPES = 4 };
typedef struct {
    int64_t cores[4];  /* how many workers of each core type take part, worker 0 among them; all 0: worker 0 alone, nobody is woken */
    int64_t chunk[4];  /* units of a type's smallest claim; 0 counts as 1 */
    double unit_ns[4]; /* predicted time of a unit on a worker of the type; only their ratios matter; 0 counts as 1 */
    int64_t spin_ns;   /* how long workers spin after this step before they sleep, at most the pool's own time; < 0: that */
    int64_t horizon;   /* the first later step that writes memory which this step reads or writes; <= its own index: this step writes
                          what it reads. A worker may still run this step while others are on the steps before the horizon. */
} asymo_sharing;

/* n_workers: of the pools that it will mostly run on; what it learns of the speed of others is forgotten. */
asymo_status asymo_program_create(int64_t n_steps, int64_t n_workers, asymo_program **out);
/* Copies args, refs and sharing. */
asymo_status asymo_program_add(asymo_program *program, int32_t kind, const void *args, const asymo_ref *refs, int64_t n_refs,
                               const asymo_sharing *sharing);
/* Runs steps [first, last). slots: base address of every slot. times_ns: NULL, or int64 [n_steps][workers][2] of begin and end.
 * Safe from several threads: a pool runs one program at a time, callers queue. */
asymo_status asymo_program_run(asymo_program *program, asymo_pool *pool, void *const *slots, int64_t n_slots, int64_t first, int64_t last,
                               int64_t *times_ns);
/* costs: [n_steps][n_workers], what a unit of a step has cost each worker in some unit of time, smoothed over the runs; 0: nobody knows. */
void asymo_program_learned(const asymo_program *program, float *costs);
void asymo_program_destroy(asymo_program *program);

/* ---- the pool ---------------------------------------------------------------------------------------------------- */

/* A worker of a pool. */
typedef struct {
    int32_t cpu;      /* where it is pinned; -1: wherever the kernel puts it */
    int32_t type;     /* core type, 0 the fastest */
    int32_t group;    /* workers next to each other with the same group (cores on one L2) share an interval; -1: alone */
    int32_t in_order; /* 1: runs the kernels for in-order cores, where there are any */
    double slowdown;  /* this many times slower than it is, to emulate unequal cores; 1: as it is */
} asymo_worker_config;

/* Worker 0 is the calling thread of asymo_program_run. Workers come in the order of their types. A CPU that refuses is not an error:
 * asymo_pool_placement tells what really happened. */
asymo_status asymo_pool_create(const asymo_worker_config *workers, int64_t n_workers, asymo_pool **out);
int64_t asymo_pool_workers(const asymo_pool *pool);
/* cpus[i]: the CPU worker i is pinned to, -1 when it is not pinned. */
asymo_status asymo_pool_placement(const asymo_pool *pool, int32_t *cpus);
/* How long a waiting worker spins before it parks (default 50 us); 0 parks at once. */
asymo_status asymo_pool_set_spin(asymo_pool *pool, int64_t spin_ns);
/* Who gets which units. All but the first are other runtimes' ways, to compare with. */
typedef enum {
    ASYMO_POLICY_GUIDED = 0, /* shares by speed, guided chunks, guarded stealing, stragglers' chunks computed again */
    ASYMO_POLICY_BIG = 1,    /* the same on core type 0 alone */
    ASYMO_POLICY_STATIC = 2, /* equal parts, no stealing (ncnn, OpenMP) */
    ASYMO_POLICY_QUEUE = 3,  /* one queue of 4 chunks a worker (ggml) */
    ASYMO_POLICY_SHARDS = 4, /* equal parts, claims and steals of 1/2 of the rest on type 0 and of 1/4 elsewhere (pthreadpool) */
    ASYMO_POLICY_FIXED = 5,  /* each next core type gets half as much a core, no stealing (MNN) */
} asymo_policy;
asymo_status asymo_pool_set_policy(asymo_pool *pool, int32_t policy);

/* What a worker has done since the pool was made or its counters were reset. busy: from its first look at a step to its last; wait: the
 * rest of the time in which somebody ran a program on the pool. steals: by whom the chunk was stolen from. rescues: chunks of others that
 * it computed again because they were late. */
typedef struct {
    int64_t busy_ns, wait_ns, steps, units, claims;
    int64_t steals_same, steals_from_faster, steals_from_slower, rescues;
} asymo_worker_stats;
asymo_status asymo_pool_stats(asymo_pool *pool, asymo_worker_stats *stats);
asymo_status asymo_pool_reset_stats(asymo_pool *pool);
void asymo_pool_destroy(asymo_pool *pool);

/* ---- the scheduler's rules, for the simulator and the tests: those of sched/range.h and sched/share.h ---------------------- */

typedef struct {
    int64_t begin, end;
} asymo_chunk;

/* What the rules know of a worker that takes part in a loop. cost: time of a unit as it is on average now, interruptions and all: what
 * the shares go by; usual: as planned, of a worker that nobody disturbs. Both in any unit of time, the same for all workers. */
typedef struct {
    int32_t type;  /* 0: the fastest core type */
    int32_t group; /* workers next to each other with the same group share an interval; -1: alone */
    int64_t chunk; /* units of its smallest claim */
    double cost, usual;
    int32_t interval; /* written by the cut, as the rest: which one is its own */
    int32_t sharers;  /* workers of that interval */
    double speed;     /* of these workers together, units per time */
    int32_t n_faster; /* workers that are usually clearly faster than this one */
    double faster;    /* their usual speed together */
} asymo_share;

int64_t asymo_sched_cut(int32_t policy, int64_t units, asymo_share *workers, int64_t n, int64_t *ends);
double asymo_sched_part(int32_t policy, const asymo_share *worker, const asymo_share *owner, int64_t left, int64_t units);
uint64_t asymo_sched_range(uint64_t tag, int64_t begin, int64_t end);
uint64_t asymo_sched_claim(uint64_t range, double part, int64_t least, asymo_chunk *chunk);
uint64_t asymo_sched_steal(uint64_t range, double part, int64_t least, asymo_chunk *chunk);
int32_t asymo_sched_steals(int32_t policy);
int32_t asymo_sched_leaves(const asymo_share *worker, int64_t chunk, int64_t left);
int32_t asymo_sched_redoes(double elapsed, double usual, double redo);
