#define ASYMO_VEC_NEON
#include "../simd/v16.h"

#include "resample_body.h"
