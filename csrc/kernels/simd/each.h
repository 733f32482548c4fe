/* each.h: EACH(i, n) statement; repeats the statement for i = 0 .. n - 1, n <= 16, unrolled when n is a constant, so that arrays indexed
 * by i become registers. (clang 14 keeps an array in memory when its loop has one turn, hence the fixed count.) */
#pragma once

#ifdef __clang__
#define EACH(i, n) _Pragma("clang loop unroll(full)") for (int i = 0; i < 16; i++) if (i < (n))
#else
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)
#endif
