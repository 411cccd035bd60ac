#include "check.h"

#include <sys/mman.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/region.h"

enum { PAGE_SIZE = 4096, HUGE_SIZE = 2 << 20 };

/* Every page is there already: no fault will come later. */
static void expect_resident(const struct numi_memory *memory) {
    uint64_t count = memory->size / PAGE_SIZE;
    unsigned char *resident = malloc(count);
    NEED(resident != NULL && mincore(memory->base, memory->size, resident) == 0);
    for (uint64_t page = 0; page < count; page++)
        EXPECT(resident[page] & 1);
    free(resident);
}

static void expect_zero(const struct numi_memory *memory) {
    uint64_t sum = 0;
    for (uint64_t at = 0; at < memory->size; at++)
        sum += memory->base[at];
    EXPECT_EQ(sum, 0);
}

/* What it says it got is what it got, and anything else than asked for is explained. */
static void expect_honest(const struct numi_memory *memory, uint64_t size, uint32_t asked) {
    uint64_t unit = memory->pages == NUMI_PAGES_4K ? PAGE_SIZE : HUGE_SIZE;
    EXPECT(memory->size >= size);
    EXPECT_EQ(memory->size % PAGE_SIZE, 0);
    EXPECT_EQ((uint64_t)memory->base % unit, 0);
    EXPECT(memory->huge_size <= memory->size);
    EXPECT_EQ(memory->huge_size > 0, memory->pages != NUMI_PAGES_4K);
    if (memory->pages == NUMI_PAGES_2M || memory->pages == NUMI_PAGES_1G)
        EXPECT_EQ(memory->huge_size, memory->size);
    uint32_t wanted = asked == NUMI_PAGES_AUTO ? NUMI_PAGES_2M : asked;
    EXPECT(memory->pages <= wanted);
    EXPECT_EQ(memory->fallback[0] != 0, memory->pages != wanted);
}

static void open_and_judge(uint64_t size, uint32_t pages) {
    struct numi_memory memory;
    EXPECT_EQ(numi_memory_open(&memory, size, pages, NUMI_NODE_ANY), NUMI_OK);
    NEED(memory.base != NULL);
    expect_honest(&memory, size, pages);
    expect_resident(&memory); /* before any read of ours could bring a page in */
    expect_zero(&memory);
    memory.base[0] = memory.base[size - 1] = memory.base[memory.size - 1] = 1;
    numi_memory_close(&memory);
    EXPECT(memory.base == NULL);
    numi_memory_close(&memory); /* twice does no harm */
}

TEST(every_kind_of_page_or_the_next_smaller) {
    static const uint64_t sizes[] = {1, 4095, 4096, 4097, HUGE_SIZE - 1, HUGE_SIZE, HUGE_SIZE + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint32_t pages = NUMI_PAGES_AUTO; pages <= NUMI_PAGES_2M; pages++)
            open_and_judge(sizes[i], pages);
}

TEST(a_fallback_names_the_remedy) {
    struct numi_memory memory;
    EXPECT_EQ(numi_memory_open(&memory, 100, NUMI_PAGES_2M, NUMI_NODE_ANY), NUMI_OK);
    if (memory.pages != NUMI_PAGES_2M)
        EXPECT_CONTAINS(memory.fallback, "vm.nr_hugepages");
    numi_memory_close(&memory);
}

TEST(plain_pages_are_plain) {
    struct numi_memory memory;
    EXPECT_EQ(numi_memory_open(&memory, 10000, NUMI_PAGES_4K, NUMI_NODE_ANY), NUMI_OK);
    EXPECT_EQ(memory.pages, NUMI_PAGES_4K);
    EXPECT_EQ(memory.size, 12288);
    EXPECT_EQ(memory.huge_size, 0);
    EXPECT_TEXT(memory.fallback, "");
    numi_memory_close(&memory);
}

TEST(arguments_out_of_range) {
    struct numi_memory memory;
    EXPECT_EQ(numi_memory_open(&memory, 0, NUMI_PAGES_4K, NUMI_NODE_ANY), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_memory_open(&memory, ((uint64_t)1 << 46) + 1, NUMI_PAGES_4K, NUMI_NODE_ANY),
              NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_memory_open(&memory, 1, NUMI_PAGES_COUNT, NUMI_NODE_ANY), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_memory_open(&memory, 1, NUMI_PAGES_4K, -2), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_memory_open(&memory, 1, NUMI_PAGES_4K, NUMI_CPU_MAX), NUMI_ERR_ARGUMENT);
    EXPECT(memory.base == NULL);
    numi_memory_close(&memory);
}

TEST(a_node_that_is_there) {
    struct numi_memory memory;
    int code = numi_memory_open(&memory, 5000, NUMI_PAGES_4K, 0);
    if (code == NUMI_ERR_UNSUPPORTED)
        SKIP("the kernel binds no memory to nodes");
    EXPECT_EQ(code, NUMI_OK);
    EXPECT(memory.node == 0 || memory.node == NUMI_NODE_ANY);
    numi_memory_close(&memory);
}

TEST(a_node_that_is_not) {
    struct numi_memory memory;
    EXPECT_EQ(numi_memory_open(&memory, 5000, NUMI_PAGES_4K, NUMI_CPU_MAX - 1),
              NUMI_ERR_UNSUPPORTED);
    EXPECT_CONTAINS(numi_error_detail(), "node 1023");
    EXPECT(memory.base == NULL);
}

static void open_under_a_limit(void *unused) {
    (void)unused;
    struct numi_memory memory;
    setrlimit(RLIMIT_AS, &(struct rlimit){1 << 20, 1 << 20});
    EXPECT_EQ(numi_memory_open(&memory, 1 << 28, NUMI_PAGES_AUTO, NUMI_NODE_ANY),
              NUMI_ERR_NO_MEMORY);
    EXPECT(memory.base == NULL);
}

TEST(no_memory_is_an_error_not_a_crash) {
    EXPECT_FORK_PASSES(open_under_a_limit, NULL);
}

/* The two halves grow by themselves, up to each other and no further. */
TEST(a_region_in_two) {
    struct numi_region lower, upper, copy;
    NEED(numi_region_open(&lower, 3 * NUMI_REGION_UNIT) == NUMI_OK);
    numi_region_split(&lower, NUMI_REGION_UNIT, &upper);
    EXPECT(upper.base == lower.base + NUMI_REGION_UNIT);
    EXPECT_EQ(numi_region_grow(&upper, 1), NUMI_OK);
    upper.base[0] = 7;
    EXPECT_EQ(numi_region_grow(&lower, NUMI_REGION_UNIT), NUMI_OK);
    EXPECT_EQ(lower.size, NUMI_REGION_UNIT);
    lower.base[lower.size - 1] = 9;
    EXPECT_EQ(upper.base[0], 7);
    EXPECT_EQ(numi_region_grow(&lower, NUMI_REGION_UNIT + 1), NUMI_ERR_NO_MEMORY);
    EXPECT_EQ(numi_region_grow(&upper, 2 * NUMI_REGION_UNIT), NUMI_OK);
    EXPECT_EQ(numi_region_grow(&upper, 2 * NUMI_REGION_UNIT + 1), NUMI_ERR_NO_MEMORY);
    NEED(numi_region_open(&copy, 2 * NUMI_REGION_UNIT) == NUMI_OK);
    EXPECT_EQ(numi_region_copy(&copy, &lower), NUMI_OK);
    EXPECT_EQ(copy.base[NUMI_REGION_UNIT - 1], 9);
    numi_region_close(&copy);
    numi_region_close(&upper);
    numi_region_close(&lower);
}

TEST(names) {
    EXPECT_TEXT(numi_pages_name(NUMI_PAGES_AUTO), "auto");
    EXPECT_TEXT(numi_pages_name(NUMI_PAGES_4K), "4k");
    EXPECT_TEXT(numi_pages_name(NUMI_PAGES_TRANSPARENT), "transparent");
    EXPECT_TEXT(numi_pages_name(NUMI_PAGES_2M), "2m");
    EXPECT_TEXT(numi_pages_name(NUMI_PAGES_1G), "1g");
    EXPECT_TEXT(numi_pages_name(NUMI_PAGES_COUNT), "unknown");
}

CHECK_MAIN
