/* Hot-path guard: in a guard build (-Dguard=true) an allocation between enter and exit aborts with
 * a backtrace.
 *
 * The allocating names of libc that a C core may come by (meson.build lists them) are wrapped at
 * link time, because what libc calls inside itself is not seen: strdup's malloc never passes the
 * wrapper of malloc. In all other builds enter and exit are nothing. */
#ifndef NUMI_BASE_GUARD_H
#define NUMI_BASE_GUARD_H

#include "base/types.h"

#ifndef NUMI_GUARD
#define NUMI_GUARD 0
#endif

#ifndef NUMI_CDEF

#if NUMI_GUARD
/* volatile: else gcc proves that a function which only enters, allocates and exits never reads it,
 * and removes it. */
extern _Thread_local volatile int numi_guard_depth;

static inline void numi_guard_enter(void) {
    numi_guard_depth++;
}

static inline void numi_guard_exit(void) {
    numi_guard_depth--;
}
#else
static inline void numi_guard_enter(void) {
}

static inline void numi_guard_exit(void) {
}
#endif

#endif
#endif
