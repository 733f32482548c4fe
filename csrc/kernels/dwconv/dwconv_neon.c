#define ASYMO_VEC_NEON
#include "dwconv_body.h"
