#define ASYMO_VEC_NEON
#include "act_rows_body.h"
