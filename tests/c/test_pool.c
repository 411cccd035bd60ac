#include "check.h"

#include "frame/pool.h"

static struct numi_pool open_pool(uint32_t frame_count, uint32_t frame_size) {
    struct numi_pool pool;
    NEED(numi_pool_open(&pool, frame_count, frame_size, NUMI_PAGES_4K, NUMI_NODE_ANY) == NUMI_OK);
    return pool;
}

static void expect_ledger(const struct numi_pool *pool, uint64_t available, uint64_t held,
                          uint64_t lent) {
    struct numi_pool_ledger ledger;
    numi_pool_ledger(pool, &ledger);
    EXPECT_EQ(numi_ledger_check_pool(&ledger), 0);
    EXPECT_EQ(ledger.available, available);
    EXPECT_EQ(ledger.held, held);
    EXPECT_EQ(ledger.lent, lent);
    EXPECT_EQ(ledger.size, available + held + lent);
    EXPECT_EQ(ledger.misses, pool->misses);
    EXPECT_EQ(ledger.return_drops, pool->return_drops);
}

TEST(options_out_of_range) {
    static const uint32_t wrong[][2] = {{0, 2048},  {NUMI_POOL_FRAME_COUNT_MAX + 1, 2048},
                                        {16, 64},   {16, 1 << 17},
                                        {16, 2047}, {16, 0}};
    struct numi_pool pool;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        EXPECT_EQ(numi_pool_open(&pool, wrong[i][0], wrong[i][1], NUMI_PAGES_4K, NUMI_NODE_ANY),
                  NUMI_ERR_ARGUMENT);
        numi_pool_close(&pool); /* what failed to open may be closed */
    }
}

TEST(frames_lie_where_they_should) {
    static const uint32_t sizes[] = {NUMI_POOL_FRAME_SIZE_MIN, 256, 2048, NUMI_POOL_FRAME_SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct numi_pool pool = open_pool(5, sizes[i]);
        for (uint32_t index = 0; index < 5; index++) {
            EXPECT_EQ(pool.frames[index].index, index);
            EXPECT(numi_pool_slot(&pool, index) == pool.memory.base + (uint64_t)index * sizes[i]);
            EXPECT_EQ((uint64_t)&pool.frames[index] % NUMI_CACHE_LINE_SIZE, 0);
        }
        EXPECT((uint8_t *)(pool.free_indices + 5) <= pool.memory.base + pool.memory.size);
        numi_pool_close(&pool);
    }
}

TEST(the_payload_lies_at_its_offset) {
    struct numi_pool pool = open_pool(4, 256);
    struct numi_frame *frame = numi_pool_take(&pool);
    NEED(frame != NULL);
    frame->data_offset = 42;
    EXPECT(numi_pool_data(&pool, frame) == numi_pool_slot(&pool, frame->index) + 42);
    numi_pool_close(&pool);
}

TEST(the_lowest_first_and_the_last_given_next) {
    struct numi_pool pool = open_pool(8, 128);
    uint32_t indices[8];
    EXPECT_EQ(numi_pool_take_batch(&pool, indices, 8), 8);
    for (uint32_t i = 0; i < 8; i++)
        EXPECT_EQ(indices[i], i);
    EXPECT_EQ(numi_pool_give_batch(&pool, indices, 8), 8);
    EXPECT_EQ(numi_pool_take(&pool)->index, 7);
    numi_pool_close(&pool);
}

TEST(each_take_that_lacks_is_a_miss) {
    struct numi_pool pool = open_pool(3, 128);
    uint32_t indices[8];
    EXPECT_EQ(numi_pool_take_batch(&pool, indices, 8), 3);
    EXPECT_EQ(pool.misses, 5);
    EXPECT(numi_pool_take(&pool) == NULL);
    EXPECT_EQ(numi_pool_take_batch(&pool, indices, 0), 0);
    EXPECT_EQ(pool.misses, 6);
    expect_ledger(&pool, 0, 3, 0);
    numi_pool_close(&pool);
}

TEST(foreign_and_too_many_gives_are_refused_and_counted) {
    struct numi_pool pool = open_pool(4, 128);
    EXPECT_EQ(numi_pool_give(&pool, 0), NUMI_ERR_DOUBLE_GIVE); /* nobody took any */
    EXPECT_EQ(numi_pool_give(&pool, 4), NUMI_ERR_FOREIGN);
    EXPECT_EQ(numi_pool_give(&pool, UINT32_MAX), NUMI_ERR_FOREIGN);
    EXPECT_EQ(pool.return_drops, 3);
    uint32_t indices[4];
    EXPECT_EQ(numi_pool_take_batch(&pool, indices, 2), 2);
    const uint32_t given[] = {indices[0], 99, indices[1], 3};
    EXPECT_EQ(numi_pool_give_batch(&pool, given, 4), 2); /* one foreign, one more than was taken */
    EXPECT_EQ(pool.return_drops, 5);
    expect_ledger(&pool, 4, 0, 0);
    numi_pool_close(&pool);
}

TEST(lent_frames_come_home) {
    struct numi_pool pool = open_pool(2, 128);
    EXPECT(numi_pool_lend(&pool, 0) < 0); /* nobody holds it */
    EXPECT(numi_pool_reclaim(&pool, 0) < 0);
    EXPECT_EQ(numi_pool_lend(&pool, 2), NUMI_ERR_FOREIGN);
    EXPECT_EQ(numi_pool_reclaim(&pool, 2), NUMI_ERR_FOREIGN);
    uint32_t index = numi_pool_take(&pool)->index;
    EXPECT_EQ(numi_pool_lend(&pool, index), NUMI_OK);
    expect_ledger(&pool, 1, 0, 1);
    EXPECT_EQ(numi_pool_give(&pool, index),
              NUMI_ERR_DOUBLE_GIVE); /* a lent frame is not ours to give */
    EXPECT_EQ(numi_pool_reclaim(&pool, index), NUMI_OK);
    EXPECT(numi_pool_reclaim(&pool, index) < 0);
    expect_ledger(&pool, 1, 1, 0);
    EXPECT_EQ(numi_pool_give(&pool, index), NUMI_OK);
    expect_ledger(&pool, 2, 0, 0);
    numi_pool_close(&pool);
}

/* The naive twin: where each frame is. Its own bytes tell whether anybody else was given the same
 * frame. */
enum { TWIN_MAX = 40, AVAILABLE = 0, HELD = 1, LENT = 2 };
struct twin {
    uint32_t frame_count;
    uint8_t state[TWIN_MAX];
    uint8_t mark[TWIN_MAX];
    uint64_t misses, return_drops;
};

static uint32_t count_in(const struct twin *twin, uint8_t state) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < twin->frame_count; i++)
        count += twin->state[i] == state;
    return count;
}

static void hand_out(struct numi_pool *pool, struct twin *twin, uint32_t index) {
    NEED(index < twin->frame_count);
    EXPECT_EQ(twin->state[index], AVAILABLE);
    twin->state[index] = HELD;
    twin->mark[index] = (uint8_t)check_random();
    memset(numi_pool_slot(pool, index), twin->mark[index], (size_t)1 << pool->slot_shift);
}

static void take_some(struct numi_pool *pool, struct twin *twin) {
    uint32_t indices[TWIN_MAX + 4], wanted = (uint32_t)check_below(twin->frame_count + 4);
    uint32_t available = count_in(twin, AVAILABLE),
             expected = wanted < available ? wanted : available;
    EXPECT_EQ(numi_pool_take_batch(pool, indices, wanted), expected);
    twin->misses += wanted - expected;
    for (uint32_t i = 0; i < expected; i++)
        hand_out(pool, twin, indices[i]);
}

static void take_one(struct numi_pool *pool, struct twin *twin) {
    struct numi_frame *frame = numi_pool_take(pool);
    EXPECT_EQ(frame != NULL, count_in(twin, AVAILABLE) > 0);
    if (frame != NULL)
        hand_out(pool, twin, frame->index);
    else
        twin->misses++;
}

/* A double give among others' held frames cannot be seen without the dear checks, so it is tried
 * only where it can. */
static void give_one(struct numi_pool *pool, struct twin *twin) {
    uint32_t index = (uint32_t)check_below(twin->frame_count + 2);
    bool foreign = index >= twin->frame_count;
    bool held = !foreign && twin->state[index] == HELD;
    if (!foreign && !held && !NUMI_CHECKS && count_in(twin, HELD) > 0)
        return;
    int wanted = foreign ? NUMI_ERR_FOREIGN : held ? NUMI_OK : NUMI_ERR_DOUBLE_GIVE;
    if (held)
        EXPECT_EQ(*numi_pool_slot(pool, index), twin->mark[index]);
    EXPECT_EQ(numi_pool_give(pool, index), wanted);
    if (held)
        twin->state[index] = AVAILABLE;
    else
        twin->return_drops++;
}

static void move_one(struct numi_pool *pool, struct twin *twin) {
    uint32_t index = (uint32_t)check_below(twin->frame_count + 1);
    bool lend = check_below(2) == 0;
    uint8_t from = lend ? HELD : LENT;
    if (index == twin->frame_count) {
        EXPECT_EQ(lend ? numi_pool_lend(pool, index) : numi_pool_reclaim(pool, index),
                  NUMI_ERR_FOREIGN);
        return;
    }
    bool right = twin->state[index] == from;
    if (!right && !NUMI_CHECKS && count_in(twin, from) > 0)
        return;
    EXPECT_EQ(lend ? numi_pool_lend(pool, index) : numi_pool_reclaim(pool, index),
              right ? NUMI_OK : NUMI_ERR_DOUBLE_GIVE);
    if (right)
        twin->state[index] = lend ? LENT : HELD;
}

TEST(the_pool_is_a_set) {
    static void (*const steps[])(struct numi_pool *, struct twin *) = {
        take_some, take_one, give_one, give_one, give_one, move_one};
    for (int round = 0; round < 40; round++) {
        struct twin twin = {.frame_count = 1 + (uint32_t)check_below(TWIN_MAX)};
        struct numi_pool pool = open_pool(twin.frame_count, 128u << check_below(3));
        for (int step = 0; step < 1500; step++) {
            steps[check_below(sizeof steps / sizeof steps[0])](&pool, &twin);
            expect_ledger(&pool, count_in(&twin, AVAILABLE), count_in(&twin, HELD),
                          count_in(&twin, LENT));
            EXPECT_EQ(pool.misses, twin.misses);
            EXPECT_EQ(pool.return_drops, twin.return_drops);
        }
        numi_pool_close(&pool);
    }
}

#if NUMI_CHECKS

TEST(a_double_give_is_refused) {
    struct numi_pool pool = open_pool(4, 128);
    uint32_t indices[4];
    EXPECT_EQ(numi_pool_take_batch(&pool, indices, 4), 4);
    EXPECT_EQ(numi_pool_give(&pool, 1), NUMI_OK);
    EXPECT_EQ(numi_pool_give(&pool, 1), NUMI_ERR_DOUBLE_GIVE);
    EXPECT_EQ(pool.return_drops, 1);
    EXPECT_EQ(numi_pool_lend(&pool, 1), NUMI_ERR_DOUBLE_GIVE);
    EXPECT_EQ(numi_pool_lend(&pool, 2), NUMI_OK);
    EXPECT_EQ(numi_pool_give(&pool, 2), NUMI_ERR_DOUBLE_GIVE);
    EXPECT_EQ(numi_pool_reclaim(&pool, 3), NUMI_ERR_DOUBLE_GIVE);
    EXPECT_CONTAINS(numi_error_detail(), "frame 3 is not lent");
    expect_ledger(&pool, 1, 2, 1);
    numi_pool_close(&pool);
}

TEST(given_back_bytes_are_poisoned) {
    struct numi_pool pool = open_pool(2, 256);
    struct numi_frame *frame = numi_pool_take(&pool);
    uint8_t *slot = numi_pool_slot(&pool, frame->index);
    memset(slot, 1, 256);
    EXPECT_EQ(numi_pool_give(&pool, frame->index), NUMI_OK);
    for (int at = 0; at < 256; at++)
        EXPECT_EQ(slot[at], NUMI_POOL_POISON);
    numi_pool_close(&pool);
}

static void write_after_give(void *at) {
    struct numi_pool pool = open_pool(2, 256);
    struct numi_frame *frame = numi_pool_take(&pool);
    EXPECT_EQ(numi_pool_give(&pool, frame->index), NUMI_OK);
    numi_pool_slot(&pool, frame->index)[*(int *)at] = 1;
    numi_pool_take(&pool);
}

TEST(a_write_after_give_aborts_at_the_next_take) {
    static const int places[] = {0, 100, 255};
    for (int i = 0; i < 3; i++) {
        char line[64];
        int at = places[i];
        snprintf(line, sizeof line, "byte %d of frame 0 was written", at);
        EXPECT_FORK_ABORTS(write_after_give, &at, line);
    }
}

#else

TEST(dear_checks) {
    SKIP("this build keeps no state a frame (configure with -Dchecks=true)");
}

#endif

CHECK_MAIN
