/* Measured loops over the hot paths: the C side of `numi-bypass bench hot-paths`.
 *
 * Each operation is the inline code that production runs, timed two ways: in bulk (a block of
 * operations between two readings of the TSC: what it costs in a stream) and one by one (between
 * fenced readings, whose own cost is measured by the kind PROBE and subtracted by the caller: its
 * percentiles). Loops run inside the hot-path guard. */
#ifndef NUMI_BENCH_HOT_H
#define NUMI_BENCH_HOT_H

#include "base/clock.h"
#include "base/histogram.h"
#include "frame/pool.h"
#include "frame/ring.h"

enum numi_hot_kind {
    NUMI_HOT_PROBE, /* nothing between the two readings */
    NUMI_HOT_RING_PUSH,
    NUMI_HOT_RING_POP,
    NUMI_HOT_RING_PUSH_BATCH, /* NUMI_HOT_BATCH records an operation */
    NUMI_HOT_RING_POP_BATCH,
    NUMI_HOT_POOL_TAKE,
    NUMI_HOT_POOL_GIVE,
    NUMI_HOT_HISTOGRAM_RECORD,
    NUMI_HOT_CRC32C_64,
    NUMI_HOT_CRC32C_1500,
    NUMI_HOT_CLOCK_TICKS,
    NUMI_HOT_CLOCK_NOW,
    NUMI_HOT_KIND_COUNT,
};

enum numi_hot_limit {
    NUMI_HOT_BLOCK = 1024, /* operations a block */
    NUMI_HOT_BATCH = 32,
};

struct numi_hot;

/* Rings, a pool and buffers to work on. NUMI_ERR_NO_MEMORY, NUMI_ERR_SYSTEM. */
NUMI_API int numi_hot_open(struct numi_hot **out);
NUMI_API void numi_hot_close(struct numi_hot *hot);

/* The operation's word in output; NULL past the last. */
NUMI_API const char *numi_hot_name(uint32_t kind);

/* Runs `blocks` blocks and returns the ticks they took, without the work between them. 0 for an
 * unknown kind. */
NUMI_API uint64_t numi_hot_bulk(struct numi_hot *hot, uint32_t kind, uint32_t blocks);

/* Runs `blocks` blocks and records the ticks of each operation, the reading's own included.
 * NUMI_ERR_ARGUMENT. */
NUMI_API int numi_hot_each(struct numi_hot *hot, uint32_t kind, uint32_t blocks,
                           struct numi_histogram *ticks);

/* One way between two cores: the sender pushes the TSC every `gap_ticks`, the receiver records how
 * old it is when popped, `window_count` windows of `window_size` one after the other. Each side
 * pins itself to `cpu` and unpins at the end, and stops at `deadline_ticks` at the latest. They
 * return how many they sent or received. */
NUMI_API int64_t numi_hot_send(struct numi_ring *ring, uint32_t cpu, uint64_t count,
                               uint64_t gap_ticks, uint64_t deadline_ticks);
NUMI_API int64_t numi_hot_receive(struct numi_ring *ring, uint32_t cpu,
                                  struct numi_histogram *windows, uint32_t window_count,
                                  uint64_t window_size, uint64_t deadline_ticks);

/* As many records as the ring carries from one core to another: pushes 0, 1, 2, ... and pops them,
 * checking each. The popper returns the ticks from its first record to its last; below 0 where a
 * record was not the one expected or the deadline passed. */
NUMI_API int64_t numi_hot_stream_push(struct numi_ring *ring, uint32_t cpu, uint64_t count,
                                      uint64_t deadline_ticks);
NUMI_API int64_t numi_hot_stream_pop(struct numi_ring *ring, uint32_t cpu, uint64_t count,
                                     uint64_t deadline_ticks);

/* The same ring on one core: a block pushed, a block popped; returns the ticks of `blocks` such
 * rounds. */
NUMI_API uint64_t numi_hot_round_trip(struct numi_ring *ring, uint32_t blocks);

/* `rounds` rounds of taking `batch` frames (at most 4096), writing to each and giving it back;
 * returns how many frames went through. */
NUMI_API uint64_t numi_hot_pool_soak(struct numi_pool *pool, uint64_t rounds, uint32_t batch);

#endif
