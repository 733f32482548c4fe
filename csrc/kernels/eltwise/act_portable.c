#define ASYMO_VEC_PORTABLE
#include "act_rows_body.h"
