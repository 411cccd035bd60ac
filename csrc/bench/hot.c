#include "bench/hot.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/core.h"
#include "base/crc32c.h"
#include "base/guard.h"

enum {
    POOL_FRAMES = 4096,
    POOL_FRAME_SIZE = 2048,
    PACKET_SIZE = 1500,
    RING_RECORDS = NUMI_HOT_BLOCK * NUMI_HOT_BATCH,
    SOAK_BATCH_MAX = 4096,
};

struct numi_hot {
    struct numi_ring *ring;
    struct numi_pool pool;
    struct numi_histogram histogram;
    struct numi_clock *clock;
    uint64_t records[NUMI_HOT_BATCH];
    uint32_t taken[NUMI_HOT_BLOCK];
    uint8_t packet[PACKET_SIZE];
};

/* The optimiser must believe that somebody reads the result. */
static inline void keep(uint64_t value) {
    __asm__ __volatile__("" ::"r"(value) : "memory");
}

/* Planted faults: what a guard build must stop. */
static void plant_allocation(void) {
    void *volatile sink = NULL;
    if (NUMI_PLANTED(MALLOC))
        sink = malloc(64);
    if (NUMI_PLANTED(STRDUP))
        sink = strdup("on the hot path");
    free(sink);
}

int numi_hot_open(struct numi_hot **out) {
    struct numi_hot *hot = calloc(1, sizeof *hot);
    if (hot == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "bench: %zu bytes", sizeof *hot);
    int code = numi_ring_open(&hot->ring, sizeof(uint64_t), RING_RECORDS, NUMI_PAGES_AUTO);
    if (code == NUMI_OK)
        code = numi_pool_open(&hot->pool, POOL_FRAMES, POOL_FRAME_SIZE, NUMI_PAGES_AUTO,
                              NUMI_NODE_ANY);
    if (code == NUMI_OK)
        code = numi_histogram_open(&hot->histogram, 3600000000000, 3);
    if (code == NUMI_OK)
        code = numi_clock_open(&hot->clock, 0);
    if (code != NUMI_OK) {
        numi_hot_close(hot);
        return code;
    }
    for (int i = 0; i < PACKET_SIZE; i++)
        hot->packet[i] = (uint8_t)(i * 37);
    *out = hot;
    return NUMI_OK;
}

void numi_hot_close(struct numi_hot *hot) {
    if (hot == NULL)
        return;
    numi_ring_close(hot->ring);
    numi_pool_close(&hot->pool);
    numi_histogram_close(&hot->histogram);
    numi_clock_close(hot->clock);
    free(hot);
}

const char *numi_hot_name(uint32_t kind) {
    static const char *const names[NUMI_HOT_KIND_COUNT] = {
        "probe",           "ring_push",         "ring_pop",    "ring_push_batch",
        "ring_pop_batch",  "pool_take",         "pool_give",   "histogram",
        "crc32c_64_bytes", "crc32c_1500_bytes", "clock_ticks", "clock_now"};
    return kind < NUMI_HOT_KIND_COUNT ? names[kind] : NULL;
}

/* One block of `operation`, which may use `i`: in bulk, or each by itself when `ticks` is given. */
#define BLOCK(operation)                                                                           \
    do {                                                                                           \
        if (ticks == NULL) {                                                                       \
            uint64_t begin = numi_ticks_fenced();                                                  \
            for (uint32_t i = 0; i < NUMI_HOT_BLOCK; i++)                                          \
                operation;                                                                         \
            spent += numi_ticks_fenced() - begin;                                                  \
        } else {                                                                                   \
            for (uint32_t i = 0; i < NUMI_HOT_BLOCK; i++) {                                        \
                uint64_t begin = numi_ticks_fenced();                                              \
                operation;                                                                         \
                uint64_t end = numi_ticks_fenced();                                                \
                numi_histogram_record(ticks, (int64_t)(end - begin));                              \
            }                                                                                      \
        }                                                                                          \
    } while (0)

static void fill_ring(struct numi_hot *hot, uint32_t batches) {
    for (uint32_t i = 0; i < batches; i++)
        numi_ring_push_many(&hot->ring->push, hot->records, NUMI_HOT_BATCH, sizeof(uint64_t));
}

static void drain_ring(struct numi_hot *hot) {
    while (numi_ring_pop_many(&hot->ring->pop, hot->records, NUMI_HOT_BATCH, sizeof(uint64_t)) > 0)
        ;
}

static void give_taken(struct numi_hot *hot) {
    for (uint32_t i = 0; i < NUMI_HOT_BLOCK; i++)
        numi_pool_give(&hot->pool, hot->taken[i]);
}

static void take_block(struct numi_hot *hot) {
    for (uint32_t i = 0; i < NUMI_HOT_BLOCK; i++)
        hot->taken[i] = numi_pool_take(&hot->pool)->index;
}

static uint64_t run_ring_block(struct numi_hot *hot, uint32_t kind, struct numi_histogram *ticks) {
    uint64_t spent = 0, value = 0;
    struct numi_ring_side *push = &hot->ring->push, *pop = &hot->ring->pop;
    if (kind == NUMI_HOT_RING_PUSH)
        BLOCK((value = i, numi_ring_push(push, &value, sizeof value)));
    if (kind == NUMI_HOT_RING_PUSH_BATCH)
        BLOCK(numi_ring_push_many(push, hot->records, NUMI_HOT_BATCH, sizeof(uint64_t)));
    if (kind == NUMI_HOT_RING_POP || kind == NUMI_HOT_RING_POP_BATCH)
        fill_ring(hot, NUMI_HOT_BLOCK);
    if (kind == NUMI_HOT_RING_POP)
        BLOCK((numi_ring_pop(pop, &value, sizeof value), keep(value)));
    if (kind == NUMI_HOT_RING_POP_BATCH)
        BLOCK(numi_ring_pop_many(pop, hot->records, NUMI_HOT_BATCH, sizeof(uint64_t)));
    drain_ring(hot);
    return spent;
}

static uint64_t run_pool_block(struct numi_hot *hot, uint32_t kind, struct numi_histogram *ticks) {
    uint64_t spent = 0;
    if (kind == NUMI_HOT_POOL_TAKE) {
        BLOCK(hot->taken[i] = numi_pool_take(&hot->pool)->index);
        give_taken(hot);
    } else {
        take_block(hot);
        BLOCK(numi_pool_give(&hot->pool, hot->taken[i]));
    }
    return spent;
}

static uint64_t run_base_block(struct numi_hot *hot, uint32_t kind, struct numi_histogram *ticks) {
    uint64_t spent = 0;
    switch (kind) {
    case NUMI_HOT_PROBE:
        BLOCK(keep(i));
        break;
    case NUMI_HOT_HISTOGRAM_RECORD:
        BLOCK(numi_histogram_record(&hot->histogram, (int64_t)i * 977));
        break;
    case NUMI_HOT_CRC32C_64:
        BLOCK(keep(numi_crc32c(i, hot->packet, 64)));
        break;
    case NUMI_HOT_CRC32C_1500:
        BLOCK(keep(numi_crc32c(i, hot->packet, PACKET_SIZE)));
        break;
    case NUMI_HOT_CLOCK_TICKS:
        BLOCK(keep(numi_ticks()));
        break;
    case NUMI_HOT_CLOCK_NOW:
        BLOCK(keep((uint64_t)numi_clock_now(hot->clock, NUMI_DOMAIN_MONO)));
        break;
    }
    return spent;
}

static uint64_t run_block(struct numi_hot *hot, uint32_t kind, struct numi_histogram *ticks) {
    uint64_t spent;
    numi_guard_enter();
    if (NUMI_PLANTED(MALLOC) || NUMI_PLANTED(STRDUP))
        plant_allocation();
    if (kind >= NUMI_HOT_RING_PUSH && kind <= NUMI_HOT_RING_POP_BATCH)
        spent = run_ring_block(hot, kind, ticks);
    else if (kind == NUMI_HOT_POOL_TAKE || kind == NUMI_HOT_POOL_GIVE)
        spent = run_pool_block(hot, kind, ticks);
    else
        spent = run_base_block(hot, kind, ticks);
    numi_guard_exit();
    return spent;
}

uint64_t numi_hot_bulk(struct numi_hot *hot, uint32_t kind, uint32_t blocks) {
    uint64_t spent = 0;
    for (uint32_t block = 0; block < blocks; block++)
        spent += run_block(hot, kind, NULL);
    return spent;
}

int numi_hot_each(struct numi_hot *hot, uint32_t kind, uint32_t blocks,
                  struct numi_histogram *ticks) {
    if (kind >= NUMI_HOT_KIND_COUNT)
        return numi_error_set(NUMI_ERR_ARGUMENT, "hot path %u: there are %d", kind,
                              NUMI_HOT_KIND_COUNT);
    for (uint32_t block = 0; block < blocks; block++)
        run_block(hot, kind, ticks);
    return NUMI_OK;
}

int64_t numi_hot_send(struct numi_ring *ring, uint32_t cpu, uint64_t count, uint64_t gap_ticks,
                      uint64_t deadline_ticks) {
    int code = numi_core_pin(cpu);
    if (code != NUMI_OK)
        return code;
    numi_guard_enter();
    uint64_t sent = 0, next = numi_ticks();
    int pushed = 1;
    while (sent < count && pushed == 1) {
        uint64_t now;
        while ((now = numi_ticks()) < next)
            numi_pause();
        /* After a preemption: go on from now, do not make up for lost time in a burst. */
        next = now + gap_ticks;
        while ((pushed = numi_ring_push(&ring->push, &now, sizeof now)) == 0 &&
               numi_ticks() < deadline_ticks)
            numi_pause();
        sent += pushed == 1;
    }
    numi_guard_exit();
    numi_core_unpin();
    return (int64_t)sent;
}

/* Whether a record came before the deadline. */
static bool pop_until(struct numi_ring *ring, uint64_t *record, uint64_t deadline_ticks) {
    int popped;
    while ((popped = numi_ring_pop(&ring->pop, record, sizeof *record)) == 0)
        if (NUMI_UNLIKELY(numi_ticks() > deadline_ticks))
            return false;
    return popped == 1;
}

int64_t numi_hot_receive(struct numi_ring *ring, uint32_t cpu, struct numi_histogram *windows,
                         uint32_t window_count, uint64_t window_size, uint64_t deadline_ticks) {
    int code = numi_core_pin(cpu);
    if (code != NUMI_OK)
        return code;
    numi_guard_enter();
    int64_t received = 0;
    bool in_time = true;
    for (uint32_t window = 0; window < window_count && in_time; window++) {
        for (uint64_t i = 0; i < window_size; i++) {
            uint64_t sent_ticks = 0;
            in_time = pop_until(ring, &sent_ticks, deadline_ticks);
            if (!in_time)
                break;
            numi_histogram_record(&windows[window], (int64_t)(numi_ticks() - sent_ticks));
            received++;
        }
    }
    numi_guard_exit();
    numi_core_unpin();
    return received;
}

int64_t numi_hot_stream_push(struct numi_ring *ring, uint32_t cpu, uint64_t count,
                             uint64_t deadline_ticks) {
    int code = numi_core_pin(cpu);
    if (code != NUMI_OK)
        return code;
    uint64_t pushed = 0;
    while (pushed < count) {
        if (NUMI_LIKELY(numi_ring_push(&ring->push, &pushed, sizeof pushed) == 1))
            pushed++;
        else if (numi_ticks() > deadline_ticks)
            break;
    }
    numi_core_unpin();
    return (int64_t)pushed;
}

int64_t numi_hot_stream_pop(struct numi_ring *ring, uint32_t cpu, uint64_t count,
                            uint64_t deadline_ticks) {
    int code = numi_core_pin(cpu);
    if (code != NUMI_OK)
        return code;
    uint64_t record = 0, first = 0;
    bool right = true;
    for (uint64_t expected = 0; expected < count && right; expected++) {
        right = pop_until(ring, &record, deadline_ticks) && record == expected;
        if (expected == 0)
            first = numi_ticks();
    }
    uint64_t last = numi_ticks();
    numi_core_unpin();
    return right ? (int64_t)(last - first) : NUMI_ERR_CORRUPT;
}

uint64_t numi_hot_round_trip(struct numi_ring *ring, uint32_t blocks) {
    uint64_t record = 0, begin = numi_ticks_fenced();
    for (uint32_t block = 0; block < blocks; block++) {
        for (uint64_t i = 0; i < NUMI_HOT_BLOCK; i++)
            keep((uint64_t)numi_ring_push(&ring->push, &i, sizeof i));
        for (uint64_t i = 0; i < NUMI_HOT_BLOCK; i++) {
            numi_ring_pop(&ring->pop, &record, sizeof record);
            keep(record);
        }
    }
    return numi_ticks_fenced() - begin;
}

uint64_t numi_hot_pool_soak(struct numi_pool *pool, uint64_t rounds, uint32_t batch) {
    uint32_t indices[SOAK_BATCH_MAX];
    uint64_t operations = 0;
    if (batch > SOAK_BATCH_MAX)
        return 0;
    numi_guard_enter();
    for (uint64_t round = 0; round < rounds; round++) {
        uint32_t taken = (uint32_t)numi_pool_take_batch(pool, indices, batch);
        /* A packet is written before it is given back: each slot is touched. */
        for (uint32_t i = 0; i < taken; i++)
            memset(numi_pool_slot(pool, indices[i]), (int)round, NUMI_CACHE_LINE_SIZE);
        operations += (uint32_t)numi_pool_give_batch(pool, indices, taken);
    }
    numi_guard_exit();
    return operations;
}
