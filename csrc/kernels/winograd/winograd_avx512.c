#define ASYMO_VEC_AVX512
#include "winograd_body.h"
