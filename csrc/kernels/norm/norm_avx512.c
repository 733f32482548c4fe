#define ASYMO_VEC_AVX512
#include "../simd/v16.h"

#include "lrn_body.h"
#include "norm_body.h"
