/* A gap: messages that some later packet has shown to exist, and no packet has brought. */
#ifndef NUMI_FEED_GAP_H
#define NUMI_FEED_GAP_H

#include "base/types.h"

struct numi_gap {
    uint64_t from;
    uint64_t to;      /* the first one behind */
    int64_t known_ns; /* when it was first known to be missing */
};

#endif
