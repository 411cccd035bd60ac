/* A set of sequences, as few ranges as it has: [from, to), ascending, none touching the next.
 *
 * Mostly it grows at its end, and then a range is one comparison away. */
#ifndef NUMI_FEED_COVERAGE_H
#define NUMI_FEED_COVERAGE_H

#include "base/types.h"

struct numi_range {
    uint64_t from;
    uint64_t to; /* the first one behind */
};

struct numi_coverage {
    struct numi_range *ranges;
    uint64_t range_count;
    uint64_t range_room;
    uint64_t range_max; /* the lowest range leaves for one more; 0: there is no such bound */
};

#ifndef NUMI_CDEF

void numi_coverage_close(struct numi_coverage *coverage);

/* Empty; its memory stays. */
static inline void numi_coverage_clear(struct numi_coverage *coverage) {
    coverage->range_count = 0;
}

/* Memory for all of `range_max`, so that add never fails. NUMI_ERR_NO_MEMORY. */
int numi_coverage_bound(struct numi_coverage *coverage, uint64_t range_max);

/* NUMI_ERR_NO_MEMORY. */
int numi_coverage_add(struct numi_coverage *coverage, uint64_t from, uint64_t to);

/* Everything below `to` leaves. */
void numi_coverage_drop_below(struct numi_coverage *coverage, uint64_t to);

/* The first part of [from, to) that the set has not, empty (from == to) where it has all. */
struct numi_range numi_coverage_missing(const struct numi_coverage *coverage, uint64_t from,
                                        uint64_t to);

/* How many of [from, to) the set has. */
uint64_t numi_coverage_overlap(const struct numi_coverage *coverage, uint64_t from, uint64_t to);

#endif
#endif
