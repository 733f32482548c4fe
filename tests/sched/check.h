/* check.h: stops a test program at the first thing that is wrong. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "../../csrc/asymo.h"

#define CHECK(CONDITION, ...)                                                                                                              \
    do {                                                                                                                                   \
        if (!(CONDITION)) {                                                                                                                \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #CONDITION);                                                                \
            fprintf(stderr, __VA_ARGS__);                                                                                                  \
            fprintf(stderr, " (last error: %s)\n", asymo_last_error());                                                                    \
            exit(1);                                                                                                                       \
        }                                                                                                                                  \
    } while (0)
#define OK(CALL) CHECK((CALL) == ASYMO_OK, "failed")
