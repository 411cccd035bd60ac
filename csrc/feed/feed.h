/* The feed: from ports to books.
 *
 *   port A --\                                        /--> events, their hash
 *   port B ---> merge --> [ring] --> decode --> books ---> state hash
 *   recovery/     front                 back
 *
 * step(now) takes frames from the ports in the order of their arrival over all lines, whatever the
 * batch: arrival is the stamp where its clock is the one of `now`, else the `now` of the step that
 * took it; of frames that came at once the preferred line's is first. When every port was polled
 * empty, time is `now`. So batch 1 and batch 64, one thread or two stages give the same events and
 * the same books, as long as no pool and no queue overflowed.
 *
 * One thread steps all of it, or, with `staged`, one the front and another the back, with a ring
 * between and one for the frames' way home.
 *
 * Events of a step lie in a buffer of fixed size; a step ends when it is full, or before the first
 * event of another session, and goes on with the next one. Books are cleared when a session begins,
 * instruments count anew.
 *
 * The pool's sum: `pending_max` held and one that goes on with the output, one kept of a session
 * not heard before, one being decoded, `batch` taken from each port, and with stages those in the
 * ring: open refuses a smaller pool. */
#ifndef NUMI_FEED_FEED_H
#define NUMI_FEED_FEED_H

#include "disk/tape.h"
#include "feed/book.h"
#include "feed/merge.h"
#include "feed/recovery.h"
#include "port/port.h"
#include "wire/itch.h"

enum numi_feed_limit {
    NUMI_FEED_PORT_MAX = 8,
    NUMI_FEED_BATCH_MAX = 256,
    NUMI_FEED_RING_MAX = 1 << 16,
};

struct numi_feed_options {
    struct numi_merge_options merge;
    struct numi_books_options books;
    uint32_t keeps_books; /* 0: events alone */
    uint32_t hashes;      /* 1: the event hash is kept */
    uint32_t event_max;   /* of a step */
    uint32_t batch;       /* frames taken from a port at once */
    uint32_t domain;      /* enum numi_domain: the clock of `now` */
    uint32_t staged;      /* runs in the ring, a power of two; 0: one thread */
};

struct numi_feed_counts {
    struct numi_ledger ledger; /* of all ports and the merge */
    uint64_t frames;           /* taken from ports */
    uint64_t events;
    uint64_t rejected;       /* messages that are none, by the decoder's reasons */
    uint64_t event_reallocs; /* 0: the buffer never grows */
    uint64_t ring_full;      /* times that the front had to wait for the back */
};

struct numi_feed;

NUMI_API void numi_feed_defaults(struct numi_feed_options *options);

/* Ports, pool and all that they stand on outlive the feed. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY.
 */
NUMI_API int numi_feed_open(struct numi_feed **out, const struct numi_feed_options *options,
                            struct numi_pool *pool, struct numi_port *const *ports,
                            uint32_t port_count);
NUMI_API void numi_feed_close(struct numi_feed *feed);

/* At most `frame_max` frames that arrived until `now_ns`. Returns how many it took, plus 1 where
 * events wait (numi_feed_events); 0: nothing is left to do at this time. A port's error when all
 * before it is out, NUMI_ERR_NO_MEMORY of the books. */
NUMI_API int64_t numi_feed_step(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max);

/* The two halves, with stages: each by one thread. */
NUMI_API int64_t numi_feed_step_front(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max);
NUMI_API int64_t numi_feed_step_back(struct numi_feed *feed);

/* Whether there are two stages; whether the front holds what found no room in the ring. */
NUMI_API int numi_feed_is_staged(const struct numi_feed *feed);
NUMI_API int numi_feed_front_waits(const struct numi_feed *feed);

/* From now on all that comes in goes onto the tape, in its order: frames when they are taken from
 * their ports, then the step that took them, where it changed something; what ports counted once a
 * second of `now`, and at the end. Before the first step, for
 * a tape that can be replayed; NULL: no longer. The tape outlives the feed, and its writer is
 * stepped by somebody else. */
NUMI_API void numi_feed_record(struct numi_feed *feed, struct numi_tape *tape);

/* From now on gaps are told to a recovery, whose port is among the feed's: before the first step.
 * It outlives the feed, and is stepped by somebody else. NUMI_ERR_ARGUMENT: no port is its own. */
NUMI_API int numi_feed_recover(struct numi_feed *feed, struct numi_recovery *recovery);

/* No port will bring anything any more: gaps are declared. Steps bring out the rest. */
NUMI_API void numi_feed_flush(struct numi_feed *feed);

/* The events of the last step, `count` of them; valid until the next. */
NUMI_API const struct numi_event *numi_feed_events(const struct numi_feed *feed, uint32_t *count);

/* When something happens by itself or a frame arrives, as far as ports know. */
NUMI_API int64_t numi_feed_due(struct numi_feed *feed);

/* Adds up. With stages while both rest. */
NUMI_API void numi_feed_counts(const struct numi_feed *feed, struct numi_feed_counts *counts);

/* Each lives as long as the feed. */
NUMI_API struct numi_merge *numi_feed_merge(const struct numi_feed *feed);
NUMI_API struct numi_books *numi_feed_books(const struct numi_feed *feed);
NUMI_API const struct numi_itch_decoder *numi_feed_decoder(const struct numi_feed *feed);

/* Over all events so far; 0 where it is not kept. */
NUMI_API uint64_t numi_feed_event_hash(const struct numi_feed *feed);

/* As numi_books_hash, by the locates of the session. NUMI_ERR_ARGUMENT without books. */
NUMI_API int numi_feed_state_hash(const struct numi_feed *feed, uint8_t *digest);

#endif
