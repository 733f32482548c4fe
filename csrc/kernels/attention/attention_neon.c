#define ASYMO_VEC_NEON
#include "../simd/v16.h"

#include "attention_body.h"
