#include "typed.h"

#include <math.h>

enum { TYPES = ASYMO_BOOL + 1 };

typedef float F32;
typedef double F64;
typedef int8_t I8;
typedef uint8_t U8;
typedef int16_t I16;
typedef uint16_t U16;
typedef int32_t I32;
typedef uint32_t U32;
typedef int64_t I64;
typedef uint64_t U64;
typedef uint8_t BOOL; /* any value but 0 is true; 1 is written */

#define EACH_SIGNED(X) X(I8) X(I16) X(I32) X(I64)
#define EACH_UNSIGNED(X) X(U8) X(U16) X(U32) X(U64)
#define EACH_INTEGER(X) EACH_SIGNED(X) EACH_UNSIGNED(X)
#define EACH_FLOAT(X) X(F32) X(F64)

/* Defines NAME_T on elements of type T with a result of type R. */
#define LOOP(NAME, T, R, EXPR)                                                                                                             \
    static void NAME##_##T(int64_t n, void *y, const void *pa, const void *pb, const void *pc) {                                           \
        (void)pb, (void)pc;                                                                                                                \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            const T a = ((const T *)pa)[i];                                                                                                \
            ((R *)y)[i] = (R)(EXPR);                                                                                                       \
        }                                                                                                                                  \
    }
#define LOOP2(NAME, T, R, EXPR)                                                                                                            \
    static void NAME##_##T(int64_t n, void *y, const void *pa, const void *pb, const void *pc) {                                           \
        (void)pc;                                                                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            const T a = ((const T *)pa)[i], b = ((const T *)pb)[i];                                                                        \
            ((R *)y)[i] = (R)(EXPR);                                                                                                       \
        }                                                                                                                                  \
    }

/* Integers wrap: arithmetic is done modulo 2^64 and cut. */
// clang-format off
#define WRAP(T, A, OP, B) ((T)((uint64_t)(A) OP (uint64_t)(B)))
// clang-format on
#define IS_SIGNED(T) ((T)-1 < (T)1)
#define IS_MINUS_ONE(T, B) (IS_SIGNED(T) && (B) == (T)-1)
#define BITS(T) ((int)(8 * sizeof(T)))

#define INTEGER_POWER(T)                                                                                                                   \
    static T power_##T(T base, T exponent) {                                                                                               \
        if (IS_SIGNED(T) && exponent < 1 && exponent != 0) return base == 1 ? 1 : base != (T)-1 ? 0 : exponent & 1 ? (T)-1 : 1;            \
        uint64_t result = 1, square = (uint64_t)base;                                                                                      \
        for (uint64_t e = (uint64_t)exponent; e != 0; e >>= 1, square *= square)                                                           \
            if (e & 1) result *= square;                                                                                                   \
        return (T)result;                                                                                                                  \
    }
EACH_INTEGER(INTEGER_POWER)

#define INTEGER_MOD(T)                                                                                                                     \
    static T mod_of_##T(T a, T b) {                                                                                                        \
        if (b == 0 || IS_MINUS_ONE(T, b)) return 0;                                                                                        \
        const T r = (T)(a % b);                                                                                                            \
        return r != 0 && (r < 1) != (b < 1) ? (T)(r + b) : r;                                                                              \
    }
EACH_INTEGER(INTEGER_MOD)

static double mod_of_F64(double a, double b) {
    const double r = fmod(a, b);
    return r == 0 ? copysign(0.0, b) : (r < 0) != (b < 0) ? r + b : r;
}
static float mod_of_F32(float a, float b) {
    const float r = fmodf(a, b);
    return r == 0 ? copysignf(0.0f, b) : (r < 0) != (b < 0) ? r + b : r;
}

#define INTEGER_OPS(T)                                                                                                                     \
    LOOP2(add, T, T, WRAP(T, a, +, b))                                                                                                     \
    LOOP2(sub, T, T, WRAP(T, a, -, b))                                                                                                     \
    LOOP2(mul, T, T, WRAP(T, a, *, b))                                                                                                     \
    LOOP2(div, T, T, b == 0 ? 0 : IS_MINUS_ONE(T, b) ? WRAP(T, 0, -, a) : a / b)                                                           \
    LOOP2(mod, T, T, mod_of_##T(a, b))                                                                                                     \
    LOOP2(fmod, T, T, b == 0 || IS_MINUS_ONE(T, b) ? 0 : a % b)                                                                            \
    LOOP2(pow, T, T, power_##T(a, b))                                                                                                      \
    LOOP2(min, T, T, a < b ? a : b)                                                                                                        \
    LOOP2(max, T, T, a > b ? a : b)                                                                                                        \
    LOOP(neg, T, T, WRAP(T, 0, -, a))                                                                                                      \
    LOOP(abs, T, T, IS_SIGNED(T) && a < 1 ? WRAP(T, 0, -, a) : a)                                                                          \
    LOOP(sign, T, T, a == 0 ? 0 : IS_SIGNED(T) && a < 1 ? (T)-1 : 1)                                                                       \
    LOOP2(bitwise_and, T, T, a &b)                                                                                                         \
    LOOP2(bitwise_or, T, T, a | b)                                                                                                         \
    LOOP2(bitwise_xor, T, T, a ^ b)                                                                                                        \
    LOOP(bitwise_not, T, T, ~a)                                                                                                            \
    LOOP2(shift_left, T, T, (uint64_t)b >= (uint64_t)BITS(T) ? 0 : WRAP(T, a, <<, b))                                                      \
    LOOP2(shift_right, T, T, (uint64_t)b >= (uint64_t)BITS(T) ? (IS_SIGNED(T) && a < 1 && a != 0 ? (T)-1 : 0) : a >> b)                    \
    COMPARISONS(T)
#define COMPARISONS(T)                                                                                                                     \
    LOOP2(equal, T, BOOL, a == b)                                                                                                          \
    LOOP2(less, T, BOOL, a < b)                                                                                                            \
    LOOP2(less_equal, T, BOOL, a <= b)                                                                                                     \
    LOOP2(greater, T, BOOL, a > b)                                                                                                         \
    LOOP2(greater_equal, T, BOOL, a >= b)
EACH_INTEGER(INTEGER_OPS)

#define FLOAT_OPS(T, F)                                                                                                                    \
    LOOP2(add, T, T, a + b)                                                                                                                \
    LOOP2(sub, T, T, a - b)                                                                                                                \
    LOOP2(mul, T, T, a *b)                                                                                                                 \
    LOOP2(div, T, T, a / b)                                                                                                                \
    LOOP2(mod, T, T, mod_of_##T(a, b))                                                                                                     \
    LOOP2(fmod, T, T, fmod##F(a, b))                                                                                                       \
    LOOP2(pow, T, T, pow##F(a, b))                                                                                                         \
    LOOP2(min, T, T, a != a || a < b ? a : b)                                                                                              \
    LOOP2(max, T, T, a != a || a > b ? a : b)                                                                                              \
    LOOP(neg, T, T, -a)                                                                                                                    \
    LOOP(abs, T, T, fabs##F(a))                                                                                                            \
    LOOP(sign, T, T, a > 0 ? 1 : a < 0 ? -1 : a)                                                                                           \
    COMPARISONS(T)
FLOAT_OPS(F32, f)
FLOAT_OPS(F64, )

LOOP2(and, BOOL, BOOL, a != 0 && b != 0)
LOOP2(or, BOOL, BOOL, a != 0 || b != 0)
LOOP2(xor, BOOL, BOOL, (a != 0) != (b != 0))
LOOP(not, BOOL, BOOL, a == 0)
LOOP2(equal, BOOL, BOOL, (a != 0) == (b != 0))

/* Bits are chosen, so one loop for each size: named after the unsigned type. */
#define WHERE(T)                                                                                                                           \
    static void where_##T(int64_t n, void *y, const void *condition, const void *a, const void *b) {                                       \
        for (int64_t i = 0; i < n; i++) ((T *)y)[i] = ((const uint8_t *)condition)[i] != 0 ? ((const T *)a)[i] : ((const T *)b)[i];        \
    }
EACH_UNSIGNED(WHERE)

/* A float to an integer: towards 0, saturated, NaN is 0. LIMIT is the first value above the range. */
#define TO_INTEGER(FROM, T, LOW, HIGH, LIMIT)                                                                                              \
    LOOP(cast_##T, FROM, T, a != a ? 0 : a >= (FROM)(LIMIT) ? (HIGH) : a <= (FROM)(LOW) ? (LOW) : (T)a)
#define FLOAT_CASTS(FROM)                                                                                                                  \
    TO_INTEGER(FROM, I8, INT8_MIN, INT8_MAX, 0x1p7)                                                                                        \
    TO_INTEGER(FROM, U8, 0, UINT8_MAX, 0x1p8)                                                                                              \
    TO_INTEGER(FROM, I16, INT16_MIN, INT16_MAX, 0x1p15)                                                                                    \
    TO_INTEGER(FROM, U16, 0, UINT16_MAX, 0x1p16)                                                                                           \
    TO_INTEGER(FROM, I32, INT32_MIN, INT32_MAX, 0x1p31)                                                                                    \
    TO_INTEGER(FROM, U32, 0, UINT32_MAX, 0x1p32)                                                                                           \
    TO_INTEGER(FROM, I64, INT64_MIN, INT64_MAX, 0x1p63)                                                                                    \
    TO_INTEGER(FROM, U64, 0, UINT64_MAX, 0x1p64)                                                                                           \
    LOOP(cast_F32, FROM, F32, a)                                                                                                           \
    LOOP(cast_F64, FROM, F64, a)                                                                                                           \
    LOOP(cast_BOOL, FROM, BOOL, a != 0)
EACH_FLOAT(FLOAT_CASTS)

#define INTEGER_CASTS(FROM)                                                                                                                \
    LOOP(cast_I8, FROM, I8, a)                                                                                                             \
    LOOP(cast_U8, FROM, U8, a)                                                                                                             \
    LOOP(cast_I16, FROM, I16, a)                                                                                                           \
    LOOP(cast_U16, FROM, U16, a)                                                                                                           \
    LOOP(cast_I32, FROM, I32, a)                                                                                                           \
    LOOP(cast_U32, FROM, U32, a)                                                                                                           \
    LOOP(cast_I64, FROM, I64, a)                                                                                                           \
    LOOP(cast_U64, FROM, U64, a)                                                                                                           \
    LOOP(cast_F32, FROM, F32, a)                                                                                                           \
    LOOP(cast_F64, FROM, F64, a)                                                                                                           \
    LOOP(cast_BOOL, FROM, BOOL, a != 0)
EACH_INTEGER(INTEGER_CASTS)

#define BOOL_CAST(T) LOOP(cast_##T, BOOL, T, a != 0)
EACH_INTEGER(BOOL_CAST)
EACH_FLOAT(BOOL_CAST)
LOOP(cast_BOOL, BOOL, BOOL, a != 0)

// clang-format off
#define AT(NAME, T) [ASYMO_TYPED_##NAME][ASYMO_##T] = NAME##_##T,
#define COMPARISON_ROWS(T) AT(equal, T) AT(less, T) AT(less_equal, T) AT(greater, T) AT(greater_equal, T)
#define NUMBER_ROWS(T)                                                                                                                 \
    AT(add, T) AT(sub, T) AT(mul, T) AT(div, T) AT(mod, T) AT(fmod, T) AT(pow, T) AT(min, T) AT(max, T) AT(neg, T) AT(abs, T)          \
    AT(sign, T) COMPARISON_ROWS(T)
#define BIT_ROWS(T) AT(bitwise_and, T) AT(bitwise_or, T) AT(bitwise_xor, T) AT(bitwise_not, T) AT(shift_left, T) AT(shift_right, T)

static asymo_typed_fn *const kernels[ASYMO_TYPED_OPS][TYPES] = {
    EACH_INTEGER(NUMBER_ROWS) EACH_FLOAT(NUMBER_ROWS) EACH_INTEGER(BIT_ROWS)
    AT(and, BOOL) AT(or, BOOL) AT(xor, BOOL) AT(not, BOOL) AT(equal, BOOL)
    [ASYMO_TYPED_where] = {[ASYMO_F32] = where_U32, [ASYMO_F64] = where_U64, [ASYMO_I8] = where_U8,   [ASYMO_U8] = where_U8,
                           [ASYMO_I16] = where_U16, [ASYMO_U16] = where_U16, [ASYMO_I32] = where_U32, [ASYMO_U32] = where_U32,
                           [ASYMO_I64] = where_U64, [ASYMO_U64] = where_U64, [ASYMO_BOOL] = where_U8},
};

#define CASTS(FROM)                                                                                                                    \
    [ASYMO_##FROM] = {cast_F32_##FROM, cast_F64_##FROM, cast_I8_##FROM,  cast_U8_##FROM,  cast_I16_##FROM, cast_U16_##FROM,            \
                      cast_I32_##FROM, cast_U32_##FROM, cast_I64_##FROM, cast_U64_##FROM, cast_BOOL_##FROM},
// clang-format on
static asymo_typed_fn *const casts[TYPES][TYPES] = {EACH_FLOAT(CASTS) EACH_INTEGER(CASTS) CASTS(BOOL)};

static int gives_bool(int64_t op) { return op >= ASYMO_TYPED_and; }

asymo_typed_fn *asymo_typed_kernel(int64_t op, int64_t in_type, int64_t out_type) {
    if (op < 0 || op >= ASYMO_TYPED_OPS || in_type < 0 || in_type >= TYPES || out_type < 0 || out_type >= TYPES) return NULL;
    if (op == ASYMO_TYPED_cast) return casts[in_type][out_type];
    return out_type == (gives_bool(op) ? (int64_t)ASYMO_BOOL : in_type) ? kernels[op][in_type] : NULL;
}

int32_t asymo_typed_is_supported(int64_t op, int64_t in_type, int64_t out_type) {
    return asymo_typed_kernel(op, in_type, out_type) != NULL;
}

typedef struct {
    const char *name;
    int32_t arity;
} op_row;

static const op_row rows[] = {
#define ASYMO_TYPED(NAME, ARITY) {#NAME, ARITY},
#include "typed.inc"
#undef ASYMO_TYPED
};

int32_t asymo_typed_op_count(void) { return ASYMO_TYPED_OPS; }
const char *asymo_typed_op_name(int32_t op) { return op >= 0 && op < ASYMO_TYPED_OPS ? rows[op].name : NULL; }
int32_t asymo_typed_op_arity(int32_t op) { return op >= 0 && op < ASYMO_TYPED_OPS ? rows[op].arity : -1; }
