/* The event: what one message on the wire said, in 64 bytes, whatever the protocol.
 *
 * A field that the message does not carry is 0 (side: NONE), and nobody fills it in later. The
 * price is the wire's own integer. */
#ifndef NUMI_WIRE_EVENT_H
#define NUMI_WIRE_EVENT_H

#include "base/types.h"

enum numi_side {
    NUMI_SIDE_BID = 0,
    NUMI_SIDE_ASK = 1,
    NUMI_SIDE_NONE = 255,
};

enum numi_event_flag {
    NUMI_EVENT_STAMP_SOURCE = 0x000F, /* enum numi_stamp_source */
    NUMI_EVENT_STAMP_DOMAIN = 0x00F0, /* enum numi_domain, shifted by 4 */
    NUMI_EVENT_STAMP = 0x00FF,
    NUMI_EVENT_NOT_PRINTABLE = 0x0100, /* an execution that no volume counts */
};

enum numi_event_kind {
    NUMI_EVENT_GAP = 0, /* all other kinds are the wire's type letter */
};

struct numi_event {
    uint64_t sequence; /* the session's message number; a bare file counts from 1 */
    uint64_t order;    /* a replace: the old id; a gap: its first sequence */
    int64_t price;     /* the wire's integer; the instrument table has the scale */
    uint64_t quantity;
    uint64_t aux;         /* match id; a replace: the new order id; a gap: its last sequence */
    uint64_t exchange_ns; /* the wire's count; ITCH: since midnight in New York */
    int64_t rx_ns;        /* when its packet was received, on the clock that flags name */
    uint32_t instrument;  /* dense, by first appearance */
    uint8_t kind;         /* the wire's type letter, 0 a declared gap */
    uint8_t side;         /* enum numi_side */
    uint16_t flags;       /* enum numi_event_flag */
};

#ifndef NUMI_CDEF
static_assert(sizeof(struct numi_event) == 64,
              "one cache line, and what journals and other languages read");
#endif

struct numi_event_hash;

/* The event hash: XXH3-64, seed 0, over the records one after the other, receive time and stamp
 * bits zeroed. NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_event_hash_open(struct numi_event_hash **out);
NUMI_API void numi_event_hash_close(struct numi_event_hash *hash);
NUMI_API void numi_event_hash_add(struct numi_event_hash *hash, const struct numi_event *events,
                                  uint64_t count);
NUMI_API uint64_t numi_event_hash_digest(const struct numi_event_hash *hash);

#endif
