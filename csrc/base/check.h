/* Two prices of assertion, and planted faults.
 *
 * NUMI_REQUIRE is cheap and always on: a broken invariant of our own aborts with its place.
 * NUMI_CHECK is dear and exists only in check builds (-Dchecks=true). NDEBUG switches neither: the
 * Python build sets it.
 *
 * NUMI_PLANTED(fault) is false in every build but the one made with -Dplant=fault, where a test
 * proves that the alarm which should notice the fault does. */
#ifndef NUMI_BASE_CHECK_H
#define NUMI_BASE_CHECK_H

#include "base/types.h"

#ifndef NUMI_CHECKS
#define NUMI_CHECKS 0
#endif
#ifndef NUMI_PLANT
#define NUMI_PLANT NONE
#endif

/* Prints the place to stderr and aborts. */
__attribute__((noreturn, cold)) void numi_check_failed(const char *file, int line,
                                                       const char *condition);

#define NUMI_REQUIRE(condition)                                                                    \
    do {                                                                                           \
        if (NUMI_UNLIKELY(!(condition)))                                                           \
            numi_check_failed(__FILE__, __LINE__, #condition);                                     \
    } while (0)

#if NUMI_CHECKS
#define NUMI_CHECK(condition) NUMI_REQUIRE(condition)
#else
#define NUMI_CHECK(condition) ((void)0)
#endif

enum numi_plant {
    NUMI_PLANT_NONE,
    NUMI_PLANT_MALLOC,
    NUMI_PLANT_STRDUP,
    NUMI_PLANT_OVERFLOW,
    NUMI_PLANT_EMPTY_LEVEL,      /* a level without orders stays in its ladder */
    NUMI_PLANT_LOST_LINK,        /* leaving a long queue forgets one of the two links */
    NUMI_PLANT_REPLACE_PRIORITY, /* a replace at the same price keeps its place */
    NUMI_PLANT_STALE_BEST,       /* a better level does not become the best */
    NUMI_PLANT_SILENT_DROP,      /* a tape does not tell what it dropped */
    NUMI_PLANT_REQUEST_ONCE,     /* a request without an answer is not repeated */
    NUMI_PLANT_JOIN_OFF_BY_ONE,  /* behind a snapshot the first message is left out */
};
#define NUMI_PLANT_JOIN(name)   NUMI_PLANT_##name
#define NUMI_PLANT_EXPAND(name) NUMI_PLANT_JOIN(name)
#define NUMI_PLANTED(fault)     (NUMI_PLANT_EXPAND(NUMI_PLANT) == NUMI_PLANT_##fault)

#endif
