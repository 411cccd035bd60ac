#define _GNU_SOURCE
#include "base/memory.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

enum {
    SIZE_4K = 4096,
    SIZE_2M = 2 << 20,
    SIZE_1G = 1 << 30,
    HUGE_SHIFT = 26, /* MAP_HUGE_SHIFT: log2 of the page size stands in the flags */
    LOG2_2M = 21,
    LOG2_1G = 30,
};

const char *numi_pages_name(uint32_t pages) {
    static const char *const names[NUMI_PAGES_COUNT] = {"auto", "4k", "transparent", "2m", "1g"};
    return pages < NUMI_PAGES_COUNT ? names[pages] : "unknown";
}

static uint64_t page_size_of(uint32_t pages) {
    switch (pages) {
    case NUMI_PAGES_1G:
        return SIZE_1G;
    case NUMI_PAGES_2M:
    case NUMI_PAGES_TRANSPARENT:
        return SIZE_2M;
    default:
        return SIZE_4K;
    }
}

static void *map_anonymous(uint64_t size, int flags) {
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

/* Transparent huge pages want an aligned range: map more, cut off both ends. */
static void *map_aligned(uint64_t size) {
    uint8_t *whole = map_anonymous(size + SIZE_2M, 0);
    if (whole == MAP_FAILED)
        return MAP_FAILED;
    uint8_t *base = (uint8_t *)numi_round_up((uint64_t)whole, SIZE_2M);
    if (base > whole)
        munmap(whole, (size_t)(base - whole));
    munmap(base + size, SIZE_2M - (size_t)(base - whole));
    return base;
}

static void *map_pages(uint64_t size, uint32_t pages) {
    switch (pages) {
    case NUMI_PAGES_1G:
        return map_anonymous(size, MAP_HUGETLB | LOG2_1G << HUGE_SHIFT);
    case NUMI_PAGES_2M:
        return map_anonymous(size, MAP_HUGETLB | LOG2_2M << HUGE_SHIFT);
    case NUMI_PAGES_TRANSPARENT:
        return map_aligned(size);
    default:
        return map_anonymous(size, 0);
    }
}

static void explain_fallback(struct numi_memory *memory, uint32_t pages, uint64_t size, int error) {
    snprintf(memory->fallback, sizeof memory->fallback, "%llu pages of %s: %s (reserve them: %s)",
             (unsigned long long)(size / page_size_of(pages)), numi_pages_name(pages),
             strerror(error),
             pages == NUMI_PAGES_1G ? "hugepagesz=1G hugepages=N at boot" : "vm.nr_hugepages");
}

/* From the kind asked for down to one that can be had. */
static int map_or_fall_back(struct numi_memory *memory, uint64_t size, uint32_t pages) {
    for (uint32_t kind = pages == NUMI_PAGES_AUTO ? NUMI_PAGES_2M : pages; kind >= NUMI_PAGES_4K;
         kind--) {
        uint64_t rounded = numi_round_up(size, page_size_of(kind));
        void *base = map_pages(rounded, kind);
        if (base != MAP_FAILED) {
            memory->base = base;
            memory->size = rounded;
            memory->pages = kind;
            return NUMI_OK;
        }
        if (memory->fallback[0] == 0)
            explain_fallback(memory, kind, rounded, errno);
    }
    return numi_error_set_errno(errno, "memory: %llu bytes", (unsigned long long)size);
}

static int bind_to_node(const struct numi_memory *memory, int32_t node) {
    unsigned long mask[NUMI_CPU_MAX / 64] = {0};
    mask[node / 64] = 1ul << (node % 64);
    if (syscall(SYS_mbind, memory->base, memory->size, MPOL_BIND, mask, NUMI_CPU_MAX, 0) != 0)
        return numi_error_set(NUMI_ERR_UNSUPPORTED, "memory on node %d: %s", node, strerror(errno));
    return NUMI_OK;
}

static void touch(const struct numi_memory *memory) {
    for (uint64_t at = 0; at < memory->size; at += SIZE_4K)
        *(volatile uint8_t *)(memory->base + at) = 0;
}

static int32_t node_of_page(void *page) {
    int status = -1;
    if (syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0) != 0 || status < 0)
        return NUMI_NODE_ANY;
    return status;
}

/* What smaps says about the mapping that starts at or before `base`: bytes on transparent huge
 * pages. */
static uint64_t transparent_size(const struct numi_memory *memory) {
    FILE *file = fopen("/proc/self/smaps", "re");
    if (file == NULL)
        return 0;
    char line[512];
    unsigned long first, last, kib, found = 0;
    bool ours = false;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
            ours = first < (unsigned long)memory->base + memory->size &&
                   last > (unsigned long)memory->base;
        else if (ours && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
            found += kib;
    }
    fclose(file);
    uint64_t size = (uint64_t)found * 1024;
    return size < memory->size ? size : memory->size;
}

/* madvise only asks: what counts is what the kernel gave. */
static void settle_transparent(struct numi_memory *memory, uint32_t wanted) {
    memory->huge_size = transparent_size(memory);
    if (memory->huge_size > 0)
        return;
    memory->pages = NUMI_PAGES_4K;
    if (wanted == NUMI_PAGES_TRANSPARENT)
        snprintf(memory->fallback, sizeof memory->fallback,
                 "the kernel gave no transparent huge page (transparent_hugepage/enabled)");
}

int numi_memory_open(struct numi_memory *memory, uint64_t size, uint32_t pages, int32_t node) {
    memset(memory, 0, sizeof *memory);
    if (size == 0 || size > (uint64_t)1 << 46)
        return numi_error_set(NUMI_ERR_ARGUMENT, "memory of %llu bytes: allowed 1 to 2^46",
                              (unsigned long long)size);
    if (pages >= NUMI_PAGES_COUNT || node < NUMI_NODE_ANY || node >= NUMI_CPU_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "memory with pages=%u node=%d: allowed pages 0 to %d, node -1 to %d",
                              pages, node, NUMI_PAGES_COUNT - 1, NUMI_CPU_MAX - 1);
    int code = map_or_fall_back(memory, size, pages);
    if (code == NUMI_OK && node != NUMI_NODE_ANY)
        code = bind_to_node(memory, node);
    if (code != NUMI_OK) {
        numi_memory_close(memory);
        return code;
    }
    if (memory->pages == NUMI_PAGES_TRANSPARENT)
        madvise(memory->base, memory->size, MADV_HUGEPAGE);
    touch(memory);
    if (memory->pages == NUMI_PAGES_TRANSPARENT)
        settle_transparent(memory, pages);
    else if (memory->pages != NUMI_PAGES_4K)
        memory->huge_size = memory->size;
    memory->node = node_of_page(memory->base);
    return NUMI_OK;
}

void numi_memory_close(struct numi_memory *memory) {
    if (memory->base != NULL)
        munmap(memory->base, memory->size);
    memory->base = NULL;
    memory->size = memory->huge_size = 0;
}
