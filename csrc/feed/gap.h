/* A gap: sequences that no source has brought, between what has come. */
#ifndef NUMI_FEED_GAP_H
#define NUMI_FEED_GAP_H

#include "base/types.h"

struct numi_gap {
    uint64_t from;
    uint64_t to;      /* the first one behind */
    int64_t known_ns; /* when something behind it came, or was announced */
};

#endif
