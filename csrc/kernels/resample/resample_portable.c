#define ASYMO_VEC_PORTABLE
#include "../simd/v16.h"

#include "resample_body.h"
