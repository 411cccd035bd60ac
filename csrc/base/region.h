/* A region: memory that grows without moving.
 *
 *   base                    base + size                     base + limit
 *    |---- touched, usable ----|---- addresses only: costs nothing ----|
 *
 * Addresses are reserved for the largest size at once; memory comes as it grows, touched, on
 * transparent huge pages once it has some size. So a number is a stable handle on a record, and a
 * pointer into it stays valid until it is closed. Growing makes system calls: never on the hot path
 * (a guard build aborts). */
#ifndef NUMI_BASE_REGION_H
#define NUMI_BASE_REGION_H

#include "base/types.h"

#ifndef NUMI_CDEF
#include <string.h>

#include "base/error.h"
#endif

enum { NUMI_REGION_UNIT = 2 << 20 };

struct numi_region {
    uint8_t *base;
    uint64_t size;  /* bytes that may be used, zeroed when they came */
    uint64_t limit; /* bytes reserved */
};

#ifndef NUMI_CDEF

/* Reserves addresses for `limit` bytes. NUMI_ERR_NO_MEMORY. */
int numi_region_open(struct numi_region *region, uint64_t limit);
void numi_region_close(struct numi_region *region);

/* At least `size` usable bytes; some more, so that steps are few. NUMI_ERR_NO_MEMORY, also past the
 * limit: what was usable stays so. */
int numi_region_grow(struct numi_region *region, uint64_t size);

/* Two regions behind each other, of one that has no memory yet: each grows by itself. `at` is a
 * multiple of NUMI_REGION_UNIT. The upper one is closed first. */
void numi_region_split(struct numi_region *region, uint64_t at, struct numi_region *upper);

/* One region's content into another, which then has at least as much. */
static inline int numi_region_copy(struct numi_region *to, const struct numi_region *from) {
    int code = numi_region_grow(to, from->size);
    if (code == NUMI_OK && from->size > 0)
        memcpy(to->base, from->base, from->size);
    return code;
}

#endif
#endif
