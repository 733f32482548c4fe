#define ASYMO_VEC_AVX2
#include "pool_body.h"
