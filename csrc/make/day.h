/* A synthetic trading day in ITCH 5.0: every message type, books that never cross, executions at
 * the front of the best level.
 *
 *   numi_day_open -> numi_day_next (bytes) ... (0) -> numi_day_close
 *
 * The same options give the same bytes, on any machine: integers only, random streams of its own
 * (make/random.h). Passive: after open it allocates nothing, reads no clock and makes no system
 * call.
 *
 * The day: system event O, the directory (R for each symbol; V, H, Y, L), S at 04:00, order flow,
 * imbalances, Q at 09:30 with opening crosses, flow with halts and all the rarer messages,
 * imbalances, M at 16:00 with closing crosses, flow, E and C just before 20:00 New York.
 *
 * The flow: types are drawn by their share (45% add, 41% delete, 5% replace, 5% execute, 3% cancel,
 * 1% trades). Whether an order is added or deleted keeps the number of orders alive where it
 * should be; which order ends, its lifetime says (lognormal). Symbols are drawn by Zipf's law,
 * prices lie around a touch that wanders, and are moved back to the near side of what rests. */
#ifndef NUMI_MAKE_DAY_H
#define NUMI_MAKE_DAY_H

#include "base/types.h"

enum numi_day_limit {
    NUMI_DAY_SYMBOL_MAX = 65000,
    NUMI_DAY_MESSAGE_MIN = 100, /* from 1,000 on every type occurs */
    NUMI_DAY_LIVE_MAX = 100000000,
    NUMI_DAY_TYPE_COUNT = 23,
    NUMI_DAY_CHUNK_MIN = 64, /* bytes: room for any message */
};

struct numi_day_options {
    uint64_t messages; /* of the whole day, exactly */
    uint64_t seed;
    uint64_t live; /* orders alive at the peak, reached after a tenth of the day; 0: by the size */
    uint32_t symbols; /* at most a fifth of the messages: more are left out */
    uint32_t reserved;
};

struct numi_day_counts {
    uint64_t messages; /* so far */
    uint64_t bytes;    /* with the lengths */
    uint64_t live;     /* orders in the books now */
    uint64_t live_peak;
    uint64_t by_type[23]; /* in the order of NUMI_ITCH_TYPES */
    uint32_t symbols;     /* in use */
    uint32_t reserved;
};

struct numi_day;

/* A day at its beginning. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY. Memory: 64 bytes an order alive at
 * the peak, 8.4 KiB a symbol (2.3 beyond 16,384 of them). */
NUMI_API int numi_day_open(struct numi_day **out, const struct numi_day_options *options);
NUMI_API void numi_day_close(struct numi_day *day);

/* Fills `bytes` with whole messages, each behind its length in two bytes, as a bare ITCH file has
 * them. Returns how many bytes, 0 at the end of the day. NUMI_ERR_ARGUMENT: fewer than
 * NUMI_DAY_CHUNK_MIN. */
NUMI_API int64_t numi_day_next(struct numi_day *day, uint8_t *bytes, uint64_t size);

NUMI_API void numi_day_count(const struct numi_day *day, struct numi_day_counts *counts);

#endif
