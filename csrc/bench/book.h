/* The measured loop of `numi-bypass bench decode-book`: messages in memory through decoder and
 * books. */
#ifndef NUMI_BENCH_BOOK_H
#define NUMI_BENCH_BOOK_H

#include "base/histogram.h"
#include "feed/book.h"
#include "wire/itch.h"

/* How single messages are timed. */
struct numi_bench_single {
    struct numi_histogram *latency; /* ticks of each */
    uint32_t cold_each; /* 0: all are timed; n: every n-th, after the caches are emptied */
    uint32_t reserved;
};

/* Decodes `size` bytes of bare ITCH, a batch at a time, and applies each batch, growing where need
 * be. With `single` events are applied one by one instead, and timed: a run of its own, since
 * looking at the clock takes longer than a message. Returns the ticks that it all took; `messages`
 * how many events, `used` how many bytes. */
NUMI_API uint64_t numi_bench_decode_book(struct numi_itch_decoder *decoder,
                                         struct numi_books *books, const uint8_t *bytes,
                                         uint64_t size, const struct numi_bench_single *single,
                                         uint64_t *messages, uint64_t *used);

/* Every order id in whole messages of bare ITCH becomes another one, far from its neighbours: the
 * same one the same each time, no two alike. */
NUMI_API void numi_bench_scatter_ids(uint8_t *bytes, uint64_t size);

#endif
