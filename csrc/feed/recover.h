/* Recover: which messages to ask for again, of whom, and when to stop.
 *
 *   gaps of the merge --step--> requests out          (a MoldUDP64 request is a header alone)
 *   reply packets  ----reply--> what they were; a good one then goes into the merge as any packet
 *   what cannot be had --given_up--> the merge declares it lost
 *
 * A message is asked for once it has been missing for `patience_ns`: mostly the other line brings
 * it. One request is answered by one packet, with as many messages as fit: what remains is asked
 * for at once. A request without an answer is over after `timeout_ns`; its messages are asked for
 * again after `backoff_ns`, doubled with each time-out up to `backoff_max_ns`, of another server if
 * there is one:
 *
 *   known --patience--> due --request--> asked --reply--> not missing any more
 *                        ^                 |
 *                        +--- back-off ----+ time-out       attempts_max, give_up_ns: given up
 *
 * A reply counts for a request only when it comes from the server that was asked, is of the
 * session, begins with the first message asked for, has no more than was asked for and says its
 * lengths right; any other is counted by its reason and settles nothing. A server that lets
 * `failures_max` requests in a row go by without an answer rests for `rest_ns`: others are rather
 * asked.
 *
 * Chance (`jitter_ns`) follows from the seed, the message and the attempt alone: neither the order
 * nor the number of steps enters it.
 *
 * Passive: no clock, no I/O, and no allocation after open. A step looks once at each range that is
 * missing; of more than `range_max` of them the lowest are worked on first. */
#ifndef NUMI_FEED_RECOVER_H
#define NUMI_FEED_RECOVER_H

#include "feed/coverage.h"
#include "feed/gap.h"
#include "wire/mold.h"

enum numi_recover_limit {
    NUMI_RECOVER_SERVER_MAX = 16,
    NUMI_RECOVER_OUTSTANDING_MAX = 256,
    NUMI_RECOVER_REQUEST_MAX = 65534, /* 0xFFFF would be the end of the session */
    NUMI_RECOVER_RANGE_MAX = 1 << 20,
    NUMI_RECOVER_ATTEMPTS_MAX = 1 << 20,
};

enum numi_recover_policy {
    NUMI_RECOVER_ROUND_ROBIN, /* the servers in turn */
    NUMI_RECOVER_FAIL_OVER,   /* the first one that does not rest */
};

struct numi_recover_options {
    uint32_t servers;       /* how many there are */
    uint32_t policy;        /* enum numi_recover_policy */
    uint32_t request_max;   /* messages in a request */
    uint32_t coalesce;      /* so many messages between two gaps are rather asked for with them */
    uint32_t outstanding;   /* requests that wait for an answer at once */
    uint32_t attempts_max;  /* time-outs of a message before it is given up */
    uint32_t failures_max;  /* time-outs of a server in a row before it rests */
    uint32_t range_max;     /* ranges worked on at once */
    int64_t patience_ns;    /* from known to due */
    int64_t timeout_ns;     /* from request to time-out */
    int64_t backoff_ns;     /* from the first time-out to the next request */
    int64_t backoff_max_ns; /* the longest back-off */
    int64_t jitter_ns;      /* at most so much is added to a back-off */
    int64_t rest_ns;        /* a server that fails is left alone for so long */
    int64_t give_up_ns;     /* from known to given up, whatever was tried */
    uint64_t seed;
};

/* What a reply was. */
#define NUMI_REPLY_LIST(X)                                                                         \
    X(OK, ok)                     /* settles a request, wholly or in part */                       \
    X(SHORT_HEADER, short_header) /* as enum numi_mold_reason */                                   \
    X(SHORT_BLOCK, short_block)                                                                    \
    X(TRAILING, trailing)                                                                          \
    X(OTHER_SESSION, other_session)                                                                \
    X(EMPTY, empty)               /* a heartbeat or an end of session: no message */               \
    X(UNASKED, unasked)           /* no request waits that begins there: late, twice, wrong */     \
    X(OTHER_SERVER, other_server) /* one waits, but for another server */                          \
    X(TOO_MANY, too_many)         /* more messages than were asked for */

#define NUMI_REPLY_ENUM(name, text) NUMI_REPLY_##name,

enum numi_reply { NUMI_REPLY_LIST(NUMI_REPLY_ENUM) NUMI_REPLY_COUNT };

/* A request to be sent to a server: `bytes`, all 20. */
struct numi_request {
    uint64_t sequence;
    uint32_t count;
    uint32_t server;
    uint8_t bytes[20];
    uint8_t reserved[4];
};

struct numi_recover_counts {
    uint64_t requests;   /* sent */
    uint64_t repeated;   /* of them, with a message that was asked for before */
    uint64_t asked;      /* messages in them */
    uint64_t answered;   /* messages in the replies that settled one */
    uint64_t partial;    /* replies that left a rest */
    uint64_t timeouts;   /* requests without an answer */
    uint64_t overtaken;  /* requests whose messages all came from elsewhere */
    uint64_t given_up;   /* messages */
    uint64_t rests;      /* times that a server was left alone */
    uint64_t deferred;   /* steps that found more ranges than range_max */
    uint64_t sessions;   /* that were stepped */
    uint64_t replies[9]; /* by enum numi_reply */
};

struct numi_recover;

/* What is usual: docs/recovery.md says why. */
NUMI_API void numi_recover_defaults(struct numi_recover_options *options);

/* NUMI_ERR_ARGUMENT names the option that is out of its range; NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_recover_open(struct numi_recover **out,
                               const struct numi_recover_options *options);
NUMI_API void numi_recover_close(struct numi_recover *recover);

/* All that is missing of `session` (10 bytes), ascending and apart; another session than last time
 * begins anew. Returns how many requests were written, at most `room`; what had no room is due in
 * the next step. NUMI_ERR_ARGUMENT where the gaps are not in order: nothing has changed. */
NUMI_API int numi_recover_step(struct numi_recover *recover, int64_t now_ns, const uint8_t *session,
                               const struct numi_gap *gaps, uint64_t gap_count,
                               struct numi_request *requests, uint32_t room);

/* A packet that came from a server; returns enum numi_reply. NUMI_REPLY_OK: push it into the merge,
 * else it will be asked for again. UNASKED, OTHER_SERVER and TOO_MANY are whole packets of the
 * session, a late answer mostly: they settle nothing, and the merge may have them all the same.
 * NUMI_ERR_ARGUMENT: there is no such server. */
NUMI_API int numi_recover_reply(struct numi_recover *recover, int64_t now_ns, uint32_t server,
                                const uint8_t *payload, uint64_t size);

/* Ranges that were given up since the last call: each message once, as long as it stays missing.
 * Returns how many were written. */
NUMI_API int numi_recover_given_up(struct numi_recover *recover, struct numi_range *ranges,
                                   uint32_t room);

/* Requests that wait for an answer. */
NUMI_API uint32_t numi_recover_outstanding(const struct numi_recover *recover);

NUMI_API const struct numi_recover_counts *numi_recover_counts(const struct numi_recover *recover);
NUMI_API const char *numi_reply_name(uint32_t reply);

#endif
