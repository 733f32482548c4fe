#define ASYMO_VEC_NEON
#include "pool_body.h"
