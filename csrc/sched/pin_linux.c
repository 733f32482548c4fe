#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pin.h"

static bool get(pid_t thread, asymo_cpu_mask *mask) {
    memset(mask, 0, sizeof *mask);
    return sched_getaffinity(thread, sizeof *mask, (cpu_set_t *)mask) == 0;
}

/* Every CPU that a thread was ever allowed. */
enum { WORDS = sizeof(asymo_cpu_mask) / sizeof(uint64_t) };
static _Atomic uint64_t seen[WORDS];

bool asymo_pin_get(asymo_cpu_mask *mask) {
    if (!get(0, mask)) return false;
    for (size_t i = 0; i < WORDS; i++)
        if ((mask->bits[i] & ~atomic_load_explicit(&seen[i], memory_order_relaxed)) != 0)
            atomic_fetch_or_explicit(&seen[i], mask->bits[i], memory_order_relaxed);
    return true;
}

bool asymo_pin_set(const asymo_cpu_mask *mask) { return sched_setaffinity(0, sizeof *mask, (const cpu_set_t *)mask) == 0; }

void asymo_pin_restore(const asymo_cpu_mask *mask) {
    asymo_cpu_mask wide = {0}, now;
    for (size_t i = 0; i < WORDS; i++) wide.bits[i] = atomic_load_explicit(&seen[i], memory_order_relaxed);
    const bool is_narrow = memcmp(&wide, mask, sizeof wide) != 0;
    if (is_narrow && asymo_pin_set(&wide) && get(0, &now) && memcmp(&now, mask, sizeof now) == 0) return;
    asymo_pin_set(mask);
}

int32_t asymo_pin_thread(void) { return (int32_t)syscall(SYS_gettid); }

int32_t asymo_pin_of(int32_t thread) {
    asymo_cpu_mask mask;
    if (!get(thread, &mask) || asymo_pin_count(&mask) != 1) return -1;
    int32_t cpu = 0;
    while ((mask.bits[cpu / 64] >> cpu % 64 & 1) == 0) cpu++;
    return cpu;
}

int32_t asymo_pin_current(void) { return sched_getcpu(); }

int64_t asymo_pin_count(const asymo_cpu_mask *mask) {
    int64_t count = 0;
    for (size_t i = 0; i < sizeof mask->bits / sizeof mask->bits[0]; i++) count += __builtin_popcountll(mask->bits[i]);
    return count;
}

int32_t asymo_pin_to(int32_t cpu, const asymo_cpu_mask *allowed) {
    asymo_cpu_mask one = {0}, now;
    if (cpu < 0 || cpu >= (int32_t)sizeof one.bits * 8) return -1;
    one.bits[cpu / 64] = UINT64_C(1) << cpu % 64;
    if ((allowed->bits[cpu / 64] & one.bits[cpu / 64]) == 0) return -1;
    if (!asymo_pin_set(&one) || !asymo_pin_get(&now)) return -1;
    return memcmp(&one, &now, sizeof one) == 0 ? cpu : -1;
}
