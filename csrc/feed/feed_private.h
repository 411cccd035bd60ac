/* The parts of the feed (feed/feed.h), for those who make them up:
 *
 *   feed.c           open, decode and books, the way through the merge, steps
 *   feed_gather.c    frames of all ports in the order of their arrival */
#ifndef NUMI_FEED_FEED_PRIVATE_H
#define NUMI_FEED_FEED_PRIVATE_H

#include "feed/feed.h"
#include "frame/ring.h"

/* Slots lie a power of two apart, so the first lines of their payloads meet in a few sets of the
 * cache: of 64 under way most would be gone again before they are read (docs/decisions/0008). */
enum {
    GATHERED_MAX = 16,
    AHEAD = 8, /* frames of a source whose bytes are on their way */
};

struct source {
    struct numi_port *port;
    uint32_t frames[NUMI_FEED_BATCH_MAX];
    uint32_t at;
    uint32_t count;
    int64_t next_ns; /* arrival of the frame at `at`; INT64_MAX: none is at hand */
};

/* Packets of all ports in the order of their arrival, and what the merge made of them. */
struct gathered {
    uint32_t packet_at;
    uint32_t packet_count;
    uint32_t run_at;
    uint32_t run_count;
    uint32_t preferred; /* the line that won ties: of all of them */
    uint8_t sources[GATHERED_MAX];
    struct numi_merge_packet packets[GATHERED_MAX];
    struct numi_merge_run runs[GATHERED_MAX];
};

/* From the merged output to the books; the back stage's own. */
struct back {
    struct numi_merge_run run; /* with stages: the one under way, what of it is not decoded yet */
    bool has_run;
    bool in_session;
    uint32_t event_count;
    struct numi_event *events;
    struct numi_itch_decoder *decoder;
    struct numi_books *books;
    struct numi_event_hash *hash;
    uint64_t event_total;
};

struct numi_feed {
    struct numi_feed_options options;
    struct numi_pool *pool;
    struct numi_merge *merge;
    struct source sources[NUMI_FEED_PORT_MAX];
    uint32_t source_count;
    int port_code; /* a port's error: told when all before it is out */
    uint64_t frames;
    uint64_t ring_full;
    struct numi_tape *tape;         /* NULL: nothing is recorded */
    struct numi_recovery *recovery; /* NULL: gaps are told to nobody */
    const struct source *recovered; /* its port's */
    int64_t now_ns;                 /* of the last step */
    int64_t counted_ns;             /* when port counters were last recorded */
    bool is_flushing;
    struct gathered gathered;
    struct numi_ring *runs;                           /* front to back */
    struct numi_ring *returns;                        /* frames, back to front */
    struct back back NUMI_ALIGNED(NUMI_SHARING_SIZE); /* another thread's, with stages */
};

static inline bool is_gathered(const struct numi_feed *feed) {
    return feed->gathered.packet_at < feed->gathered.packet_count;
}

static inline struct numi_frame *frame_at(const struct numi_feed *feed, const struct source *source,
                                          uint32_t at) {
    return &feed->pool->frames[source->frames[at]];
}

static inline bool is_packet(const struct numi_frame *frame) {
    return (frame->flags & NUMI_FRAME_NOTICE) == 0;
}

/* Frames that the back has done with. */
static inline void give_returned(struct numi_feed *feed) {
    uint32_t frames[64];
    int count;
    while (feed->returns != NULL && (count = numi_ring_pop_batch(feed->returns, frames, 64)) > 0)
        numi_pool_give_batch(feed->pool, frames, (uint32_t)count);
}

/* Gathers packets until a source has to be polled again: of one that gave all that had arrived
 * there is nothing more to be known at this time. A notice stands alone, and is heeded. Returns how
 * many frames were taken. */
uint32_t numi_feed_gather(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max);

/* Whether another line is preferred now than when packets were gathered: their order may be
 * another.
 */
bool numi_feed_is_outdated(const struct numi_feed *feed);

/* They go back where they came from. */
void numi_feed_ungather(struct numi_feed *feed);

#endif
