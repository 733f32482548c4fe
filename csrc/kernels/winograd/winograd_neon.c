#define ASYMO_VEC_NEON
#include "winograd_body.h"
