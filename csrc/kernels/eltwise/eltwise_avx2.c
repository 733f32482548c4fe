#define ASYMO_VEC_AVX2
#include "eltwise_body.h"
