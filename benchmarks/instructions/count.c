/* A plugin of qemu-user: how many AArch64 instructions a program executes between its marks, by class.
 *
 *   qemu-aarch64 -plugin ./libcount.so,out=FILE PROGRAM
 *
 * A mark is `hint #0x20` (begin) or `hint #0x21` (end), which are NOPs on hardware; each thread has marks of its own. Counts repeat to the
 * instruction. They say nothing of cycles. FILE gets one line: name=count, for each of NAMES.
 *
 * The plugin's interface is declared here as far as it is used: Debian has no package with qemu-plugin.h. Version 1: QEMU 4.2 to 9. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;
typedef void (*on_translation)(plugin_id, struct qemu_plugin_tb *);
typedef void (*on_execution)(unsigned cpu, void *data);
typedef void (*on_end)(plugin_id, void *data);
enum { NO_REGISTERS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_translation);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_execution, int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, on_execution, int, void *);
void qemu_plugin_register_atexit_cb(plugin_id, on_end, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum { ALL, VECTOR_FMA, LOAD, STORE, BRANCH, CLASSES };
static const char *const NAMES[CLASSES] = {"instructions", "vector_fma", "loads", "stores", "branches"};

enum { MARK_BEGIN = 0xd503241f, MARK_END = 0xd503243f };
enum { THREADS = 512 };

struct counts {
    uint64_t n[CLASSES];
};

static struct counts marked[THREADS]; /* one row a thread: nothing is shared while the program runs */
static uint8_t is_marked[THREADS];
static char *out;

static int is_load(uint32_t word) {
    int is_vector = word >> 26 & 1;
    if ((word >> 27 & 7) == 3 && !(word >> 24 & 1)) return 1;                                       /* literal */
    if ((word >> 27 & 7) == 5 || ((word >> 24 & 0xbe) == 0x0c && is_vector)) return word >> 22 & 1; /* pairs; ld1 ... st4 */
    return (word >> 22 & 3) != 0 && !(is_vector && (word >> 22 & 3) == 2);
}

/* fmla, fmls of fp32 vectors, by vector and by element (Arm ARM, C4.1). */
static int is_vector_fma(uint32_t word) {
    return (word & 0xbfa0fc00) == 0x0e20cc00 || (word & 0xbfa0fc00) == 0x0ea0cc00 || (word & 0xbf80f400) == 0x0f801000 ||
           (word & 0xbf80f400) == 0x0f805000;
}

static void add(struct counts *counts, uint32_t word) {
    uint32_t group = word >> 25 & 15;
    counts->n[ALL]++;
    if ((group & 5) == 4) counts->n[is_load(word) ? LOAD : STORE]++;
    if ((group & 14) == 10) counts->n[BRANCH]++;
    if ((group & 7) == 7 && is_vector_fma(word)) counts->n[VECTOR_FMA]++;
}

static void executed(unsigned cpu, void *data) {
    const struct counts *counts = data;
    if (!is_marked[cpu % THREADS]) return;
    for (int i = 0; i < CLASSES; i++) marked[cpu % THREADS].n[i] += counts->n[i];
}

static void begin(unsigned cpu, void *data) {
    (void)data;
    is_marked[cpu % THREADS] = 1;
}

static void end(unsigned cpu, void *data) {
    (void)data;
    is_marked[cpu % THREADS] = 0;
}

static uint32_t word_of(struct qemu_plugin_insn *instruction) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
    return word;
}

/* A block is counted as a whole, one with a mark in it instruction by instruction. Blocks live as long as the program. */
static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(block);
    int has_mark = 0;
    struct counts *whole = calloc(1, sizeof *whole);
    for (size_t i = 0; i < length; i++) {
        uint32_t word = word_of(qemu_plugin_tb_get_insn(block, i));
        has_mark |= word == MARK_BEGIN || word == MARK_END;
        add(whole, word);
    }
    if (!has_mark) {
        qemu_plugin_register_vcpu_tb_exec_cb(block, executed, NO_REGISTERS, whole);
        return;
    }
    free(whole);
    for (size_t i = 0; i < length; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        uint32_t word = word_of(instruction);
        if (word == MARK_BEGIN || word == MARK_END) {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, word == MARK_BEGIN ? begin : end, NO_REGISTERS, NULL);
            continue;
        }
        struct counts *one = calloc(1, sizeof *one);
        add(one, word);
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, executed, NO_REGISTERS, one);
    }
}

static void finished(plugin_id id, void *data) {
    (void)id, (void)data;
    FILE *file = out ? fopen(out, "w") : stderr;
    if (!file) return;
    for (int i = 0; i < CLASSES; i++) {
        uint64_t sum = 0;
        for (int thread = 0; thread < THREADS; thread++) sum += marked[thread].n[i];
        fprintf(file, "%s=%" PRIu64 "%c", NAMES[i], sum, i + 1 < CLASSES ? ' ' : '\n');
    }
    if (out) fclose(file);
}

struct qemu_info_t;
EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4)) out = strdup(argv[i] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
