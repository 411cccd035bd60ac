#define _GNU_SOURCE
#include "base/region.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"

enum {
    PAGE_SIZE = 4096,
    HUGE_SIZE = NUMI_REGION_UNIT,
    FIRST_SIZE = 64 << 10,
};

int numi_region_open(struct numi_region *region, uint64_t limit) {
    memset(region, 0, sizeof *region);
    uint64_t reserved = numi_round_up(limit, HUGE_SIZE);
    /* Some more, to begin where a huge page can. */
    uint8_t *whole = mmap(NULL, reserved + HUGE_SIZE, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (whole == MAP_FAILED)
        return numi_error_set_errno(errno, "addresses for %llu bytes",
                                    (unsigned long long)reserved);
    uint8_t *base = (uint8_t *)numi_round_up((uint64_t)whole, HUGE_SIZE);
    if (base > whole)
        munmap(whole, (size_t)(base - whole));
    munmap(base + reserved, HUGE_SIZE - (size_t)(base - whole));
    *region = (struct numi_region){.base = base, .limit = reserved};
    return NUMI_OK;
}

void numi_region_close(struct numi_region *region) {
    if (region->base != NULL)
        munmap(region->base, region->limit);
    memset(region, 0, sizeof *region);
}

void numi_region_split(struct numi_region *region, uint64_t at, struct numi_region *upper) {
    *upper = (struct numi_region){.base = region->base + at, .limit = region->limit - at};
    region->limit = at;
}

/* Doubled while small, then by an eighth, in whole huge pages. */
static uint64_t next_size(const struct numi_region *region, uint64_t wanted) {
    uint64_t size = region->size < HUGE_SIZE ? 2 * region->size : region->size + region->size / 8;
    size = size < wanted ? wanted : size;
    size = size < FIRST_SIZE ? FIRST_SIZE : size;
    size = numi_round_up(size, size <= HUGE_SIZE / 2 ? FIRST_SIZE : HUGE_SIZE);
    return size < region->limit ? size : region->limit;
}

int numi_region_grow(struct numi_region *region, uint64_t wanted) {
    if (wanted <= region->size)
        return NUMI_OK;
    if (wanted > region->limit)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%llu bytes: room is for %llu",
                              (unsigned long long)wanted, (unsigned long long)region->limit);
    uint64_t size = next_size(region, wanted);
    uint8_t *from = region->base + region->size;
    void *got = mmap(from, size - region->size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (got == MAP_FAILED)
        return numi_error_set_errno(errno, "memory: %llu bytes more",
                                    (unsigned long long)(size - region->size));
    if (size >= HUGE_SIZE)
        madvise(region->base, size, MADV_HUGEPAGE);
    for (uint8_t *at = from; at < region->base + size; at += PAGE_SIZE)
        *(volatile uint8_t *)at = 0;
    region->size = size;
    return NUMI_OK;
}
