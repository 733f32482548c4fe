/* cpu.h: which instruction sets this machine has, and which one the kernels use. */
#pragma once

#include "base.h"

typedef enum {
    ASYMO_CPU_NEON = 1 << 0,
    ASYMO_CPU_AVX2 = 1 << 1,
    ASYMO_CPU_FMA = 1 << 2,
    ASYMO_CPU_AVX512 = 1 << 3, /* F, DQ, BW, VL, and the operating system saves the registers */
} asymo_cpu_feature;

typedef enum {
#define ASYMO_ISA(ID, NAME, ARCH, NEEDS, FLAGS) ASYMO_ISA_##ID,
#include "isa.inc"
#undef ASYMO_ISA
    ASYMO_ISA_COUNT,
} asymo_isa;

/* The instruction set in use. Written by asymo_isa_select only. */
extern asymo_isa asymo_isa_now;

/* Picks the build of a v16 kernel for the instruction set in use: ASYMO_PICK(asymo_reduce_rows)(...). */
#if defined(__x86_64__)
#define ASYMO_PICK(f) (asymo_isa_now == ASYMO_ISA_AVX512 ? f##__avx512 : asymo_isa_now == ASYMO_ISA_AVX2 ? f##__avx2 : f##__portable)
#elif defined(__aarch64__)
#define ASYMO_PICK(f) (asymo_isa_now == ASYMO_ISA_NEON ? f##__neon : f##__portable)
#else
#define ASYMO_PICK(f) f##__portable
#endif

/* Declares a v16 kernel's four builds: ASYMO_DECLARE(void, asymo_reduce_rows, (const float *x, ...)); */
#define ASYMO_DECLARE(RET, f, ARGS) RET f##__portable ARGS, f##__neon ARGS, f##__avx2 ARGS, f##__avx512 ARGS
