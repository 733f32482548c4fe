#define ASYMO_VEC_AVX2
#include "dwconv_body.h"
