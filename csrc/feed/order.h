/* A resting order, a quarter of a cache line, and its links in a long queue, in an array beside. */
#ifndef NUMI_FEED_ORDER_H
#define NUMI_FEED_ORDER_H

#include "base/types.h"

struct numi_order {
    uint64_t quantity; /* what rests; 0: nobody's number */
    uint32_t level;
    uint32_t id_low; /* of a free number outside the window: the next free one */
};

static_assert(sizeof(struct numi_order) == 16, "four in a cache line");

struct numi_order_link {
    uint32_t previous; /* nearer to the front, 0 at the front */
    uint32_t next;     /* likewise, 0 at the back */
};

#endif
