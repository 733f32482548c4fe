/* pairprobe.c: what two CPUs deliver right now. A virtual machine's CPUs float over the host's: sometimes they are two cores, sometimes two
 * threads of one core, sometimes cores that share no cache. slow.py compiles it together with ../fmapeak.c into a library. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

int64_t fmapeak(int64_t turns, float *sink);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int pin(int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one);
}

static double rate(double seconds) {
    const double begin = now();
    double flops = 0, passed = 0;
    for (float sink; passed < seconds; passed = now() - begin) flops += (double)fmapeak(2000, &sink);
    return 1e-9 * flops / passed;
}

/* GFLOP/s of one CPU over `seconds`; negative when it may not be used. The calling thread goes there and comes back. */
double probe_rate(int cpu, double seconds) {
    cpu_set_t before;
    if (sched_getaffinity(0, sizeof before, &before) != 0 || pin(cpu) != 0) return -1;
    const double gflops = rate(seconds);
    sched_setaffinity(0, sizeof before, &before);
    return gflops;
}

enum { PARTS = 2, BATCHES = 4, EXCHANGES = 300 };

typedef struct {
    pthread_barrier_t *both;
    _Atomic int *ball;
    int side, cpu;
    double seconds, gflops, exchange_ns;
} player;

static void *play(void *argument) {
    player *me = argument;
    const int pinned = pin(me->cpu) == 0;
    /* The better part counts: a preemption of one of them says nothing about the placement. */
    for (int part = 0; part < PARTS; part++) {
        pthread_barrier_wait(me->both);
        const double gflops = pinned ? rate(me->seconds / PARTS) : -1;
        if (part == 0 || gflops > me->gflops) me->gflops = gflops;
    }
    pthread_barrier_wait(me->both);
    for (int batch = 0; batch < BATCHES; batch++) {
        const double begin = now();
        for (int i = 0; i < EXCHANGES; i++) {
            while (atomic_load_explicit(me->ball, memory_order_acquire) != me->side) continue;
            atomic_store_explicit(me->ball, 1 - me->side, memory_order_release);
        }
        const double ns = 1e9 * (now() - begin) / EXCHANGES;
        if (batch == 0 || ns < me->exchange_ns) me->exchange_ns = ns;
    }
    return NULL;
}

/* out: GFLOP/s of each CPU while both compute, and nanoseconds of an exchange of a cache line between them. Returns 0, or -1 when the
 * second thread cannot be made. The calling thread goes to cpu0 and comes back. */
int probe_pair(int cpu0, int cpu1, double seconds, double out[3]) {
    cpu_set_t before;
    if (sched_getaffinity(0, sizeof before, &before) != 0) return -1;
    pthread_barrier_t both;
    _Atomic int ball = 0;
    pthread_barrier_init(&both, NULL, 2);
    player players[2];
    for (int side = 0; side < 2; side++)
        players[side] = (player){.both = &both, .ball = &ball, .side = side, .cpu = side ? cpu1 : cpu0, .seconds = seconds};
    pthread_t other;
    const int failed = pthread_create(&other, NULL, play, &players[1]);
    if (!failed) {
        play(&players[0]);
        pthread_join(other, NULL);
        out[0] = players[0].gflops, out[1] = players[1].gflops, out[2] = players[0].exchange_ns;
    }
    pthread_barrier_destroy(&both);
    sched_setaffinity(0, sizeof before, &before);
    return failed ? -1 : 0;
}
