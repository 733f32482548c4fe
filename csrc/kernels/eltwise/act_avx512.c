#define ASYMO_VEC_AVX512
#include "act_rows_body.h"
