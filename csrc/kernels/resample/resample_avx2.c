#define ASYMO_VEC_AVX2
#include "../simd/v16.h"

#include "resample_body.h"
