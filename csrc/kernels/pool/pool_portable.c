#define ASYMO_VEC_PORTABLE
#include "pool_body.h"
