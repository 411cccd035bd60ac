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
};

#ifndef NUMI_CDEF

void numi_coverage_close(struct numi_coverage *coverage);

/* NUMI_ERR_NO_MEMORY. */
int numi_coverage_add(struct numi_coverage *coverage, uint64_t from, uint64_t to);

/* Everything below `to` leaves. */
void numi_coverage_drop_below(struct numi_coverage *coverage, uint64_t to);

/* The first part of [from, to) that the set has not, empty (from == to) where it has all. */
struct numi_range numi_coverage_missing(const struct numi_coverage *coverage, uint64_t from,
                                        uint64_t to);

#endif
#endif
