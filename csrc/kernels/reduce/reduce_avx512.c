#define ASYMO_VEC_AVX512
#include "../simd/v16.h"

#include "argreduce_body.h"
#include "reduce_body.h"
#include "softmax_body.h"
