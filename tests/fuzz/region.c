/* base/region.c of the fuzz targets, for many short lives: what was mapped is kept and lent again.
 *
 *   base        base + size       base + mapped       base + limit
 *    |--- usable ---|---- poisoned ----|---- addresses only ----|
 *
 * And where the true one rounds up by pages, which no sanitizer looks into, this one ends with the
 * last byte that was asked for: a read one too far is seen, and memory is short as often as can be.
 */
#include "base/region.h"

#include <errno.h>
#include <sys/mman.h>

#include <sanitizer/asan_interface.h>

#include "base/error.h"
#include "fuzz.h"

enum { KEPT_MAX = 256, FIRST_MAPPED = 64 << 10, LINE_SIZE = 64 };

/* Given back, to be lent to the next one of the same limit. Its first `mapped` bytes are poisoned
 * and of any content. */
struct kept {
    uint8_t *base;
    uint64_t mapped, limit;
    uint64_t split_at, upper_mapped; /* where it was two, and what the upper one had */
};

static struct kept kept[KEPT_MAX];
static uint32_t kept_count;

/* Of those that are lent: mapped bytes by base. */
static struct kept lent[KEPT_MAX];
static uint32_t lent_count;

static struct kept *lent_at(const uint8_t *base) {
    for (uint32_t i = lent_count; i > 0; i--)
        if (lent[i - 1].base == base)
            return &lent[i - 1];
    MUST(!"a region that was opened");
    return NULL;
}

int numi_region_open(struct numi_region *region, uint64_t limit) {
    MUST(lent_count < KEPT_MAX);
    struct kept *own = &lent[lent_count];
    *own = (struct kept){.limit = limit};
    memset(region, 0, sizeof *region);
    for (uint32_t i = kept_count; i > 0 && own->base == NULL; i--)
        if (kept[i - 1].limit == limit) {
            *own = kept[i - 1];
            kept[i - 1] = kept[--kept_count];
        }
    if (own->base == NULL) {
        void *base =
            mmap(NULL, limit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED)
            return numi_error_set_errno(errno, "addresses for %llu bytes",
                                        (unsigned long long)limit);
        own->base = base;
    }
    own->limit = limit;
    lent_count++;
    *region = (struct numi_region){.base = own->base, .limit = limit};
    return NUMI_OK;
}

void numi_region_split(struct numi_region *region, uint64_t at, struct numi_region *upper) {
    struct kept *own = lent_at(region->base);
    MUST(lent_count < KEPT_MAX && own->mapped <= at && (own->split_at == 0 || own->split_at == at));
    own->split_at = at;
    *upper = (struct numi_region){.base = own->base + at, .limit = own->limit - at};
    lent[lent_count++] =
        (struct kept){.base = upper->base, .limit = upper->limit, .mapped = own->upper_mapped};
    region->limit = at;
}

/* The lower half of what was split, or NULL. */
static struct kept *lower_of(const struct kept *own) {
    for (uint32_t i = 0; i < lent_count; i++)
        if (lent[i].split_at != 0 && lent[i].base + lent[i].split_at == own->base)
            return &lent[i];
    return NULL;
}

void numi_region_close(struct numi_region *region) {
    if (region->base != NULL) {
        struct kept *own = lent_at(region->base), *lower = lower_of(own);
        ASAN_POISON_MEMORY_REGION(own->base, own->mapped);
        MUST(kept_count < KEPT_MAX);
        if (lower != NULL)
            lower->upper_mapped = own->mapped;
        else
            kept[kept_count++] = *own;
        *own = lent[--lent_count];
    }
    memset(region, 0, sizeof *region);
}

/* Twice as much at least each time. */
static void map_more(struct kept *own, uint64_t wanted) {
    uint64_t mapped = own->mapped == 0 ? FIRST_MAPPED : own->mapped;
    while (mapped < wanted)
        mapped *= 2;
    if (mapped == own->mapped)
        return;
    uint64_t limit = own->split_at != 0 ? own->split_at : own->limit;
    mapped = mapped < limit ? mapped : numi_round_up(limit, 4096);
    MUST(mprotect(own->base, mapped, PROT_READ | PROT_WRITE) == 0);
    ASAN_POISON_MEMORY_REGION(own->base + own->mapped, mapped - own->mapped);
    own->mapped = mapped;
}

int numi_region_grow(struct numi_region *region, uint64_t wanted) {
    uint64_t size = numi_round_up(wanted, LINE_SIZE);
    if (wanted <= region->size)
        return NUMI_OK;
    if (wanted > region->limit)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%llu bytes: room is for %llu",
                              (unsigned long long)wanted, (unsigned long long)region->limit);
    size = size < region->limit ? size : region->limit;
    map_more(lent_at(region->base), size);
    ASAN_UNPOISON_MEMORY_REGION(region->base, size);
    memset(region->base + region->size, 0, size - region->size);
    region->size = size;
    return NUMI_OK;
}
