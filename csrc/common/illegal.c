#include "illegal.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local jmp_buf landing;
static _Thread_local volatile sig_atomic_t is_probing;
static struct sigaction before;

static void on_sigill(int signal) {
    if (is_probing) longjmp(landing, 1);
    sigaction(signal, &before, NULL); /* another thread's: the instruction runs again and meets the former handler */
}

int asymo_is_legal(void (*code)(void *), void *argument) {
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    struct sigaction mine = {.sa_handler = on_sigill, .sa_flags = SA_NODEFER}; /* the mask is as it was after longjmp */
    sigemptyset(&mine.sa_mask);
    volatile int is_legal = 0;
    pthread_mutex_lock(&turn);
    sigaction(SIGILL, &mine, &before);
    is_probing = 1;
    if (setjmp(landing) == 0) {
        code(argument);
        is_legal = 1;
    }
    is_probing = 0;
    sigaction(SIGILL, &before, NULL);
    pthread_mutex_unlock(&turn);
    return is_legal;
}
