#define ASYMO_VEC_AVX512
#include "dwconv_body.h"
