/* _once.c: watches the stores into some memory, one instruction at a time (x86-64).
 *
 * The memory is read-only while it is watched. An instruction that writes to it faults; it is repeated with the memory writable and the
 * trap flag set, so that the CPU stops again right behind it, where the bytes it may have changed are compared with those that were there
 * when the watch began:
 *
 *   store -> SIGSEGV: writable, trap flag on -> store -> SIGTRAP: compare, restore, read-only, trap flag off -> ...
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { MAX_RANGES = 64, TRAP_FLAG = 0x100, PAGE = 4096 };

/* [begin, begin + bytes), whole pages, and what it must hold. */
typedef struct {
    char *begin;
    const char *expected;
    size_t bytes;
} range;

static range ranges[MAX_RANGES];
static int n_ranges;
static volatile int64_t stores, revisions;
static char *volatile written;
static struct sigaction old_segv, old_trap;

static const range *range_of(const char *at) {
    for (int i = 0; i < n_ranges; i++)
        if (at >= ranges[i].begin && at < ranges[i].begin + ranges[i].bytes) return &ranges[i];
    return NULL;
}

/* The pages that a store at `at` may touch: the fault may be reported for its second one. */
static range around(const char *at) {
    const range *r = range_of(at);
    const int64_t page = (at - r->begin) / PAGE * PAGE, from = page < PAGE ? 0 : page - PAGE, bytes = (int64_t)r->bytes;
    const int64_t end = page + 2 * PAGE < bytes ? page + 2 * PAGE : bytes;
    return (range){r->begin + from, r->expected + from, (size_t)(end - from)};
}

static void protect(range r, int access) { mprotect(r.begin, r.bytes, access); }

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal;
    if (range_of(info->si_addr) == NULL) { /* a real one */
        sigaction(SIGSEGV, &old_segv, NULL);
        return;
    }
    written = info->si_addr;
    protect(around(written), PROT_READ | PROT_WRITE);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    const range r = around(written);
    stores++;
    if (memcmp(r.begin, r.expected, r.bytes) != 0) {
        revisions++;
        memcpy(r.begin, r.expected, r.bytes);
    }
    protect(r, PROT_READ);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

int once_watch(int n, void *const *begin, const void *const *expected, const int64_t *bytes) {
    if (n > MAX_RANGES) return -1;
    n_ranges = n;
    for (int i = 0; i < n; i++) ranges[i] = (range){begin[i], expected[i], (size_t)bytes[i]};
    stores = revisions = 0;
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, step = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSEGV, &fault, &old_segv) || sigaction(SIGTRAP, &step, &old_trap)) return -1;
    for (int i = 0; i < n; i++) protect(ranges[i], PROT_READ);
    return 0;
}

/* result: how many stores there were, and how many left other bytes than were there. */
void once_unwatch(int64_t *result) {
    for (int i = 0; i < n_ranges; i++) protect(ranges[i], PROT_READ | PROT_WRITE);
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGTRAP, &old_trap, NULL);
    result[0] = stores;
    result[1] = revisions;
}
