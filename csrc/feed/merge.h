/* Merge: packets of several lines in, every message once and in order out.
 *
 *     A ----\                       +--> run --> run --> ...     messages, or a declared gap
 *     B -----> push --> [ window ] -+
 *   recovery /            gaps, what waits behind them
 *
 *   push(packet) -> next(run) ... next(run), 0 -> push ...      when time passes: advance(now)
 *
 * The first copy of a message wins. A packet that goes on where the output stands is handed out as
 * it lies, without a copy; of a packet that was seen in part, the unseen part: lines may cut
 * packets differently. What comes ahead of a gap is held (feed/window.h). A gap ends when
 *
 *   - copies fill it;
 *   - it has been known for `gap_timeout_ns`: then it is declared, a run without bytes, and what
 *     waited goes out. A packet that comes at that very time still fills it;
 *   - recovery gives it up (numi_merge_give_up), or nothing more will come (numi_merge_flush);
 *   - it was known beforehand (numi_merge_expect): offline, captures can be read twice.
 *
 * What lies `window` sequences or more ahead of the output is out of the window: not held, whoever
 * sends it. When packets agree that the stream is there, and nothing else has come for
 * `gap_timeout_ns`, the output jumps to them: the gap between is declared. One packet alone, whose
 * header may have been damaged, moves nothing.
 *
 * Sessions. A packet of a session that was not heard before is kept; when `agree` packets have
 * named it, or the session before has ended, it begins: what waits for gaps goes out, the gaps are
 * declared, and the new one begins with the lowest of these packets. Packets of the sessions before
 * are stale. Where numbering can begin anew within a session (`restart_ns`), sequence 1 does so
 * after nothing new came for that long.
 *
 * Copies of a message are compared with the first one, by digest, as long as its record is kept
 * (feed/copies.h). Which line is preferred: feed/preference.h.
 *
 * Frames. With a pool, packets are its frames and belong to the merge from push on. It gives back
 * that of a duplicate, stale or out-of-window packet before its drop is counted, and that of a
 * delivered one at the call after its last run; or it hands them over (`hands_over`), and whoever
 * took a run that says `release` gives the frame back. Without a pool, payloads are the caller's,
 * and what has to wait is copied.
 *
 * Passive: no clock, no I/O. With a pool nothing is allocated after open. */
#ifndef NUMI_FEED_MERGE_H
#define NUMI_FEED_MERGE_H

#include "base/ledger.h"
#include "feed/copies.h"
#include "feed/coverage.h"
#include "feed/gap.h"
#include "feed/preference.h"
#include "frame/pool.h"
#include "wire/mold.h"

enum numi_numbering {
    NUMI_NUMBERED_BY_MOLD,
    NUMI_NUMBERED_BY_OFFSET, /* one message a packet, its number at an offset */
};

enum numi_merge_limit {
    NUMI_MERGE_ONE = 2,                /* beside what else push returns */
    NUMI_MERGE_SESSIONS = 8,           /* over, whose packets are known to be stale */
    NUMI_MERGE_LOST_MAX = 1 << 12,     /* declared gaps that are remembered */
    NUMI_MERGE_COMPARED_MAX = 1 << 24, /* records of copies */
};

struct numi_merge_options {
    uint64_t window;         /* sequences ahead of the output that are held; 0: all */
    uint64_t window_max;     /* greater: the window widens to it when needed, and shrinks again */
    uint64_t first_sequence; /* of a session; 0: that of its first packet */
    int64_t gap_timeout_ns;  /* 0: a gap is never declared for its age */
    int64_t dwell_ns;
    int64_t silence_ns;       /* after which a line raises the alarm; 0: never */
    int64_t restart_ns;       /* 0: numbering never begins anew within a session */
    uint32_t pending_max;     /* packets held at once; 0: all that memory allows, without a pool */
    uint32_t compared;        /* records of copies, a power of two; 0: none */
    uint32_t agree;           /* packets that have to, 1 or 2 */
    uint32_t line_count;      /* 1 or 2 */
    uint32_t primary;         /* line that is preferred at first */
    uint32_t leave_after;     /* packets of the other line, each new, in a row */
    uint32_t return_after;    /* likewise of the primary */
    uint32_t numbering;       /* enum numi_numbering */
    uint32_t sequence_offset; /* by offset: of the number in the payload */
    uint32_t sequence_size;   /* 4, which wraps, or 8 */
    uint32_t little_endian;
    uint32_t hands_over;
};

/* A packet, and when it came: order of arrival is the order of pushes. */
struct numi_merge_packet {
    const uint8_t *payload;
    uint64_t size;
    int64_t now_ns; /* arrival, on the clock that drives the merge */
    int64_t rx_ns;  /* the stamp, for events */
    uint32_t frame; /* in the pool */
    uint16_t flags; /* of the stamp, for events */
    uint8_t line;   /* enum numi_merge_line */
    uint8_t unused;
};

/* A stretch of the merged output: messages, or a declared gap. */
struct numi_merge_run {
    const uint8_t *bytes; /* blocks of 2-byte lengths and messages; NULL: a gap */
    uint64_t size;
    uint64_t sequence; /* of the first message, or the first one missing */
    uint64_t count;    /* messages, or how many are missing */
    int64_t rx_ns;
    uint32_t frame;
    uint16_t flags;
    uint8_t line;
    bool begins_session; /* nothing of this session has gone out before */
    bool is_bare;        /* one message without a length before it */
    bool release;        /* handed over: the frame is given back after this run */
};

struct numi_line_state {
    uint64_t silences; /* alarms raised */
    int64_t last_ns;   /* when its last packet came; INT64_MIN before the first */
    bool is_silent;
};

struct numi_merge_counts {
    struct numi_ledger ledger;
    uint64_t mold_reasons[4]; /* by enum numi_mold_reason; [0] is whole packets */
    uint64_t heartbeats;
    uint64_t ends_of_session;
    uint64_t sessions;     /* that have begun */
    uint64_t strays;       /* packets of sessions that nobody else named */
    uint64_t restarts;     /* of numbering within a session */
    uint64_t jumps;        /* over what no packet in the window came for */
    uint64_t gaps;         /* declared */
    uint64_t missing;      /* messages in them */
    uint64_t held_max;     /* packets held at once */
    uint64_t pending_full; /* packets out of the window because `pending_max` were held */
    uint64_t window;       /* as it is now; UINT64_MAX: unbounded */
    struct numi_line_state lines[2];
};

struct numi_merge;

/* What a live feed wants: a window of 65536, 20 ms, 4096 records, two lines. */
NUMI_API void numi_merge_defaults(struct numi_merge_options *options);

/* `pool` NULL: payloads are the caller's. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_merge_open(struct numi_merge **out, const struct numi_merge_options *options,
                             struct numi_pool *pool);

/* What is held goes back to the pool. */
NUMI_API void numi_merge_close(struct numi_merge *merge);

/* A UDP payload, whole; without a pool valid until the next push. What became of it, the counts
 * say. 1: there may be runs, all of which are taken (next returned 0) before the next push; 0:
 * there are none. NUMI_ERR_NO_MEMORY, without a pool. */
NUMI_API int numi_merge_push(struct numi_merge *merge, const struct numi_merge_packet *packet);

/* Many at once, where frames are handed over: takes packets from the first on as long as the output
 * goes on with them or has them already, nothing waits, and one line is preferred at their times.
 * Their runs, at most one each, go to `runs`, how many through `run_count`; next has none of them.
 * Returns how many packets it took: the one behind is pushed by itself. It is as if each had been.
 */
NUMI_API uint32_t numi_merge_push_many(struct numi_merge *merge,
                                       const struct numi_merge_packet *packets, uint32_t count,
                                       struct numi_merge_run *runs, uint32_t *run_count);

/* It is `now_ns`, and nothing that came before waits to be pushed. */
NUMI_API void numi_merge_advance(struct numi_merge *merge, int64_t now_ns);

/* When time alone changes something: advance to it, or later. INT64_MAX: never. */
NUMI_API int64_t numi_merge_due(const struct numi_merge *merge);

/* 1 and the next run, valid until the next call; 0 without. NUMI_ERR_NO_MEMORY, without a pool. */
NUMI_API int numi_merge_next(struct numi_merge *merge, const struct numi_merge_run **run);

/* Nothing more will come: what waits for a gap waits no longer. */
NUMI_API void numi_merge_flush(struct numi_merge *merge);

/* [from, to) of this session will not come. */
NUMI_API void numi_merge_give_up(struct numi_merge *merge, uint64_t from, uint64_t to);

/* The open gaps, the first `gap_max` of them; returns how many. */
NUMI_API uint32_t numi_merge_gaps(const struct numi_merge *merge, struct numi_gap *gaps,
                                  uint32_t gap_max);

/* The current session's name, NULL before the first. */
NUMI_API const uint8_t *numi_merge_session(const struct numi_merge *merge);

/* The sequence that the output goes on with. */
NUMI_API uint64_t numi_merge_sequence(const struct numi_merge *merge);

/* Says that a packet will be pushed, before any is. All of them, or none. NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_merge_expect(struct numi_merge *merge, const uint8_t *payload, uint64_t size);

/* Valid until close; their content until the next call. */
NUMI_API const struct numi_merge_counts *numi_merge_counts(const struct numi_merge *merge);
NUMI_API const struct numi_copies *numi_merge_copies(const struct numi_merge *merge);
NUMI_API const struct numi_preference *numi_merge_preference(const struct numi_merge *merge);

/* Puts out all records of copies, so that what lines missed is known to the end. */
NUMI_API void numi_merge_settle(struct numi_merge *merge);

#endif
