/* Two prices of assertion, and planted faults.
 *
 * NUMI_REQUIRE is cheap and always on: a broken invariant of our own aborts with its place.
 * NUMI_CHECK is dear and exists only in check builds (-Dchecks=true). NDEBUG switches neither: the
 * Python build sets it.
 *
 * NUMI_PLANTED(fault) is false in every build but the one made with -Dplant=true, where the
 * environment names the fault (NUMI_PLANT=LOST_LINK): a test proves that the alarm which should
 * notice it does. */
#ifndef NUMI_BASE_CHECK_H
#define NUMI_BASE_CHECK_H

#include "base/types.h"

#ifndef NUMI_CHECKS
#define NUMI_CHECKS 0
#endif
#ifndef NUMI_PLANT
#define NUMI_PLANT 0
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

/* X(name) */
#define NUMI_PLANTS(X)                                                                             \
    X(NONE)                                                                                        \
    X(MALLOC)           /* an allocation on the hot path */                                        \
    X(STRDUP)           /* one inside the C library */                                             \
    X(OVERFLOW)         /* a histogram is a count too short */                                     \
    X(EMPTY_LEVEL)      /* a level without orders stays in its ladder */                           \
    X(LOST_LINK)        /* leaving a long queue forgets one of the two links */                    \
    X(REPLACE_PRIORITY) /* a replace at the same price keeps its place */                          \
    X(STALE_BEST)       /* a better level does not become the best */                              \
    X(SILENT_DROP)      /* a tape does not tell what it dropped */                                 \
    X(STALE_COPY)       /* of a packet that was out in part, all goes out */                       \
    X(LOST_FRAME)       /* a duplicate beside a gap does not go back to the pool */                \
    X(REQUEST_ONCE)     /* a request without an answer is not repeated */                          \
    X(JOIN_OFF_BY_ONE)  /* behind a snapshot the first message is left out */

#define NUMI_PLANT_CONSTANT(name) NUMI_PLANT_##name,
enum numi_plant { NUMI_PLANTS(NUMI_PLANT_CONSTANT) };

#if NUMI_PLANT
extern enum numi_plant numi_planted; /* read once, when the core is loaded */
#define NUMI_PLANTED(fault) (numi_planted == NUMI_PLANT_##fault)
#else
#define NUMI_PLANTED(fault) 0
#endif

#endif
