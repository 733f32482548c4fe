#define ASYMO_VEC_PORTABLE
#include "dwconv_body.h"
