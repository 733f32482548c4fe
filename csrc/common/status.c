#include "status.h"

#include <stdarg.h>
#include <stdio.h>

#ifndef ASYMO_VERSION
#error "compile with -DASYMO_VERSION=\"x.y.z\" (setup.py does)"
#endif

static _Thread_local char last_error[256];

const char *asymo_last_error(void) { return last_error; }

const char *asymo_version(void) { return ASYMO_VERSION; }

asymo_status asymo_fail(asymo_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(last_error, sizeof last_error, format, args);
    va_end(args);
    return status;
}
