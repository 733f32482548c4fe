/* readbytes.c: how fast one thread reads memory and does nothing else. benchmarks/gemv.py compiles it for the machine it runs on. Eight
 * streams of cache lines, each through a part of its own, feed eight sums. */
#include <stdint.h>
#include <time.h>

typedef uint64_t line __attribute__((vector_size(64)));

enum { STREAMS = 8 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static line sum(const line *lines, int64_t part) {
    line sums[STREAMS] = {{0}};
    for (int64_t i = 0; i < part; i++) {
        for (int s = 0; s < STREAMS; s++) sums[s] ^= lines[s * part + i];
    }
    for (int s = 1; s < STREAMS; s++) sums[0] ^= sums[s];
    return sums[0];
}

/* Bytes per second of reading `bytes` (a multiple of 512, at a multiple of 64) again and again for `seconds`. */
double readbytes(const void *from, int64_t bytes, double seconds, uint64_t *sink) {
    const int64_t part = bytes / (int64_t)sizeof(line) / STREAMS;
    const double begin = now();
    double passed = 0;
    int64_t turns = 0;
    for (; passed < seconds; passed = now() - begin, turns++) {
        line found = sum(from, part);
        *sink ^= found[0];
        __asm__ volatile("" : : "r"(from) : "memory");
    }
    return (double)(turns * bytes) / passed;
}
