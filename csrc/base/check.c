#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void numi_check_failed(const char *file, int line, const char *condition) {
    fprintf(stderr, "numi-bypass: broken invariant at %s:%d: %s\n", file, line, condition);
    abort();
}

#if NUMI_PLANT
enum numi_plant numi_planted;

#define NAME(name) #name,
static const char *const names[] = {NUMI_PLANTS(NAME)};

/* A name nobody knows would plant nothing, and the test that expects an alarm would blame that. */
__attribute__((constructor)) static void plant(void) {
    const char *wanted = getenv("NUMI_PLANT");
    if (wanted == NULL)
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], wanted) == 0) {
            numi_planted = (enum numi_plant)i;
            return;
        }
    }
    fprintf(stderr, "numi-bypass: NUMI_PLANT: no fault is called %s\n", wanted);
    abort();
}
#endif
