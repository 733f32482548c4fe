#include "program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../common/clock.h"
#include "../common/status.h"

static const float zeros[ASYMO_ZEROS] __attribute__((aligned(64)));

asymo_status asymo_program_make(int64_t capacity, int64_t n_workers, asymo_program **out) {
    asymo_program *program = calloc(1, sizeof *program);
    asymo_program_step *steps = calloc((size_t)capacity + 1, sizeof *steps);
    if (program == NULL || steps == NULL) {
        free(program);
        free(steps);
        return asymo_fail(ASYMO_OUT_OF_MEMORY, "no memory for a program of %lld steps", (long long)capacity);
    }
    program->capacity = capacity;
    program->n_workers = n_workers;
    program->trial = (asymo_trial){.due = ASYMO_TRIAL_PERIOD / 2, .pause = ASYMO_TRIAL_LEAST};
    pthread_mutex_init(&program->trying, NULL);
    program->steps = steps;
    *out = program;
    return ASYMO_OK;
}

asymo_status asymo_program_append(asymo_program *program, const asymo_step_row *row, const void *args, const asymo_ref *refs,
                                  int64_t n_refs, const asymo_sharing *sharing) {
    const long long index = program->n_steps;
    const int64_t units = row->units(args), phases = row->phases ? row->phases(args) : 1, scratch_bytes = row->scratch(args);
    if (units < 0 || phases < 0 || scratch_bytes < 0)
        return asymo_fail(ASYMO_INVALID_ARGUMENT,
                          "step %lld (%s) has %lld units, %lld phases and %lld bytes of scratch: its arguments make no sense", index,
                          row->name, (long long)units, (long long)phases, (long long)scratch_bytes);
    asymo_program_step *step = &program->steps[index];
    step->args = malloc((size_t)row->args_bytes);
    step->learned = calloc((size_t)program->n_workers, sizeof *step->learned);
    if (step->args == NULL || step->learned == NULL) {
        free(step->args);
        free(step->learned);
        return asymo_fail(ASYMO_OUT_OF_MEMORY, "no memory for step %lld (%s)", index, row->name);
    }
    memcpy(step->args, args, (size_t)row->args_bytes);
    for (int64_t i = 0; i < n_refs; i++) {
        step->refs[i] = refs[i];
        program->n_slots = ASYMO_MAX(program->n_slots, refs[i].slot + 1);
    }
    step->row = row;
    step->n_refs = n_refs;
    step->units = units;
    step->phases = phases;
    step->sharing = *sharing;
    step->sharing.horizon = ASYMO_MIN(sharing->horizon, index + ASYMO_POOL_AHEAD); /* then run_steps writes the context anew */
    step->repeatable = row->is_repeatable && sharing->horizon > index;
    program->scratch_bytes = ASYMO_MAX(program->scratch_bytes, scratch_bytes);
    program->n_steps++;
    return ASYMO_OK;
}

/* One phase of one step of one run: what the workers share. */
typedef struct {
    const asymo_program_step *step;
    const asymo_pool *pool;
    int64_t phase;
    int64_t *times_ns; /* [workers][2] of this step, or NULL */
    _Atomic int32_t *fault;
    void *operands[ASYMO_MAX_OPERANDS];
} step_run;

static void run_units(void *context, int64_t index, int64_t begin, int64_t end) {
    const step_run *run = context;
    const asymo_worker worker = {
        .scratch = asymo_pool_worker_scratch(run->pool, index),
        .zeros = zeros,
        .phase = run->phase,
        .core_kind = asymo_pool_worker_is_in_order(run->pool, index),
        .index = (int32_t)index,
        .fault = run->fault,
    };
    int64_t *times_ns = run->times_ns ? run->times_ns + 2 * index : NULL;
    if (times_ns && times_ns[0] == 0) times_ns[0] = asymo_now_ns();
    run->step->row->run(run->step->args, run->operands, begin, end, &worker);
    if (times_ns) times_ns[1] = asymo_now_ns();
}

static asymo_status resolve(const asymo_program_step *step, int64_t index, void *const *slots, void **operands) {
    for (int64_t i = 0; i < step->n_refs; i++) {
        const asymo_ref ref = step->refs[i];
        if (ref.slot >= 0 && slots[ref.slot] == NULL)
            return asymo_fail(ASYMO_INVALID_ARGUMENT, "operand %d of step %lld (%s) is in slot %lld, which is NULL", (int)i,
                              (long long)index, step->row->name, (long long)ref.slot);
        operands[i] = ref.slot < 0 ? NULL : (char *)slots[ref.slot] + ref.offset_bytes;
    }
    return ASYMO_OK;
}

static asymo_status run_steps(const asymo_program *program, asymo_pool *pool, void *const *slots, int64_t first, int64_t last,
                              int64_t *times_ns, step_run *runs, _Atomic int32_t *fault) {
    const int64_t n_workers = asymo_pool_workers(pool);
    if (times_ns) memset(times_ns + 2 * n_workers * first, 0, 2 * (size_t)(n_workers * (last - first)) * sizeof *times_ns);
    for (int64_t i = first; i < last; i++) {
        const asymo_program_step *step = &program->steps[i];
        if (step->units == 0) continue;
        asymo_pool_settle(pool, i);
        /* Stragglers may still use those of the steps before, back to the horizon; nobody is left behind with units of a phased step. */
        step_run *run = &runs[i % ASYMO_POOL_AHEAD];
        for (int64_t phase = 0; phase < step->phases; phase++) {
            *run = (step_run){.step = step, .pool = pool, .phase = phase, .fault = fault};
            if (times_ns) run->times_ns = times_ns + 2 * n_workers * i;
            const asymo_status status = resolve(step, i, slots, run->operands);
            if (status != ASYMO_OK) return status;
            asymo_pool_for(pool, &(asymo_loop){.units = step->units,
                                               .work = run_units,
                                               .context = run,
                                               .sharing = &step->sharing,
                                               .learned = step->learned,
                                               .n_learned = program->n_workers,
                                               .repeatable = step->repeatable});
        }
        /* Relaxed: the loop's end has made the workers' stores visible. */
        if (atomic_load_explicit(fault, memory_order_relaxed))
            return asymo_fail(ASYMO_INVALID_ARGUMENT, "step %lld (%s): a value of its input, such as an index, is out of range",
                              (long long)i, step->row->name);
    }
    return ASYMO_OK;
}

/* Ticks below which a run with this crew cannot come: its parallel steps, if they were shared without loss at the speed of worker 0. */
static float least_ticks(const asymo_program *program, const asymo_pool *pool, asymo_crew crew) {
    const int64_t size = asymo_pool_crew_size(pool, crew);
    if (size == 0) return INFINITY;
    float ticks = 0;
    for (int64_t i = 0; i < program->n_steps; i++) {
        const asymo_program_step *step = &program->steps[i];
        ticks += (float)(step->units * step->phases) * atomic_load_explicit(&step->learned[0].seen, memory_order_relaxed);
    }
    return ticks / (float)size;
}

/* The next run and its crew. */
static asymo_trial begin_trial(asymo_program *program, const asymo_pool *pool, asymo_crew *crew) {
    pthread_mutex_lock(&program->trying);
    asymo_trial trial = program->trial;
    program->trial.run++;
    pthread_mutex_unlock(&program->trying);
    float at_least[ASYMO_CREW_COUNT] = {0};
    for (int32_t i = 0; asymo_trial_is_on(&trial) && i < ASYMO_CREW_COUNT; i++) at_least[i] = least_ticks(program, pool, (asymo_crew)i);
    *crew = (asymo_crew)asymo_trial_choose(&trial, at_least);
    return trial;
}

static void end_trial(asymo_program *program, asymo_trial *trial, asymo_crew crew, int64_t took_ticks) {
    asymo_trial_learn(trial, crew, (float)took_ticks);
    pthread_mutex_lock(&program->trying);
    trial->run = program->trial.run;
    program->trial = *trial;
    pthread_mutex_unlock(&program->trying);
}

asymo_status asymo_program_execute(asymo_program *program, asymo_pool *pool, void *const *slots, int64_t first, int64_t last,
                                   int64_t *times_ns) {
    asymo_status status = asymo_pool_enter(pool, program->scratch_bytes);
    if (status != ASYMO_OK) return status;
    step_run runs[ASYMO_POOL_AHEAD];
    _Atomic int32_t fault = 0;
    if (asymo_pool_workers(pool) == 1 || last - first < program->n_steps || !asymo_pool_is_guided(pool)) {
        status = run_steps(program, pool, slots, first, last, times_ns, runs, &fault);
        asymo_pool_leave(pool);
        return status;
    }
    asymo_crew crew;
    asymo_trial trial = begin_trial(program, pool, &crew);
    const int64_t from_ticks = asymo_now_ticks();
    asymo_pool_use(pool, crew);
    status = run_steps(program, pool, slots, first, last, times_ns, runs, &fault);
    asymo_pool_leave(pool);
    end_trial(program, &trial, crew, asymo_now_ticks() - from_ticks);
    return status;
}

void asymo_program_learned(const asymo_program *program, float *costs) {
    for (int64_t i = 0; i < program->n_steps; i++)
        for (int64_t w = 0; w < program->n_workers; w++)
            *costs++ = atomic_load_explicit(&program->steps[i].learned[w].seen, memory_order_relaxed);
}

void asymo_program_destroy(asymo_program *program) {
    if (program == NULL) return;
    for (int64_t i = 0; i < program->n_steps; i++) {
        free(program->steps[i].args);
        free(program->steps[i].learned);
    }
    pthread_mutex_destroy(&program->trying);
    free(program->steps);
    free(program);
}
