/* pin.h: on which CPUs the calling thread may run. The only door to affinity. */
#pragma once

#include <stdbool.h>

#include "../common/base.h"

/* Bit i of word i / 64: CPU i. Larger than the C library's cpu_set_t, which ends at 1024. */
typedef struct {
    uint64_t bits[8192 / 64];
} asymo_cpu_mask;

/* false: the kernel would not tell; *mask is empty then. */
bool asymo_pin_get(asymo_cpu_mask *mask);
bool asymo_pin_set(const asymo_cpu_mask *mask);
/* Gives the calling thread the mask back that asymo_pin_get found. A mask that was narrow only because the cpuset was is restored as wide
 * as it may have been: Linux keeps what a thread asks for, and would leave it there when the cpuset grows again. */
void asymo_pin_restore(const asymo_cpu_mask *mask);
/* The kernel's number of the calling thread. */
int32_t asymo_pin_thread(void);
/* The one CPU that a thread may run on, -1: there are several, or the thread has ended. */
int32_t asymo_pin_of(int32_t thread);
/* The CPU that the calling thread is on right now, -1: unknown. No system call on most machines. */
int32_t asymo_pin_current(void);
int64_t asymo_pin_count(const asymo_cpu_mask *mask);

/* Pins the calling thread to one CPU out of those in allowed, and reads back. Returns the CPU, or -1 when the thread is not pinned:
 * cpu is negative, not allowed, offline, or the kernel refused. */
int32_t asymo_pin_to(int32_t cpu, const asymo_cpu_mask *allowed);
