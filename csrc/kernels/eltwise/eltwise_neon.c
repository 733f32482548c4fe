#define ASYMO_VEC_NEON
#include "eltwise_body.h"
