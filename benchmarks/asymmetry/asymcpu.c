/* asymcpu.c: takes a share of one CPU away from everything that runs there, in time slices: a real-time thread that is busy for part of
 * every period.
 *
 *     asymcpu CPU BUSY_US PERIOD_US MAX_SECONDS
 *
 * Prints "ready" once it has the CPU. SIGSTOP and SIGCONT switch it off and on. What it leaves is not 1 - BUSY/PERIOD: every period also
 * costs a timer interrupt and two context switches (9 us on a virtual machine); slow.py calibrates BUSY_US by the FMA rate that is left.
 *
 *     time   |<------------- period ------------->|<------------- period ----- ...
 *     hog    ############                          ############
 *     others             ==========================            =============== ...
 *
 * The schedule is absolute, so a late wake-up shortens the busy part; what is more than two periods late (the host took the CPU from all
 * of us, or SIGSTOP did) is written off. Periods vary by 10 % so that kernels whose own rhythm is the period do not alias with it.
 *
 * It is never left behind: it dies with its parent (also by SIGKILL), after MAX_SECONDS, and when it has not slept for half a second
 * of CPU time. One per CPU (a lock file). Not for CPU 0: interrupts and init live there.
 * Exit status: 2 misuse, 75 another one holds the CPU, 77 not permitted here. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MISUSE = 2, TAKEN = 75, NOT_PERMITTED = 77 };

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_until(int64_t ns) {
    const struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void refuse(int status, const char *what) {
    fprintf(stderr, "asymcpu: %s\n", what);
    exit(status);
}

static void take(int cpu) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/asymcpu.%d.lock", cpu);
    const int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (file >= 0 && flock(file, LOCK_EX | LOCK_NB) != 0) refuse(TAKEN, "another one holds this CPU");
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) refuse(NOT_PERMITTED, "this CPU may not be used");
    const struct rlimit half_a_second = {500000, 500000};
    setrlimit(RLIMIT_RTTIME, &half_a_second);
    const struct sched_param priority = {.sched_priority = 10};
    if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0) refuse(NOT_PERMITTED, "SCHED_FIFO needs root or CAP_SYS_NICE");
    mlockall(MCL_CURRENT);
}

int main(int n, char **arguments) {
    if (n != 5) refuse(MISUSE, "asymcpu CPU BUSY_US PERIOD_US MAX_SECONDS");
    const int cpu = atoi(arguments[1]);
    const double busy_us = atof(arguments[2]), period_us = atof(arguments[3]);
    const int seconds = atoi(arguments[4]);
    if (cpu <= 0 || busy_us < 0 || period_us < 50 || busy_us > 0.97 * period_us || seconds <= 0)
        refuse(MISUSE, "CPU > 0, 50 <= PERIOD_US, 0 <= BUSY_US <= 0.97 PERIOD_US, MAX_SECONDS > 0");
    const pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    take(cpu);
    puts("ready");
    fflush(stdout);

    const int64_t end = now_ns() + seconds * INT64_C(1000000000);
    uint64_t random = (uint64_t)end | 1;
    for (int64_t begin = now_ns(), now = begin; now < end && getppid() == parent; now = now_ns()) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        const double stretch = 0.9 + 0.2 * (double)(random >> 11) / (double)(UINT64_C(1) << 53);
        const int64_t busy_ns = (int64_t)(1e3 * busy_us * stretch), period_ns = (int64_t)(1e3 * period_us * stretch);
        if (now > begin + 2 * period_ns) begin = now;
        while (now_ns() < begin + busy_ns) relax();
        begin += period_ns;
        sleep_until(begin);
    }
    return 0;
}
