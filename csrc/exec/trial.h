/* trial.h: whether all the planned cores really make a program faster than fewer of them, as measured. Plain arithmetic.
 *
 * Plans rest on predictions. Now and then a run is therefore tried with fewer cores, and the quickest crew runs the others: so no core is
 * used that harms, whatever the reason (caches far apart, a busy neighbour, a core that got slow). Two runs in a row are tried and the
 * second one counts, as the first one finds its data in other caches. A crew that cannot win by its best case is not tried. Trials come
 * every 64 runs, and soon when what a run takes has changed by a fifth since the last one. A crew other than the planned one may have won
 * by a moment's disturbance: trials then come after 8, 16, 32 and 64 runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { ASYMO_TRIAL_CREWS = 3, ASYMO_TRIAL_PERIOD = 64, ASYMO_TRIAL_LEAST = 8, ASYMO_TRIAL_RUNS = 2 };

typedef struct {
    uint32_t run;                   /* of this one */
    uint32_t due;                   /* the run with which the next trial begins */
    uint32_t trial;                 /* trials so far */
    uint32_t last;                  /* the run that ended the last one */
    uint32_t pause;                 /* runs until the next one when not the planned crew has won */
    float before;                   /* what a run took at the last trial */
    float ticks[ASYMO_TRIAL_CREWS]; /* what a run takes with each crew, 0 unknown; crew 0 is the planned one */
} asymo_trial;

static inline bool asymo_trial_is_on(const asymo_trial *t) { return t->run - t->due < ASYMO_TRIAL_RUNS; }

/* The crew that is 3 % quicker than the planned one, else the planned one. */
static inline int32_t asymo_trial_best(const asymo_trial *t) {
    int32_t best = 0;
    for (int32_t i = 1; i < ASYMO_TRIAL_CREWS; i++)
        if (t->ticks[i] > 0 && t->ticks[i] < 0.97f * t->ticks[best]) best = i;
    return best;
}

/* The crew of this run. at_least[i]: ticks below which a run with crew i cannot come, INFINITY when there is none; read during trials. */
static inline int32_t asymo_trial_choose(const asymo_trial *t, const float *at_least) {
    /* at_least is what units took while cores shared data, a quarter more than alone on some networks. With a margin of a half the caller
     * alone was tried where it could not win, and ShuffleNetV2 took a fifth longer in the mean (other core 1.5 times slower, 6 rounds). */
    const float margin = 1.25f;
    const int32_t best = asymo_trial_best(t);
    if (!asymo_trial_is_on(t)) return best;
    for (int32_t i = 0; i < ASYMO_TRIAL_CREWS - 1; i++) {
        const int32_t other = (best + 1 + (int32_t)((t->trial + (uint32_t)i) % (ASYMO_TRIAL_CREWS - 1))) % ASYMO_TRIAL_CREWS;
        if (at_least[other] < margin * t->ticks[best]) return other;
    }
    return best;
}

/* What is known after this run, which took so many ticks with this crew: the mean of the runs, slow ones cut off at twice of it, as a crew
 * whose runs are now short and now long is worth what it takes on the whole. The quick runs of a trial are believed at once: the runs that
 * follow will tell. Against a mean that believes quick runs sooner, a crew more than 3 % slower than the caller alone was in use in 6
 * instead of 8 % of the time (12 recorded pairs of a network and a hog on the other core, replayed), and all took 0.3 % less. */
static inline void asymo_trial_learn(asymo_trial *t, int32_t crew, float took) {
    const bool tried = asymo_trial_is_on(t), counts = !tried || t->run - t->due == ASYMO_TRIAL_RUNS - 1;
    const int32_t best = asymo_trial_best(t);
    float *known = &t->ticks[crew];
    if (*known == 0)
        *known = took;
    else if (counts)
        *known += (!tried ? 0.125f : took < *known ? 1.0f : 0.5f) * ((took < 2 * *known ? took : 2 * *known) - *known);
    const int32_t winner = asymo_trial_best(t);
    const float now = t->ticks[winner];
    if (t->before == 0) t->before = now;
    if (tried && counts) {
        t->due = t->run + (winner == 0 ? ASYMO_TRIAL_PERIOD : t->pause);
        if (winner != 0 || best != 0)
            t->pause = t->pause < ASYMO_TRIAL_PERIOD ? 2 * t->pause : ASYMO_TRIAL_PERIOD;
        else if (t->run - t->last > ASYMO_TRIAL_PERIOD)
            t->pause = ASYMO_TRIAL_LEAST;
        t->last = t->run;
        t->trial++;
        t->before = now;
    } else if (!tried && (now > 1.2f * t->before || now < 0.8f * t->before)) {
        const uint32_t soon = t->run + ASYMO_TRIAL_LEAST;
        if (t->due - t->run > ASYMO_TRIAL_LEAST) t->due = soon;
        t->before = now;
    }
}
