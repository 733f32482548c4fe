/* next_neon.h: loads that move their pointer, one instruction each. gcc would keep the pointer, add to it, and seldom load eight floats at
 * once. */
#pragma once

#include <arm_neon.h>

/* Four floats, or eight, and p moves behind them. */
static inline __attribute__((always_inline)) float32x4_t next_4(const float **p) {
    float32x4_t x;
    __asm__("ldr %q0, [%1], #16" : "=w"(x), "+r"(*p) : "m"(*(const float(*)[4])(*p)));
    return x;
}

static inline __attribute__((always_inline)) void next_8(float32x4_t x[2], const float **p) {
    __asm__("ldp %q0, %q1, [%2], #32" : "=w"(x[0]), "=w"(x[1]), "+r"(*p) : "m"(*(const float(*)[8])(*p)));
}
