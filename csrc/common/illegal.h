/* illegal.h: whether the core that runs this thread knows an instruction, found out by running it. */
#pragma once

/* Runs `code(argument)` and returns 1; returns 0 when an instruction in it was illegal (SIGILL): it ended there, so `code` must not hold
 * locks or own memory. Callers take turns. SIGILL of other threads meanwhile goes where it went before. */
int asymo_is_legal(void (*code)(void *), void *argument);
