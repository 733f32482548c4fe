#define ASYMO_VEC_AVX512
#include "eltwise_body.h"
