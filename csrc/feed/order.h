/* A resting order, half a cache line. */
#ifndef NUMI_FEED_ORDER_H
#define NUMI_FEED_ORDER_H

#include "base/types.h"

struct numi_order {
    uint64_t id;
    uint64_t quantity; /* what rests; 0: this number is free */
    uint32_t level;
    uint32_t previous; /* in a long queue: nearer to the front, 0 at the front */
    uint32_t next;     /* likewise, 0 at the back; of a free number: the next free one */
    bool is_odd;       /* in the index's table, though its id may lie in the window by now */
};

static_assert(sizeof(struct numi_order) == 32, "two in a cache line");

#endif
