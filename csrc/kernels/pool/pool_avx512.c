#define ASYMO_VEC_AVX512
#include "pool_body.h"
