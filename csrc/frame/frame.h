/* A frame: one packet's place in the pool, and what is known of it.
 *
 *   slot of the pool, frame_size bytes
 *   |  head room  | link, IP, UDP headers |  payload           |   free   |
 *                                         ^ data_offset        ^ data_offset + data_size
 *                 <---- header_size ----->
 *
 * A frame's bytes are the UDP payload; the headers stay where the NIC put them, before it. The
 * descriptor lies apart from the bytes, so that a hot loop over descriptors pulls in one line each
 * and no packet. */
#ifndef NUMI_FRAME_FRAME_H
#define NUMI_FRAME_FRAME_H

#include "base/clock.h"
#include "base/types.h"

enum numi_frame_state {
    NUMI_FRAME_AVAILABLE,
    NUMI_FRAME_HELD,
    NUMI_FRAME_LENT,
};

enum numi_frame_flag {
    NUMI_FRAME_NOTICE = 1, /* no packet: word of another stage (feed/recovery.h) */
};

struct numi_frame {
    struct numi_stamp rx; /* when it was received, and by whose word */
    int64_t taken_ns;     /* the `now` of the step that took it from its port */
    uint64_t sequence;    /* of its first message, once known */
    uint32_t index;       /* of the slot in its pool; set once, at open */
    uint32_t data_offset; /* payload, from the start of the slot */
    uint32_t data_size;
    uint32_t wire_size;   /* bytes on the wire, which may be more than were captured */
    uint16_t header_size; /* bytes of headers kept right before the payload */
    uint16_t port;
    uint8_t line;
    uint8_t state; /* enum numi_frame_state; kept in check builds only */
    uint8_t flags; /* enum numi_frame_flag, or'ed */
    uint8_t reserved[9];
};

#ifndef NUMI_CDEF
static_assert(sizeof(struct numi_frame) == 64, "a frame's descriptor is one cache line");
#endif

#endif
