#define ASYMO_VEC_PORTABLE
#include "../simd/v16.h"

#include "attention_body.h"
