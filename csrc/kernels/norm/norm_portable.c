#define ASYMO_VEC_PORTABLE
#include "../simd/v16.h"

#include "lrn_body.h"
#include "norm_body.h"
