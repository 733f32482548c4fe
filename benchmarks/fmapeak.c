/* fmapeak.c: fp32 FMAs per second of one core: independent chains in registers, no memory. benchmarks/kernels.py compiles it with the flags
 * of the instruction set in question; LANES and KEEP (the register class for asm) are its vector. The chains are variables of their own:
 * GCC keeps an array of them in memory. */
#include <stdint.h>

typedef float vector __attribute__((vector_size(LANES * 4)));

#define EACH(F) F(a) F(b) F(c) F(d) F(e) F(f) F(g) F(h) F(i) F(j) F(k) F(l)
enum { CHAINS = 12 };

/* Floating point operations done by `turns` turns. */
int64_t fmapeak(int64_t turns, float *sink) {
    const vector x = (vector){0} + 0.999f, y = (vector){0} + 0.001f;
#define START(v) vector v = x;
#define TURN(v) v = v * x + y;
#define PIN(v) __asm__ volatile("" : "+" KEEP(v));
#define END(v) *sink += v[0];
    EACH(START)
    for (int64_t t = 0; t < turns; t++) {
        EACH(TURN)
        EACH(PIN)
    }
    EACH(END)
    return turns * CHAINS * LANES * 2;
}
