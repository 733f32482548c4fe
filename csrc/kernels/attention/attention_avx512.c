#define ASYMO_VEC_AVX512
#include "../simd/v16.h"

#include "attention_body.h"
