/* A slab: numbers of records of one kind, from 1 on. Those below `used` have been lent, some are
 * free again. The last one given back is lent first: it is cached still. */
#ifndef NUMI_FEED_SLAB_H
#define NUMI_FEED_SLAB_H

#include "base/types.h"

struct numi_slab {
    uint32_t free; /* the first free one, 0 without */
    uint32_t used;
    uint32_t room;
};

/* `next_free` is what the first free one says. */
static inline uint32_t numi_slab_take(struct numi_slab *slab, uint32_t next_free) {
    uint32_t number = slab->free;
    if (number == 0)
        return slab->used++;
    slab->free = next_free;
    return number;
}

#endif
