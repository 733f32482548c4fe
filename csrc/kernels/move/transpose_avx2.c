#define ASYMO_VEC_AVX2
#include "transpose_body.h"
