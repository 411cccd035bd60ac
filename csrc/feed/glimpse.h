/* Glimpse: a snapshot of the book, and the live feed from just behind it.
 *
 *   SoupBinTCP  --client--> | messages of the snapshot | G, sequence |
 *   live lines  --keep----> | kept packets ............................|
 *   next:         CLEAR, SNAPSHOT ..., then TAIL ..., and from then on the lines themselves
 *
 * A snapshot is a series of messages that build the book, and a last one, 'G' and 20 digits, with
 * the place in the live feed where it was taken. The login asks for sequence 1, always; a
 * connection that breaks makes the snapshot worthless, and another one is taken.
 *
 * What the number means. NASDAQ's GLIMPSE specification (read in its version 3.1) says that
 * the snapshot message denotes where one begins to process the real-time feed: it is the first
 * message to apply, FIRST_TO_APPLY. In their words it is also the feed's "sequence number when the
 * spin was requested", which taken alone could be read as that of the last message applied; venues
 * that mean this are LAST_APPLIED. One too few is a message applied twice, one too many a message
 * lost, and neither shows in the sequences: so check it with each venue.
 *
 *   kept:          |--- below: dropped ---|--- applied ... live
 *   G:                                  first            one packet may be cut in two
 *
 * The first TAIL is a heartbeat with the first sequence to apply, so that a merge which was just
 * opened begins there. Where the kept packets begin only behind it, up to `gap_max` messages are
 * left to requests (feed/recover.h); of a larger gap another snapshot is taken, which is younger.
 * Packets are kept in `keep_size` bytes; where they are more the oldest go, and the rule above
 * decides. A new session drops what was kept, and another snapshot is taken.
 *
 * Passive: no clock, no I/O, no allocation after open. */
#ifndef NUMI_FEED_GLIMPSE_H
#define NUMI_FEED_GLIMPSE_H

#include "feed/soup_client.h"

enum numi_glimpse_limit {
    NUMI_GLIMPSE_MARK_SIZE = 1 + NUMI_SOUP_NUMBER_SIZE,
    NUMI_GLIMPSE_KEEP_MIN = 1 << 17, /* two packets of any size */
    NUMI_GLIMPSE_KEEP_MAX = 1 << 30,
};

enum numi_glimpse_mark {
    NUMI_GLIMPSE_FIRST_TO_APPLY,
    NUMI_GLIMPSE_LAST_APPLIED,
};

#define NUMI_GLIMPSE_STATE_LIST(X)                                                                 \
    X(WAITING, waiting) /* until it is time for a snapshot */                                      \
    X(TAKING, taking)                                                                              \
    X(TAKEN, taken)     /* whole; the live feed has not shown up yet */                            \
    X(JOINING, joining) /* what was kept is handed out */                                          \
    X(JOINED, joined)   /* packets need not be kept any more */                                    \
    X(FAILED, failed)   /* snapshots_max were tried */

#define NUMI_GLIMPSE_STATE_ENUM(name, text) NUMI_GLIMPSE_##name,

enum numi_glimpse_state { NUMI_GLIMPSE_STATE_LIST(NUMI_GLIMPSE_STATE_ENUM) };

/* Why a snapshot was of no use. */
#define NUMI_GLIMPSE_LOSS_LIST(X)                                                                  \
    X(LATE, late)               /* not whole within snapshot_ns */                                 \
    X(BROKEN, broken)           /* the connection ended before the snapshot did */                 \
    X(NO_SERVER, no_server)     /* the client has failed */                                        \
    X(NOT_WHOLE, not_whole)     /* did not begin with sequence 1 */                                \
    X(BAD_MARK, bad_mark)       /* a 'G' without a number, or with one that has no next */         \
    X(TOO_OLD, too_old)         /* more than gap_max messages before what is kept */               \
    X(NEW_SESSION, new_session) /* of the live feed */

#define NUMI_GLIMPSE_LOSS_ENUM(name, text) NUMI_GLIMPSE_LOSS_##name,

enum numi_glimpse_loss { NUMI_GLIMPSE_LOSS_LIST(NUMI_GLIMPSE_LOSS_ENUM) NUMI_GLIMPSE_LOSS_COUNT };

enum numi_glimpse_kind {
    NUMI_GLIMPSE_CLEAR,    /* a snapshot begins: whatever was built so far is void */
    NUMI_GLIMPSE_SNAPSHOT, /* messages of the snapshot; their sequences are its own */
    NUMI_GLIMPSE_TAIL,     /* a packet of the live feed, for the merge */
};

struct numi_glimpse_options {
    uint32_t mark;          /* enum numi_glimpse_mark */
    uint32_t snapshots_max; /* tries; 0: no end */
    uint64_t keep_size;     /* bytes for live packets, taken at open */
    uint64_t gap_max;       /* messages between snapshot and kept packets, left to requests */
    int64_t snapshot_ns;    /* from its beginning to its end */
    int64_t again_ns;       /* before another one is taken */
};

struct numi_glimpse_part {
    const uint8_t *payload; /* a MoldUDP64 packet; NULL for CLEAR */
    uint64_t size;
    int64_t rx_ns; /* of a live packet */
    uint32_t kind; /* enum numi_glimpse_kind */
    uint16_t flags;
    uint16_t reserved;
};

struct numi_glimpse_counts {
    uint64_t snapshots; /* begun */
    uint64_t messages;  /* of snapshots, handed out */
    uint64_t behind;    /* messages behind a 'G', ignored */
    uint64_t joins;
    uint64_t gap;       /* messages between snapshot and kept packets, at joins */
    uint64_t kept;      /* live packets */
    uint64_t overflow;  /* of them, dropped for lack of room */
    uint64_t below;     /* of them, all in the snapshot already */
    uint64_t cut;       /* of them, in part in the snapshot already */
    uint64_t malformed; /* live packets that are none */
    uint64_t stale;     /* of the session before */
    uint64_t losses[7]; /* by enum numi_glimpse_loss */
};

struct numi_glimpse;

/* What is usual: docs/recovery.md says why. */
NUMI_API void numi_glimpse_defaults(struct numi_glimpse_options *options);

/* `client` as for a client; its sequence is not looked at. NUMI_ERR_ARGUMENT names the option that
 * is out of its range; NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_glimpse_open(struct numi_glimpse **out,
                               const struct numi_glimpse_options *options,
                               const struct numi_soup_client_options *client);
NUMI_API void numi_glimpse_close(struct numi_glimpse *glimpse);

/* The client, for whoever holds its connection: all but step, next and restart is theirs. */
NUMI_API struct numi_soup_client *numi_glimpse_client(struct numi_glimpse *glimpse);

/* What time brings; returns what numi_soup_client_step does. */
NUMI_API int numi_glimpse_step(struct numi_glimpse *glimpse, int64_t now_ns);

/* A live packet: 1 where it is taken care of, 0 where all is joined and it is the merge's. */
NUMI_API int numi_glimpse_keep(struct numi_glimpse *glimpse, int64_t now_ns, const uint8_t *payload,
                               uint64_t size, int64_t rx_ns, uint16_t flags);

/* 1 and the next part, valid until the next call of any function here; 0 without. */
NUMI_API int numi_glimpse_next(struct numi_glimpse *glimpse, int64_t now_ns,
                               struct numi_glimpse_part *part);

/* The first sequence of the live feed to apply; 0 before a snapshot is whole. */
NUMI_API uint64_t numi_glimpse_first(const struct numi_glimpse *glimpse);

NUMI_API uint32_t numi_glimpse_state(const struct numi_glimpse *glimpse);
NUMI_API const struct numi_glimpse_counts *numi_glimpse_counts(const struct numi_glimpse *glimpse);
NUMI_API const char *numi_glimpse_state_name(uint32_t state);
NUMI_API const char *numi_glimpse_loss_name(uint32_t loss);

#endif
