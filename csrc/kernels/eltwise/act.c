#include "act.h"

#include <stdlib.h>

asymo_act_fn *asymo_act_for(int64_t act) { return act == ASYMO_ACT_NONE || act == ASYMO_ACT_CLIP ? NULL : (abort(), (asymo_act_fn *)NULL); }
