/* f32_neon.c: 8 x 8 for out-of-order cores, in assembly, because all 32 vector registers are in use: compilers spill some.
 *
 *                  v28      v29            B, one row of the panel; v30 and v31 hold the next
 *              +--------+--------+
 *   v16.s[s]   | v0     | v1     |         row i: four k in its own register 16 + i or in 24 + i % 4, which it shares with another row;
 *      ...     |  ...   |  ...   |         lane s is multiplied in step s
 *   v23.s[s]   | v14    | v15    |
 *              +--------+--------+
 *
 * A row of A is loaded eight k at a time, into its shared and its own register. The late rows (4 to 7) do so four steps after the early
 * ones (0 to 3), when these are done with the shared registers:
 *
 *   k          0    4    8    12   ...
 *   early      |shared own |shared own |
 *   late       own |shared own |shared ...                                                                                           */
#define KERNEL asymo_f32_gemm_ukr_8x8k1__neon
#include "neon_body.h"

/* DO(i, its accumulators, pointer, own and shared register, ...) for rows. */
#define EARLY(DO, ...)                                                                                                                     \
    DO(0, 0, 1, 8, 16, 24, __VA_ARGS__)                                                                                                    \
    DO(1, 2, 3, 9, 17, 25, __VA_ARGS__)                                                                                                    \
    DO(2, 4, 5, 10, 18, 26, __VA_ARGS__)                                                                                                   \
    DO(3, 6, 7, 11, 19, 27, __VA_ARGS__)
#define LATE(DO, ...)                                                                                                                      \
    DO(4, 8, 9, 12, 20, 24, __VA_ARGS__)                                                                                                   \
    DO(5, 10, 11, 13, 21, 25, __VA_ARGS__)                                                                                                 \
    DO(6, 12, 13, 14, 22, 26, __VA_ARGS__)                                                                                                 \
    DO(7, 14, 15, 15, 23, 27, __VA_ARGS__)
#define ALL(DO, ...) EARLY(DO, __VA_ARGS__) LATE(DO, __VA_ARGS__)

#define IF_ROW(i, TEXT) ".if %c[M] > " #i "\n" TEXT "\n.endif\n"
#define POINTERS(i, j, a0, a1)                                                                                                             \
    ".if %c[M] > " #j "\nldp x" #a0 ", x" #a1 ", [%[rows], #8 * " #i "]\n.elseif %c[M] > " #i "\nldr x" #a0 ", [%[rows], #8 * " #i         \
    "]\n.endif\n"
#define START(i, c, d, a, own, shared, _) IF_ROW(i, "ldp q" #c ", q" #d ", [%[bias]]")
#define LOAD_8(i, c, d, a, own, shared, _) IF_ROW(i, "ldp q" #shared ", q" #own ", [x" #a "], #32")
#define LOAD_4(i, c, d, a, own, shared, _) IF_ROW(i, "ldr q" #own ", [x" #a "], #16")
#define LOAD_4_SHARED(i, c, d, a, own, shared, _) IF_ROW(i, "ldr q" #shared ", [x" #a "], #16")
#define LOAD_1(i, c, d, a, own, shared, _) IF_ROW(i, "ld1r {v" #own ".4s}, [x" #a "], #4")
#define FMA(i, c, d, y, x0, x1, s)                                                                                                         \
    IF_ROW(i, "fmla v" #c ".4s, v" #x0 ".4s, v" #y ".s[" #s "]\nfmla v" #d ".4s, v" #x1 ".4s, v" #y ".s[" #s "]")
#define OWN(i, c, d, a, own, shared, x0, x1, s) FMA(i, c, d, own, x0, x1, s)
#define SHARED(i, c, d, a, own, shared, x0, x1, s) FMA(i, c, d, shared, x0, x1, s)

/* Steps s and next, then four; EARLY_Y, LATE_Y: OWN or SHARED, where rows hold these k. */
#define TWO_STEPS(EARLY_Y, LATE_Y, s, next)                                                                                                \
    "ld1 {v28.4s - v31.4s}, [%[b]], #64\n" EARLY(EARLY_Y, 28, 29, s) LATE(LATE_Y, 28, 29, s) EARLY(EARLY_Y, 30, 31, next)                  \
        LATE(LATE_Y, 30, 31, next)
#define FOUR_STEPS(EARLY_Y, LATE_Y) TWO_STEPS(EARLY_Y, LATE_Y, 0, 1) TWO_STEPS(EARLY_Y, LATE_Y, 2, 3)

INLINE void sum(const asymo_gemm_tile *t, const float *const *rows, const float *b, const float *bias, float32x4_t acc[MR][2],
                const int M) {
    register float32x4_t c0 __asm__("v0"), c1 __asm__("v1"), c2 __asm__("v2"), c3 __asm__("v3"), c4 __asm__("v4"), c5 __asm__("v5");
    register float32x4_t c6 __asm__("v6"), c7 __asm__("v7"), c8 __asm__("v8"), c9 __asm__("v9"), c10 __asm__("v10"), c11 __asm__("v11");
    register float32x4_t c12 __asm__("v12"), c13 __asm__("v13"), c14 __asm__("v14"), c15 __asm__("v15");
    int64_t taps = t->taps;
    // clang-format off
    __asm__ volatile(
        ALL(START, )
        "cbz %[taps], 7f\n"
        "1:\n" /* a tap */
        POINTERS(0, 1, 8, 9) POINTERS(2, 3, 10, 11) POINTERS(4, 5, 12, 13) POINTERS(6, 7, 14, 15)
        "add %[rows], %[rows], #64\n"
        "lsr x16, %[run], #3\n"
        "cbz x16, 4f\n"
        LATE(LOAD_4, )
        EARLY(LOAD_8, ) FOUR_STEPS(SHARED, OWN)
        "subs x16, x16, #1\n"
        "b.eq 3f\n"
        "2:\n" /* eight k */
        LATE(LOAD_8, ) FOUR_STEPS(OWN, SHARED)
        EARLY(LOAD_8, ) FOUR_STEPS(SHARED, OWN)
        "subs x16, x16, #1\n"
        "b.ne 2b\n"
        "3:\n"
        LATE(LOAD_4_SHARED, ) FOUR_STEPS(OWN, SHARED)
        "4:\n"
        "tbz %[run], #2, 5f\n"
        ALL(LOAD_4, ) FOUR_STEPS(OWN, OWN)
        "5:\n"
        "ands x16, %[run], #3\n"
        "b.eq 6f\n"
        "8:\n" /* one k */
        ALL(LOAD_1, )
        "ldp q28, q29, [%[b]], #32\n"
        ALL(OWN, 28, 29, 0)
        "subs x16, x16, #1\n"
        "b.ne 8b\n"
        "6:\n"
        "subs %[taps], %[taps], #1\n"
        "b.ne 1b\n"
        "7:\n"
        : "=w"(c0), "=w"(c1), "=w"(c2), "=w"(c3), "=w"(c4), "=w"(c5), "=w"(c6), "=w"(c7), "=w"(c8), "=w"(c9), "=w"(c10), "=w"(c11),
          "=w"(c12), "=w"(c13), "=w"(c14), "=w"(c15), [rows] "+r"(rows), [b] "+r"(b), [taps] "+r"(taps)
        : [run] "r"(t->run), [bias] "r"(bias), [M] "i"(M)
        : "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31",
          "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "cc", "memory");
    // clang-format on
    const float32x4_t sums[MR][2] = {{c0, c1}, {c2, c3}, {c4, c5}, {c6, c7}, {c8, c9}, {c10, c11}, {c12, c13}, {c14, c15}};
    EACH(i, M) EACH(v, 2) acc[i][v] = sums[i][v];
}
