#define ASYMO_VEC_AVX2
#include "../simd/v16.h"

#include "attention_body.h"
