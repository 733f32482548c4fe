#define ASYMO_VEC_PORTABLE
#include "winograd_body.h"
