#include "bench/merge.h"

#include <string.h>

#include "base/clock.h"
#include "base/guard.h"

enum {
    LOOK_AHEAD = 16, /* packets */
    BATCH = 8,
    HEAD = NUMI_MOLD_HEADER_SIZE + 2,
};

static const uint8_t session[] = "NUMIBENCH1";

static void write_packet(uint8_t *slot, uint64_t sequence, uint32_t size) {
    numi_mold_write_header(slot, session, sequence, 1);
    numi_put_be16(slot + NUMI_MOLD_HEADER_SIZE, (uint16_t)(size - HEAD));
    memset(slot + HEAD, 'A', size - HEAD);
    numi_put_be64(slot + HEAD, sequence);
}

uint64_t numi_bench_place(struct numi_pool *pool, struct numi_bench_packet *packets, uint64_t count,
                          uint32_t size) {
    for (uint64_t i = 0; i < count; i++) {
        struct numi_frame *frame = numi_pool_take(pool);
        if (frame == NULL)
            return i;
        packets[i].frame = frame->index;
        frame->data_offset = 0;
        frame->data_size = frame->wire_size = size;
        frame->line = (uint8_t)packets[i].line;
        write_packet(numi_pool_slot(pool, frame->index), packets[i].sequence, size);
    }
    return count;
}

static inline void look_ahead(const struct numi_pool *pool, const struct numi_bench_packet *packets,
                              uint64_t i, uint64_t count) {
    if (i + LOOK_AHEAD >= count)
        return;
    uint32_t frame = packets[i + LOOK_AHEAD].frame;
    __builtin_prefetch(numi_pool_slot(pool, frame));
    __builtin_prefetch(&pool->frames[frame]);
}

static inline void take_run(struct numi_pool *pool, const struct numi_merge_run *run,
                            struct numi_bench_output *output) {
    output->disorder += run->sequence != output->next;
    output->next = run->sequence + run->count;
    output->messages += run->bytes == NULL ? 0 : run->count;
    output->gaps += run->bytes == NULL;
    if (run->release)
        numi_pool_give(pool, run->frame);
}

/* Field by field: a struct that is put together elsewhere and copied stalls on its small fields. */
static inline void fill_packet(struct numi_merge_packet *to, const struct numi_pool *pool,
                               const struct numi_bench_packet *packet, int64_t now_ns) {
    const struct numi_frame *frame = &pool->frames[packet->frame];
    to->payload = numi_pool_data(pool, frame);
    to->size = frame->data_size;
    to->now_ns = to->rx_ns = now_ns;
    to->frame = frame->index;
    to->flags = 0;
    to->line = frame->line;
}

static inline void merge_one(struct numi_merge *merge, struct numi_pool *pool,
                             const struct numi_merge_packet *packet,
                             struct numi_bench_output *output) {
    const struct numi_merge_run *run;
    if (numi_merge_push(merge, packet) <= 0)
        return;
    while (numi_merge_next(merge, &run) == 1)
        take_run(pool, run, output);
}

static inline void merge_batch(struct numi_merge *merge, struct numi_pool *pool,
                               const struct numi_merge_packet *packets, uint32_t count,
                               struct numi_bench_output *output) {
    struct numi_merge_run runs[BATCH];
    uint32_t run_count;
    for (uint32_t taken = 0; taken < count;) {
        taken += numi_merge_push_many(merge, packets + taken, count - taken, runs, &run_count);
        for (uint32_t i = 0; i < run_count; i++)
            take_run(pool, &runs[i], output);
        if (taken < count)
            merge_one(merge, pool, &packets[taken++], output);
    }
}

static int64_t merge_all(struct numi_merge *merge, struct numi_pool *pool,
                         const struct numi_bench_packet *packets, uint64_t count, int64_t now_ns,
                         int64_t gap_ns, struct numi_bench_output *output) {
    struct numi_merge_packet batch[BATCH];
    for (uint64_t i = 0; i < count;) {
        uint32_t filled = 0;
        for (; filled < BATCH && i < count; i++, now_ns += gap_ns) {
            look_ahead(pool, packets, i, count);
            fill_packet(&batch[filled++], pool, &packets[i], now_ns);
        }
        merge_batch(merge, pool, batch, filled, output);
    }
    return now_ns;
}

static int64_t merge_each(struct numi_merge *merge, struct numi_pool *pool,
                          const struct numi_bench_packet *packets, uint64_t count, int64_t now_ns,
                          int64_t gap_ns, struct numi_histogram *latency,
                          struct numi_bench_output *output) {
    for (uint64_t i = 0; i < count; i++, now_ns += gap_ns) {
        look_ahead(pool, packets, i, count);
        uint64_t before = numi_ticks_fenced();
        struct numi_merge_packet packet;
        fill_packet(&packet, pool, &packets[i], now_ns);
        merge_one(merge, pool, &packet, output);
        numi_histogram_record(latency, (int64_t)(numi_ticks_fenced() - before));
    }
    return now_ns;
}

uint64_t numi_bench_merge(struct numi_merge *merge, struct numi_pool *pool,
                          const struct numi_bench_packet *packets, uint64_t count, int64_t *now_ns,
                          int64_t gap_ns, struct numi_histogram *latency,
                          struct numi_bench_output *output) {
    numi_guard_enter();
    uint64_t begin = numi_ticks_fenced();
    *now_ns = latency == NULL
                  ? merge_all(merge, pool, packets, count, *now_ns, gap_ns, output)
                  : merge_each(merge, pool, packets, count, *now_ns, gap_ns, latency, output);
    uint64_t ticks = numi_ticks_fenced() - begin;
    numi_guard_exit();
    return ticks;
}

uint64_t numi_bench_copy_payloads(const struct numi_pool *pool,
                                  const struct numi_bench_packet *packets, uint64_t count) {
    enum { PLACES = 64 };
    static uint8_t copies[PLACES][256];
    uint64_t begin = numi_ticks_fenced();
    for (uint64_t i = 0; i < count; i++) {
        look_ahead(pool, packets, i, count);
        const struct numi_frame *frame = &pool->frames[packets[i].frame];
        memcpy(copies[i % PLACES], numi_pool_data(pool, frame), frame->data_size);
        __asm__ volatile("" : : "r"(copies) : "memory");
    }
    return numi_ticks_fenced() - begin;
}

/* ---- Local core. */

/* One message into a frame of a line and its ring; false without a frame or room. */
static bool send(struct numi_bench_local *local, uint32_t line, const uint8_t *message,
                 uint32_t size) {
    struct numi_frame *frame = numi_pool_take(local->pool);
    if (frame == NULL)
        return false;
    uint8_t *slot = numi_pool_slot(local->pool, frame->index);
    numi_mold_write_header(slot, session, local->sequence, 1);
    memcpy(slot + NUMI_MOLD_HEADER_SIZE, message, size);
    frame->rx = (struct numi_stamp){.ns = local->now_ns, .domain = NUMI_DOMAIN_VIRTUAL};
    frame->data_offset = 0;
    frame->data_size = frame->wire_size = NUMI_MOLD_HEADER_SIZE + size;
    frame->line = (uint8_t)line;
    return numi_ring_push_batch(local->rings[line], &frame->index, 1) == 1;
}

static bool send_batch(struct numi_bench_local *local, uint64_t *left, uint64_t *packets) {
    for (uint32_t i = 0; i < local->batch && *left > 0; i++, (*left)--) {
        const uint8_t *message = local->bytes + local->at;
        if (local->size - local->at < 2 || local->size - local->at - 2 < numi_be16(message)) {
            *left = 0;
            break;
        }
        uint32_t size = 2u + numi_be16(message);
        for (uint32_t line = 0; line < local->line_count; line++)
            if (!send(local, line, message, size))
                return false;
        *packets += local->line_count;
        local->at += size;
        local->sequence++;
        local->now_ns += 50;
    }
    return true;
}

uint64_t numi_bench_local_core(struct numi_bench_local *local, uint64_t message_max,
                               uint64_t *packets) {
    uint64_t left = message_max, begin = numi_ticks_fenced();
    *packets = 0;
    while (left > 0) {
        if (!send_batch(local, &left, packets))
            return 0;
        int64_t done;
        while ((done = numi_feed_step(local->feed, local->now_ns, UINT32_MAX)) > 0)
            ;
        if (done < 0)
            return 0;
    }
    return numi_ticks_fenced() - begin;
}
