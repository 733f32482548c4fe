/* trial.c: the functions of csrc/exec/trial.h as symbols, for test_trial.py. */
#include "../../csrc/exec/trial.h"

int32_t trial_choose(const asymo_trial *t, const float *at_least);
void trial_learn(asymo_trial *t, int32_t crew, float took);

int32_t trial_choose(const asymo_trial *t, const float *at_least) { return asymo_trial_choose(t, at_least); }
void trial_learn(asymo_trial *t, int32_t crew, float took) { asymo_trial_learn(t, crew, took); }
