/* status.h: how a C function says what went wrong. */
#pragma once

#include "base.h"

/* Stores the sentence for asymo_last_error() on this thread and returns status. */
asymo_status asymo_fail(asymo_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
