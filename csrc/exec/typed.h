/* typed.h: the operations of the typed step.
 *
 * in_type is the type of the inputs (of where: of its second and third; the first is bool), out_type that of the output: bool from the
 * comparisons and and or xor not, any from cast, else in_type. asymo_typed_is_supported tells which combinations exist.
 *
 *   integers   wrap around; div truncates, fmod has the sign of a, mod the sign of b; by 0 each gives 0; a ** negative is the real value
 *              cut to an integer (0 to the negative is 0); shifts by the width and more leave 0, or the sign in shift_right
 *   floats     fmod, mod as above; min and max give NaN when one is; pow is the C library's, so its last bit is the platform's
 *   bool       any byte but 0 is true
 *   cast       integer to integer wraps; float to integer goes towards 0, saturates, NaN is 0; to bool: is not 0
 *
 * strides: int64 [n_in + 1][rank] in elements, any value, 0 repeats. The output may be an input's memory when strides and type agree. */
#pragma once

#include "step.h"

enum { TYPED_BLOCK = 256 };
