/* Recovery of a feed: the planner (feed/recover.h) beside the hot core, with rings between.
 *
 *   the feed's thread                               any other thread, or the same between steps
 *   merge --gaps--> [ latest list ] -------------->  ask  --> requests
 *   port "recovery" <-- [ ring of packets ] <------- reply <-- what a server sent
 *                                           <------- what was given up, as a notice
 *
 * The list is told when it has changed, and only the latest counts: neither side ever waits. It
 * says how many packets of the ring the feed has merged, and nothing is asked before it has merged
 * all: else what is on its way would be asked for again.
 *
 * What is given up goes the way of the replies, so it comes behind all that came before it, stands
 * on a tape with them, and is gone with its session. A reply that finds no room in the ring is as
 * one that was lost.
 *
 * A notice is a frame with the flag NUMI_FRAME_NOTICE and 26 bytes: session, the first message
 * given up, the first one behind them, both big-endian. */
#ifndef NUMI_FEED_RECOVERY_H
#define NUMI_FEED_RECOVERY_H

#include "feed/carry.h"
#include "feed/merge.h"
#include "feed/recover.h"
#include "port/port.h"

enum numi_recovery_limit {
    NUMI_RECOVERY_GAP_MAX = 1024, /* of more gaps the lowest are told */
    NUMI_RECOVERY_PACKET_MAX = 1 << 16,
    NUMI_RECOVERY_NOTICE_SIZE = 26,
};

struct numi_recovery_options {
    struct numi_recover_options recover;
    uint32_t packets;     /* in the ring, a power of two */
    uint32_t packet_size; /* bytes of the largest */
};

/* Of the side that asks. */
struct numi_recovery_counts {
    uint64_t lists;     /* that were looked at */
    uint64_t passed;    /* packets into the ring */
    uint64_t too_large; /* packets of more than packet_size */
    uint64_t no_room;   /* packets that found the ring full */
    uint64_t waits;     /* steps that asked nothing, since packets were on their way */
};

struct numi_recovery;

NUMI_API void numi_recovery_defaults(struct numi_recovery_options *options);

/* What numi_recover_open says; NUMI_ERR_ARGUMENT. */
NUMI_API int numi_recovery_open(struct numi_recovery **out,
                                const struct numi_recovery_options *options);

/* After the feed and its port. */
NUMI_API void numi_recovery_close(struct numi_recovery *recovery);

/* The port of the line "recovery", for one feed. NUMI_ERR_ARGUMENT: the pool's frames are smaller
 * than packets may be. */
NUMI_API int numi_recovery_open_port(struct numi_port **out, struct numi_recovery *recovery,
                                     struct numi_pool *pool);

#ifndef NUMI_CDEF
/* Whose port that is; NULL: another kind of port. */
struct numi_recovery *numi_recovery_of_port(const struct numi_port *port);
#endif

/* --- the feed's thread */

/* The gaps as they are, when all packets but the last `waiting` that were polled are merged. */
NUMI_API void numi_recovery_tell(struct numi_recovery *recovery, const struct numi_merge *merge,
                                 uint64_t waiting);

/* --- the thread that asks */

/* What to ask now; returns how many requests were written. Gives up what has to be. */
NUMI_API int numi_recovery_ask(struct numi_recovery *recovery, int64_t now_ns,
                               struct numi_request *requests, uint32_t room);

/* A packet that came from a server; returns enum numi_reply. Answers, and whole packets that come
 * late, go to the feed; one that has no room there counts as UNASKED, and its messages are asked
 * for again. NUMI_ERR_ARGUMENT: there is no such server. */
NUMI_API int numi_recovery_reply(struct numi_recovery *recovery, int64_t now_ns, uint32_t server,
                                 const uint8_t *payload, uint64_t size);

/* A packet for the feed of which nobody asked for a part: the replay of a session. Returns 1, 0
 * where it had no room. */
NUMI_API int numi_recovery_pass(struct numi_recovery *recovery, const uint8_t *payload,
                                uint64_t size);

/* Packets that the ring still has room for. */
NUMI_API uint32_t numi_recovery_room(const struct numi_recovery *recovery);

/* Asks over sockets and takes what came, bounded. With `carry` NULL nothing is asked, but what
 * nobody brings in time is given up all the same. Returns how much it did. */
NUMI_API int64_t numi_recovery_step(struct numi_recovery *recovery,
                                    struct numi_request_carry *carry, int64_t now_ns);

/* The replay of a session over its socket, bounded likewise. Returns how much it did; what
 * numi_soup_carry_step says. */
NUMI_API int64_t numi_recovery_step_session(struct numi_recovery *recovery,
                                            struct numi_soup_carry *carry,
                                            struct numi_soup_client *client, int64_t now_ns);

/* Valid until close. */
NUMI_API const struct numi_recovery_counts *
numi_recovery_counts(const struct numi_recovery *recovery);
NUMI_API const struct numi_recover_counts *
numi_recovery_planner_counts(const struct numi_recovery *recovery);

#endif
