/* _illegal.c: an illegal instruction under asymo_is_legal is told, not suffered; in another thread it goes where it went before. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "../csrc/common/illegal.h"

#if defined(__x86_64__)
#define ILLEGAL "ud2"
#elif defined(__aarch64__)
#define ILLEGAL ".inst 0"
#endif

static volatile sig_atomic_t others;
static _Thread_local jmp_buf home;

static void former(int signal) {
    (void)signal;
    others++;
    longjmp(home, 1);
}

static void legal(void *argument) { *(int *)argument += 1; }

static void illegal(void *argument) {
    *(int *)argument += 1;
    __asm__ volatile(ILLEGAL);
    *(int *)argument += 100;
}

static void *stranger(void *argument) {
    if (setjmp(home) == 0) __asm__ volatile(ILLEGAL);
    return argument;
}

static void start_stranger(void *argument) {
    pthread_t thread;
    (void)argument;
    if (pthread_create(&thread, NULL, stranger, NULL) != 0 || pthread_join(thread, NULL) != 0) exit(2);
}

#define EXPECT(X)                                                                                                                          \
    do {                                                                                                                                   \
        if (!(X)) {                                                                                                                        \
            printf("line %d: " #X "\n", __LINE__);                                                                                         \
            return 1;                                                                                                                      \
        }                                                                                                                                  \
    } while (0)

int main(void) {
    struct sigaction mine = {.sa_handler = former, .sa_flags = SA_NODEFER}, now;
    sigaction(SIGILL, &mine, NULL);
    for (int round = 1; round <= 3; round++) { /* the signal stays deliverable */
        int count = 0;
        EXPECT(asymo_is_legal(legal, &count) == 1);
        EXPECT(asymo_is_legal(illegal, &count) == 0);
        EXPECT(count == 2);
        EXPECT(others == 0);
    }
    sigaction(SIGILL, NULL, &now);
    EXPECT(now.sa_handler == former);
    EXPECT(asymo_is_legal(start_stranger, NULL) == 1);
    EXPECT(others == 1);
    return 0;
}
