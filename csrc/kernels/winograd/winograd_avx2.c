#define ASYMO_VEC_AVX2
#include "winograd_body.h"
