#define ASYMO_VEC_AVX512
#include "../simd/v16.h"

#include "resample_body.h"
