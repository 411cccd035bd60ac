/* Merge: MoldUDP64 packets of several lines in, every message once and in order out.
 *
 *   push(packet) -> next(run) ... next(run), 0 -> push ...      and at the end: flush -> next ...
 *
 * The first copy of a message wins. A packet that goes on where the output stands is handed out as
 * it lies, without a copy; of a packet that was seen in part, the unseen part. What comes ahead of
 * a gap is held (a copy) until the gap is filled, or known to be one:
 *
 *   - numi_merge_expect says beforehand what will come at all (offline, both captures can be read
 *     twice), so that a gap is declared the moment it is reached and little is ever held;
 *   - numi_merge_flush says that nothing more will come: gaps are declared, all that is held goes
 *     out.
 *
 * A packet of another session than the current one begins that session: the old one is flushed
 * first. One of the session before is stale. The window is unbounded.
 *
 * Passive: no clock, no I/O. It allocates when a packet has to be held. */
#ifndef NUMI_FEED_MERGE_H
#define NUMI_FEED_MERGE_H

#include "base/ledger.h"
#include "feed/coverage.h"
#include "wire/mold.h"

/* A stretch of the merged output: messages, or a declared gap. */
struct numi_merge_run {
    const uint8_t *bytes; /* blocks of 2-byte lengths and messages; NULL: a gap */
    uint64_t size;
    uint64_t sequence; /* of the first message, or the first one missing */
    uint64_t count;    /* messages, or how many are missing */
    int64_t rx_ns;
    uint16_t flags;
    bool begins_session; /* nothing of this session has gone out before */
};

struct numi_merge_counts {
    struct numi_ledger ledger;
    uint64_t mold_reasons[4]; /* by enum numi_mold_reason; [0] is whole packets */
    uint64_t heartbeats;
    uint64_t ends_of_session;
    uint64_t sessions; /* that have begun */
    uint64_t gaps;     /* declared */
    uint64_t missing;  /* messages in them */
    uint64_t held_max; /* packets held at once */
};

struct numi_merge;

#ifndef NUMI_CDEF

int numi_merge_open(struct numi_merge **out);
void numi_merge_close(struct numi_merge *merge);

/* A UDP payload, whole; valid until the next push. What it was, the counts say. All runs are taken
 * (next returned 0) before the next push. NUMI_ERR_NO_MEMORY. */
int numi_merge_push(struct numi_merge *merge, const uint8_t *payload, uint64_t size, int64_t rx_ns,
                    uint16_t flags);

/* 1 and the next run, valid until the next call; 0 without. NUMI_ERR_NO_MEMORY. */
int numi_merge_next(struct numi_merge *merge, struct numi_merge_run *run);

/* Nothing more will come: what waits for a gap waits no longer. */
void numi_merge_flush(struct numi_merge *merge);

/* Says that a packet will be pushed, before any is. All of them, or none. NUMI_ERR_NO_MEMORY. */
int numi_merge_expect(struct numi_merge *merge, const uint8_t *payload, uint64_t size);

const struct numi_merge_counts *numi_merge_counts(const struct numi_merge *merge);

#endif
#endif
