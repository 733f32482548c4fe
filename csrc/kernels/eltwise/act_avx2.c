#define ASYMO_VEC_AVX2
#include "act_rows_body.h"
