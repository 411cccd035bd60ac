/* The measured loop of `numi-bypass bench tape`: frames from a pool onto a tape. */
#ifndef NUMI_BENCH_TAPE_H
#define NUMI_BENCH_TAPE_H

#include "base/histogram.h"
#include "disk/tape.h"
#include "frame/pool.h"

enum numi_bench_tape_limit {
    NUMI_BENCH_TAPE_BLOCK = 1024, /* frames recorded between two flushes */
};

/* Records `blocks` blocks of frames, every 32 of them a step, and writes each block. The frames are
 * all those of the pool in turn, each with `header_size` bytes of headers and as much payload as
 * makes `size` bytes. The ticks of each block go into the histograms: a preemption spoils one, not
 * the median. All of the pool is taken and given back. NUMI_ERR_ARGUMENT, and what numi_tape_flush
 * fails with. */
NUMI_API int numi_bench_tape(struct numi_tape *tape, struct numi_pool *pool, uint32_t blocks,
                             uint32_t header_size, uint32_t size,
                             struct numi_histogram *record_ticks,
                             struct numi_histogram *write_ticks);

#endif
