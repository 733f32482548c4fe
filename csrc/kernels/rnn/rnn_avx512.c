#define ASYMO_VEC_AVX512
#include "../simd/v16.h"

#include "rnn_body.h"
