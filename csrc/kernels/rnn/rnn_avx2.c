#define ASYMO_VEC_AVX2
#include "../simd/v16.h"

#include "rnn_body.h"
