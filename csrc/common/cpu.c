#include "cpu.h"

#include "status.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

typedef struct {
    const char *name;
    uint32_t needs;
} isa_row;

static const isa_row rows[] = {
#define ASYMO_ISA(ID, NAME, ARCH, NEEDS, FLAGS) {#NAME, NEEDS},
#include "isa.inc"
#undef ASYMO_ISA
};

/* Features of the architecture this binary is built for; a row of another architecture never matches. */
static uint32_t detect(void) {
#if defined(__x86_64__)
    uint32_t a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const int has_fma = (c >> 12) & 1, has_osxsave = (c >> 27) & 1;
    if (!has_osxsave) return 0;
    uint32_t xcr0_low, xcr0_high;
    __asm__ volatile("xgetbv" : "=a"(xcr0_low), "=d"(xcr0_high) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    const int os_saves_ymm = (xcr0_low & 0x6) == 0x6, os_saves_zmm = (xcr0_low & 0xe6) == 0xe6;
    if (os_saves_ymm && has_fma) features |= ASYMO_CPU_FMA;
    if (os_saves_ymm && ((b >> 5) & 1)) features |= ASYMO_CPU_AVX2;
    const uint32_t f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if (os_saves_zmm && (b & f_dq_bw_vl) == f_dq_bw_vl) features |= ASYMO_CPU_AVX512;
    return features;
#elif defined(__aarch64__)
    const unsigned long hwcap_asimd = 1ul << 1;
    return getauxval(AT_HWCAP) & hwcap_asimd ? ASYMO_CPU_NEON : 0;
#else
    return 0;
#endif
}

int32_t asymo_hybrid_kind(void) {
#if defined(__x86_64__)
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !((d >> 15) & 1)) return 0; /* not a hybrid part */
    return __get_cpuid_count(0x1a, 0, &a, &b, &c, &d) ? (int32_t)(a >> 24) : 0;
#else
    return 0;
#endif
}

int32_t asymo_isa_count(void) { return ASYMO_ISA_COUNT; }

const char *asymo_isa_name(int32_t isa) { return isa >= 0 && isa < ASYMO_ISA_COUNT ? rows[isa].name : NULL; }

int32_t asymo_isa_is_supported(int32_t isa) { return isa >= 0 && isa < ASYMO_ISA_COUNT && (detect() & rows[isa].needs) == rows[isa].needs; }

asymo_isa asymo_isa_now = ASYMO_ISA_PORTABLE;

int32_t asymo_isa_current(void) { return (int32_t)asymo_isa_now; }

asymo_status asymo_isa_select(int32_t isa) {
    if (!asymo_isa_is_supported(isa)) return asymo_fail(ASYMO_UNSUPPORTED, "instruction set %d is not supported by this CPU", (int)isa);
    asymo_isa_now = (asymo_isa)isa;
    return ASYMO_OK;
}
