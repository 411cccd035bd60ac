/* Memory: regions on huge pages, touched at once, and an honest word on what was got.
 *
 * `pages` says what is wanted; where it cannot be had the next smaller kind is taken and `fallback`
 * says why. AUTO tries 2 MiB pages, then transparent ones, then plain pages. Nothing is reserved
 * for the whole machine behind the owner's back: the remedy (vm.nr_hugepages) stands in the text.
 */
#ifndef NUMI_BASE_MEMORY_H
#define NUMI_BASE_MEMORY_H

#include "base/types.h"

enum numi_pages {
    NUMI_PAGES_AUTO,
    NUMI_PAGES_4K,
    NUMI_PAGES_TRANSPARENT,
    NUMI_PAGES_2M,
    NUMI_PAGES_1G,
    NUMI_PAGES_COUNT,
};

enum numi_node {
    NUMI_NODE_ANY = -1,
};

struct numi_memory {
    uint8_t *base;
    uint64_t size;      /* bytes mapped: what was asked, rounded up to whole pages */
    uint64_t huge_size; /* bytes of it on huge pages, as the kernel counts them */
    uint32_t pages;     /* enum numi_pages: what was got */
    int32_t node;       /* where the first page lies, -1 unknown */
    char fallback[112]; /* why it is not what was asked; "" if it is */
};

/* Maps `size` bytes, binds them to `node` (NUMI_NODE_ANY: no binding) and touches every page, so
 * that no fault comes later. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY, NUMI_ERR_UNSUPPORTED (no such
 * node). */
NUMI_API int numi_memory_open(struct numi_memory *memory, uint64_t size, uint32_t pages,
                              int32_t node);
NUMI_API void numi_memory_close(struct numi_memory *memory);

NUMI_API const char *numi_pages_name(uint32_t pages);

#endif
