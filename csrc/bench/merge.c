#include "bench/merge.h"

#include <string.h>

#include "base/clock.h"
#include "base/guard.h"

enum {
    LOOK_AHEAD = 8, /* packets */
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

static inline void take_run(const struct numi_merge_run *run, struct numi_bench_output *output) {
    output->disorder += run->sequence != output->next;
    output->next = run->sequence + run->count;
    output->messages += run->bytes == NULL ? 0 : run->count;
    output->gaps += run->bytes == NULL;
}

static inline void take_runs(struct numi_merge *merge, int code, struct numi_bench_output *output) {
    const struct numi_merge_run *run;
    if (code == NUMI_MERGE_ONE) {
        numi_merge_next(merge, &run);
        take_run(run, output);
        return;
    }
    while (code > 0 && numi_merge_next(merge, &run) == 1)
        take_run(run, output);
}

static inline int push(struct numi_merge *merge, const struct numi_pool *pool,
                       const struct numi_bench_packet *packet, int64_t now_ns) {
    const struct numi_frame *frame = &pool->frames[packet->frame];
    return numi_merge_push(merge, &(struct numi_merge_packet){
                                      .payload = numi_pool_data(pool, frame),
                                      .size = frame->data_size,
                                      .now_ns = now_ns,
                                      .rx_ns = now_ns,
                                      .frame = frame->index,
                                      .line = frame->line,
                                  });
}

static inline void merge_one(struct numi_merge *merge, const struct numi_pool *pool,
                             const struct numi_bench_packet *packets, uint64_t i, uint64_t count,
                             int64_t now_ns, struct numi_bench_output *output) {
    look_ahead(pool, packets, i, count);
    take_runs(merge, push(merge, pool, &packets[i], now_ns), output);
}

uint64_t numi_bench_merge(struct numi_merge *merge, struct numi_pool *pool,
                          const struct numi_bench_packet *packets, uint64_t count, int64_t *now_ns,
                          int64_t gap_ns, struct numi_histogram *latency,
                          struct numi_bench_output *output) {
    int64_t now = *now_ns;
    numi_guard_enter();
    uint64_t begin = numi_ticks_fenced();
    for (uint64_t i = 0; i < count && latency == NULL; i++, now += gap_ns)
        merge_one(merge, pool, packets, i, count, now, output);
    for (uint64_t i = 0; i < count && latency != NULL; i++, now += gap_ns) {
        uint64_t before = numi_ticks_fenced();
        merge_one(merge, pool, packets, i, count, now, output);
        numi_histogram_record(latency, (int64_t)(numi_ticks_fenced() - before));
    }
    uint64_t ticks = numi_ticks_fenced() - begin;
    numi_guard_exit();
    *now_ns = now;
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
