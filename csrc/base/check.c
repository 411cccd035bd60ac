#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void numi_check_failed(const char *file, int line, const char *condition) {
    fprintf(stderr, "numi-bypass: broken invariant at %s:%d: %s\n", file, line, condition);
    abort();
}
