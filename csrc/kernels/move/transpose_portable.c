#define ASYMO_VEC_PORTABLE
#include "transpose_body.h"
