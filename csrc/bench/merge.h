/* Measured loops over the merge and the feed: the C side of `numi-bypass bench merge` and
 * `local-core`. */
#ifndef NUMI_BENCH_MERGE_H
#define NUMI_BENCH_MERGE_H

#include "base/histogram.h"
#include "feed/feed.h"
#include "frame/ring.h"

/* A packet of the input: one message of a session, on a line. */
struct numi_bench_packet {
    uint64_t sequence;
    uint32_t line;
    uint32_t frame; /* filled in when it is placed */
};

/* Takes a frame for each packet and writes MoldUDP64 of `size` bytes with one message into it.
 * Returns how many found a frame. */
NUMI_API uint64_t numi_bench_place(struct numi_pool *pool, struct numi_bench_packet *packets,
                                   uint64_t count, uint32_t size);

/* What every run brings out. */
struct numi_bench_output {
    uint64_t messages;
    uint64_t gaps;
    uint64_t disorder; /* runs that do not go on where the last one ended */
    uint64_t next;     /* sequence */
};

/* Pushes placed packets through a merge that hands frames over, `gap_ns` of virtual time apart, in
 * batches; the ticks it took. With `latency` each packet is pushed and timed by itself, in ticks,
 * the reading included. */
NUMI_API uint64_t numi_bench_merge(struct numi_merge *merge, struct numi_pool *pool,
                                   const struct numi_bench_packet *packets, uint64_t count,
                                   int64_t *now_ns, int64_t gap_ns, struct numi_histogram *latency,
                                   struct numi_bench_output *output);

/* The floor: copies the payloads of the same frames, looking as far ahead, and gives nothing back.
 */
NUMI_API uint64_t numi_bench_copy_payloads(const struct numi_pool *pool,
                                           const struct numi_bench_packet *packets, uint64_t count);

/* Messages of bare ITCH, each in a MoldUDP64 packet of its own on each line: pool, ring, and the
 * feed behind it. */
struct numi_bench_local {
    struct numi_pool *pool;
    struct numi_ring *rings[2];
    struct numi_feed *feed;
    const uint8_t *bytes;
    uint64_t size;
    uint64_t at;       /* how far it got */
    uint64_t sequence; /* of the next message */
    uint32_t line_count;
    uint32_t batch;
    int64_t now_ns;
};

/* Sends at most `message_max` messages, with a step of the feed after each batch; the ticks, and
 * through `packets` how many frames went in. 0: something failed. */
NUMI_API uint64_t numi_bench_local_core(struct numi_bench_local *local, uint64_t message_max,
                                        uint64_t *packets);

#endif
