/* The bare probe of the books: what any book with queues has to touch, and nothing else.
 *
 * A slot for each order id, orders of 16 bytes linked in their queues, levels of 32 bytes in a hash
 * table; messages are read where they lie. It makes no events, checks nothing, knows no best price,
 * and takes for granted that ids are small: a floor to hold the books against, not a book. */
#ifndef NUMI_BENCH_PROBE_H
#define NUMI_BENCH_PROBE_H

#include "base/types.h"

/* Runs over `size` bytes of bare ITCH, with or without looking ahead. Returns the ticks that it
 * took and through `messages` how many there were; 0 where ids are too large for slots or there is
 * no memory. */
NUMI_API uint64_t numi_bench_probe_book(const uint8_t *bytes, uint64_t size, int looks_ahead,
                                        uint64_t *messages);

#endif
