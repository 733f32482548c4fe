/* gcc schedules after register allocation only: before it, it would spill (3x3: 104 instructions a row of a block, not 83). */
#ifndef __clang__
#pragma GCC optimize("no-schedule-insns")
#endif
#define ASYMO_VEC_NEON
#include "dwconv_body.h"
