/* eltwise.h: the code of the eltwise step.
 *
 * A code is n_code rows of five int32, {op, dst, a, b, c}, run in order over blocks of up to ELTWISE_BLOCK elements of the flattened
 * output. A register (ASYMO_ELTWISE_REGISTERS of them) is one block of floats. op is the number of a row of kernels/eltwise/eltwise.inc.
 *
 *   load   dst     a = j             register dst = input j, broadcast by its strides, converted to float
 *   imm    dst     a = i             register dst = immediate i in every element
 *   act    dst     a, b = kind, c=i  dst = act(a) with b an asymo_act (not PRELU), p = immediate i, q = immediate i + 1
 *   store  dst = j a                 output j = register a, converted to its type
 *   others dst     a b c             dst = op(a, b, c), registers, as many as the arity says; dst may be one of them
 *
 * The stores are the last rows. A register is written before it is read. Types: conditions are the floats 0 and 1, a number that is not 0
 * is true. Stored as bool: not 0; as an integer: towards 0, saturated, NaN is 0.
 *
 * strides: int64 [n_in + n_out][rank] in elements, any value; outputs must not overlap themselves. The planner merges dimensions first;
 * what is contiguous, repeated (0) or in rows of 64 and more is fast. An output may be an input's memory when its strides and type are
 * the same.
 *
 * Example, y = relu(x * s + b), immediates {0, inf}:
 * load 0 <- 0; load 1 <- 1; load 2 <- 2; fma 0 <- 0 1 2; act 0 <- 0 CLIP 0; store 0 <- 0 */
#pragma once

#include "step.h"

enum { ELTWISE_BLOCK = 256 };
