#define ASYMO_VEC_NEON
#include "../simd/v16.h"

#include "lrn_body.h"
#include "norm_body.h"
