/* How this core was built: one line of JSON, so that a test run can refuse a core built otherwise
 * than asked. */
#ifndef NUMI_BASE_BUILD_H
#define NUMI_BASE_BUILD_H

#include "base/types.h"

/* {"version", "compiler", "arch", "optimization", "lto", "sanitize", "checks", "guard", "plant"},
 * where lto, checks, guard and plant (it can plant faults) are 0 or 1; lives for ever. */
NUMI_API const char *numi_build_info(void);

#endif
