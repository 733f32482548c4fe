#define ASYMO_VEC_NEON
#include "transpose_body.h"
