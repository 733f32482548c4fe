#define ASYMO_VEC_NEON
#include "../simd/v16.h"

#include "rnn_body.h"
