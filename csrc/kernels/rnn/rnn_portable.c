#define ASYMO_VEC_PORTABLE
#include "../simd/v16.h"

#include "rnn_body.h"
