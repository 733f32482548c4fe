/* replay.c: runs recorded plans (record.py) on this machine's instruction sets and compares every output bit for bit.
 *
 *   replay FILE [ISA WAY]
 *
 * Every case runs on every instruction set whose packed layout is the recorded one (or on this one only), in three ways (or this one):
 *   1 worker      tensors end at an unmapped page
 *   3 workers     tensors begin after an unmapped page
 *   in-order      no pool: the units one by one, last first, on kernels for in-order cores; tensors end at an unmapped page
 * Any NaN equals any NaN: the sign of a computed NaN belongs to the hardware. Exit code: 0 all equal, 1 some differ, 2 no run.
 *
 * The file, little-endian. str and bytes: int64 size, then the bytes, zero-filled to a multiple of 8.
 *
 *   file    bytes "asymo-plans"   nr kr n_cases   case[n_cases]
 *   case    str name   arena_bytes n_steps n_constants n_inputs n_outputs
 *           step[n_steps]   bytes[n_constants]   bytes[n_inputs]   output[n_outputs]
 *   step    str kind   serial n_refs   bytes args   (slot offset_bytes)[n_refs]
 *   output  item_bytes is_float   bytes expected                                                                                    */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../csrc/exec/table.h"
#include "../../csrc/kernels/gemm/gemm.h"

static const uint32_t canary = 0x7fc0dead; /* a NaN */

static void give_up(const char *what) {
    fprintf(stderr, "replay: %s\n", what);
    exit(2);
}

static void *allocate(int64_t size) {
    void *p = aligned_alloc(64, (size_t)asymo_round_up(size + 1, 64));
    if (p == NULL) give_up("out of memory");
    return p;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *at, *end;
} reader;

typedef struct {
    const char *data;
    int64_t size;
} bytes;

static const void *take(reader *in, int64_t size) {
    if (size < 0 || in->end - in->at < size) give_up("the file ends early");
    const void *p = in->at;
    in->at += size;
    return p;
}

static int64_t take_int(reader *in) {
    int64_t value;
    memcpy(&value, take(in, sizeof value), sizeof value);
    return value;
}

static bytes take_bytes(reader *in) {
    const int64_t size = take_int(in);
    return (bytes){take(in, asymo_round_up(size, 8)), size};
}

static reader open_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) give_up("cannot open the file");
    const long size = ftell(file);
    char *data = allocate(size);
    rewind(file);
    if (fread(data, 1, (size_t)size, file) != (size_t)size) give_up("cannot read the file");
    fclose(file);
    return (reader){data, data + size};
}

typedef struct {
    int32_t kind, serial;
    int64_t n_refs;
    const void *args;
    asymo_ref refs[ASYMO_MAX_OPERANDS];
} recorded_step;

/* Slots in the order of a plan: arena, constants, inputs, outputs; an output's contents are what is expected. */
typedef struct {
    char name[256];
    int64_t n_steps, n_slots, first_input, first_output;
    recorded_step *steps;
    bytes *slots;
    int64_t *item_bytes, *is_float; /* of the outputs, by slot */
} recorded_case;

static recorded_step read_step(reader *in) {
    char name[32];
    const bytes kind = take_bytes(in);
    snprintf(name, sizeof name, "%.*s", (int)kind.size, kind.data);
    recorded_step step = {.kind = asymo_step_kind(name)};
    step.serial = (int32_t)take_int(in);
    step.n_refs = take_int(in);
    const bytes args = take_bytes(in);
    if (args.size != asymo_step_args_bytes(step.kind)) give_up("a step's arguments have another size here");
    step.args = args.data;
    if (step.n_refs < 0 || step.n_refs > ASYMO_MAX_OPERANDS) give_up("a step has too many operands");
    for (int64_t i = 0; i < step.n_refs; i++) {
        step.refs[i].slot = take_int(in);
        step.refs[i].offset_bytes = take_int(in);
    }
    return step;
}

static recorded_case read_case(reader *in) {
    recorded_case c;
    const bytes name = take_bytes(in);
    snprintf(c.name, sizeof c.name, "%.*s", (int)name.size, name.data);
    const int64_t arena_bytes = take_int(in);
    c.n_steps = take_int(in);
    c.first_input = 1 + take_int(in);
    c.first_output = c.first_input + take_int(in);
    c.n_slots = c.first_output + take_int(in);
    c.steps = allocate(c.n_steps * (int64_t)sizeof *c.steps);
    c.slots = allocate(c.n_slots * (int64_t)sizeof *c.slots);
    c.item_bytes = allocate(c.n_slots * (int64_t)sizeof *c.item_bytes);
    c.is_float = allocate(c.n_slots * (int64_t)sizeof *c.is_float);
    for (int64_t i = 0; i < c.n_steps; i++) c.steps[i] = read_step(in);
    c.slots[0] = (bytes){NULL, arena_bytes};
    for (int64_t i = 1; i < c.n_slots; i++) {
        if (i >= c.first_output) {
            c.item_bytes[i] = take_int(in);
            c.is_float[i] = take_int(in);
        }
        c.slots[i] = take_bytes(in);
    }
    return c;
}

static void free_case(recorded_case *c) {
    free(c->steps);
    free(c->slots);
    free(c->item_bytes);
    free(c->is_float);
}

/* ---- memory with unmapped pages around it ------------------------------------------------------------------------------------ */

typedef struct {
    char *map, *data;
    size_t map_bytes;
} guarded;

/* at_end: the data ends at an unmapped page; those with align at the last multiple of align that leaves room. */
static guarded guarded_make(int64_t size, int at_end, int64_t align) {
    const int64_t page = sysconf(_SC_PAGESIZE), inside = asymo_round_up(size + 1, page);
    guarded g = {.map_bytes = (size_t)(inside + 2 * page)};
    g.map = mmap(NULL, g.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + page, (size_t)inside, PROT_READ | PROT_WRITE) != 0) give_up("out of memory");
    g.data = g.map + page + (at_end ? inside - asymo_round_up(size, align) : 0);
    return g;
}

static void fill(char *data, int64_t size) {
    for (int64_t i = 0; i < size; i++) data[i] = (char)(canary >> i % 4 * 8);
}

/* ---- running ----------------------------------------------------------------------------------------------------------------- */

static void run_program(const recorded_case *c, void *const *slots, int32_t workers) {
    static const asymo_worker_config anywhere[3] = {{-1, 0, -1, 0, 1}, {-1, 0, -1, 0, 1}, {-1, 0, -1, 0, 1}};
    static asymo_pool *pools[4];
    asymo_program *program;
    if (pools[workers] == NULL &&
        (asymo_pool_create(anywhere, workers, &pools[workers]) != ASYMO_OK || asymo_pool_set_spin(pools[workers], 0) != ASYMO_OK))
        give_up(asymo_last_error());
    if (asymo_program_create(c->n_steps, workers, &program) != ASYMO_OK) give_up(asymo_last_error());
    for (int64_t i = 0; i < c->n_steps; i++) {
        const recorded_step *s = &c->steps[i];
        const asymo_sharing sharing = {.cores = {s->serial ? 0 : workers}, .spin_ns = -1};
        if (asymo_program_add(program, s->kind, s->args, s->refs, s->n_refs, &sharing) != ASYMO_OK) give_up(asymo_last_error());
    }
    if (asymo_program_run(program, pools[workers], slots, c->n_slots, 0, c->n_steps, NULL) != ASYMO_OK) give_up(asymo_last_error());
    asymo_program_destroy(program);
}

static void run_in_order(const recorded_case *c, void *const *slots) {
    static const float zeros[ASYMO_ZEROS] __attribute__((aligned(64)));
    _Atomic int32_t fault = 0;
    for (int64_t i = 0; i < c->n_steps; i++) {
        const recorded_step *s = &c->steps[i];
        const asymo_step_row *row = &asymo_step_rows[s->kind];
        void *operands[ASYMO_MAX_OPERANDS] = {NULL};
        for (int64_t j = 0; j < s->n_refs; j++)
            if (s->refs[j].slot >= 0) operands[j] = (char *)slots[s->refs[j].slot] + s->refs[j].offset_bytes;
        const int64_t scratch_bytes = row->scratch(s->args), phases = row->phases ? row->phases(s->args) : 1;
        asymo_worker worker = {.scratch = allocate(scratch_bytes), .zeros = zeros, .core_kind = ASYMO_CORE_INORDER, .fault = &fault};
        fill(worker.scratch, scratch_bytes);
        for (; worker.phase < phases; worker.phase++)
            for (int64_t unit = row->units(s->args) - 1; unit >= 0; unit--) row->run(s->args, operands, unit, unit + 1, &worker);
        free(worker.scratch);
    }
    if (fault) give_up("a recorded index is out of range");
}

/* ---- comparing ---------------------------------------------------------------------------------------------------------------- */

static int is_nan(const char *p, int64_t item_bytes) {
    float f;
    double d;
    memcpy(&f, p, sizeof f);
    if (item_bytes == sizeof f) return isnan(f);
    memcpy(&d, p, sizeof d);
    return isnan(d);
}

/* The first element that differs, -1 when all are equal. */
static int64_t first_difference(const char *got, bytes expected, int64_t item_bytes, int64_t is_float) {
    if (memcmp(got, expected.data, (size_t)expected.size) == 0) return -1;
    for (int64_t i = 0; i < expected.size; i += item_bytes)
        if (memcmp(got + i, expected.data + i, (size_t)item_bytes) != 0 &&
            !(is_float && is_nan(got + i, item_bytes) && is_nan(expected.data + i, item_bytes)))
            return i / item_bytes;
    return -1;
}

static void print_item(const char *p, int64_t item_bytes, int64_t is_float) {
    printf("0x");
    for (int64_t i = item_bytes - 1; i >= 0; i--) printf("%02x", (unsigned char)p[i]);
    float f;
    memcpy(&f, p, sizeof f);
    if (is_float && item_bytes == sizeof f) printf(" (%.9g)", f);
}

typedef struct {
    const char *name;
    int32_t workers; /* 0: in-order */
    int at_end;
} way;

static const way ways[] = {{"1 worker", 1, 1}, {"3 workers", 3, 0}, {"in-order", 0, 1}};
enum { WAYS = sizeof ways / sizeof ways[0] };

static int replay(const recorded_case *c, const char *isa, const way *w) {
    const int64_t n = c->n_slots;
    guarded *memory = allocate(n * (int64_t)sizeof *memory);
    void **slots = allocate(n * (int64_t)sizeof *slots);
    for (int64_t i = 0; i < n; i++) {
        const bytes b = c->slots[i];
        memory[i] = guarded_make(b.size, w->at_end, i < c->first_input ? 64 : 1);
        slots[i] = memory[i].data;
        if (i == 0 || i >= c->first_output)
            fill(slots[i], b.size);
        else
            memcpy(slots[i], b.data, (size_t)b.size);
    }
    if (w->workers)
        run_program(c, slots, w->workers);
    else
        run_in_order(c, slots);
    int passed = 1;
    for (int64_t i = 1; i < n; i++) {
        const bytes b = c->slots[i];
        if (i < c->first_output) {
            if (memcmp(slots[i], b.data, (size_t)b.size) == 0) continue;
            printf("FAILED %s on %s, %s: changed its input in slot %" PRId64 "\n", c->name, isa, w->name, i);
            passed = 0;
            continue;
        }
        const int64_t at = first_difference(slots[i], b, c->item_bytes[i], c->is_float[i]);
        if (at < 0) continue;
        passed = 0;
        printf("FAILED %s on %s, %s: output %" PRId64 ", element %" PRId64 ": ", c->name, isa, w->name, i - c->first_output, at);
        print_item((char *)slots[i] + at * c->item_bytes[i], c->item_bytes[i], c->is_float[i]);
        printf(", recorded ");
        print_item(b.data + at * c->item_bytes[i], c->item_bytes[i], c->is_float[i]);
        printf("\n");
    }
    for (int64_t i = 0; i < n; i++) munmap(memory[i].map, memory[i].map_bytes);
    free(memory);
    free(slots);
    return passed;
}

static char now_running[384];

static void on_crash(int number) {
    static const char what[] = "FAILED: crashed in ";
    ssize_t ignored = write(1, what, sizeof what - 1);
    ignored = write(1, now_running, strlen(now_running));
    ignored = write(1, "\n", 1);
    (void)ignored, (void)number;
    _exit(1);
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4) give_up("give one file, or a file, an instruction set and a way");
    const char *only_isa = argc == 4 ? argv[2] : NULL, *only_way = argc == 4 ? argv[3] : NULL;
    reader in = open_file(argv[1]);
    const bytes magic = take_bytes(&in);
    if (magic.size != 11 || memcmp(magic.data, "asymo-plans", 11) != 0) give_up("not a file of recorded plans");
    const int64_t nr = take_int(&in), kr = take_int(&in), n_cases = take_int(&in);
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    signal(SIGILL, on_crash);

    int64_t passed[ASYMO_ISA_COUNT] = {0}, total_passed = 0, failed = 0;
    for (int64_t i = 0; i < n_cases; i++) {
        recorded_case c = read_case(&in);
        for (int32_t isa = 0; isa < asymo_isa_count(); isa++) {
            if (only_isa && strcmp(only_isa, asymo_isa_name(isa)) != 0) continue;
            if (!asymo_isa_is_supported(isa) || asymo_isa_select(isa) != ASYMO_OK) continue;
            int64_t isa_mr, isa_nr, isa_kr;
            asymo_gemm_geometry(&isa_mr, &isa_nr, &isa_kr);
            if (isa_nr != nr || isa_kr != kr) continue;
            for (int w = 0; w < WAYS; w++) {
                if (only_way && strcmp(only_way, ways[w].name) != 0) continue;
                snprintf(now_running, sizeof now_running, "%s on %s, %s", c.name, asymo_isa_name(isa), ways[w].name);
                if (replay(&c, asymo_isa_name(isa), &ways[w]))
                    passed[isa]++;
                else
                    failed++;
            }
        }
        free_case(&c);
    }
    for (int32_t isa = 0; isa < asymo_isa_count(); isa++) {
        if (passed[isa]) printf("%s: %" PRId64 " passed; ", asymo_isa_name(isa), passed[isa]);
        total_passed += passed[isa];
    }
    printf("%" PRId64 " cases: %" PRId64 " passed, %" PRId64 " failed\n", n_cases, total_passed, failed);
    if (total_passed + failed == 0) return 2;
    return failed != 0;
}
