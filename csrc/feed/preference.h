/* Preference: which of two lines is the better one now.
 *
 * A line is left when the other one brings what is new `leave_after` times in a row, and the
 * primary line is returned to after `return_after` times: never before `dwell_ns` have passed since
 * the last switch. A packet counts when it made the output advance. A streak is ended by such a
 * packet of the line that is preferred; duplicates and recovery change nothing.
 *
 * The preferred line is polled first and wins ties; no packet is ever delayed or dropped for it. */
#ifndef NUMI_FEED_PREFERENCE_H
#define NUMI_FEED_PREFERENCE_H

#include "base/types.h"

struct numi_preference {
    uint32_t preferred; /* line */
    uint32_t primary;
    uint32_t leave_after;
    uint32_t return_after;
    int64_t dwell_ns;
    uint32_t streak; /* of the other line */
    uint32_t unused;
    uint64_t switches;
    int64_t due_ns;         /* of a streak that is long enough: when the dwell is over */
    int64_t advanced_ns[2]; /* when a line last made the output advance; INT64_MIN: never */
    int64_t switched_ns;    /* the last switch; INT64_MIN: never */
    int64_t switch_ns; /* it came so long after the old line's last advance; -1: that never was */
};

#ifndef NUMI_CDEF

void numi_preference_begin(struct numi_preference *preference);

/* The streak of the line that is not preferred is longer by one. */
void numi_preference_lengthen(struct numi_preference *preference, int64_t now_ns);

/* A packet of a line made the output advance. */
static inline void numi_preference_advance(struct numi_preference *preference, uint32_t line,
                                           int64_t now_ns) {
    preference->advanced_ns[line] = now_ns;
    if (line != preference->preferred) {
        numi_preference_lengthen(preference, now_ns);
        return;
    }
    preference->streak = 0;
    preference->due_ns = INT64_MAX;
}

/* The line that is preferred by what comes at `now_ns`, whoever has looked at the clock before. */
static inline uint32_t numi_preference_at(const struct numi_preference *preference,
                                          int64_t now_ns) {
    return preference->preferred ^ (preference->due_ns < now_ns);
}

/* The dwell of a streak that waited for it is over at `due_ns`. */
void numi_preference_switch(struct numi_preference *preference, int64_t at_ns);

#endif
#endif
