#define ASYMO_VEC_PORTABLE
#include "eltwise_body.h"
