#define ASYMO_VEC_AVX512
#include "transpose_body.h"
