/* A port: where frames come from, behind one table of functions.
 *
 *   poll(now) -> frames of the pool that arrived at or before `now`, in the order of arrival
 *
 * A frame's bytes are the UDP payload, its link header right before it. When a poll returns fewer
 * frames than there was room for, none that has arrived waits: the feed relies on that for its
 * order. Frames belong to the caller from then on.
 *
 * What the port does not hand out it counts: frames that are none of ours or malformed, in rows of
 * the ledger; frames that came while the pool was empty, as `no_frame`, which like all that the
 * kernel or the NIC dropped was never received. A counter that a port cannot know is absent. */
#ifndef NUMI_PORT_PORT_H
#define NUMI_PORT_PORT_H

#include "base/ledger.h"
#include "frame/pool.h"

enum numi_port_counter {
    NUMI_PORT_NO_FRAME = 1,
    NUMI_PORT_KERNEL_DROPS = 2,
    NUMI_PORT_NIC_DROPS = 4,
};

struct numi_port_counts {
    struct numi_ledger ledger; /* received, not_ours, malformed; what is handed out is not in it */
    uint64_t handed_out;
    uint64_t bytes;    /* on the wire */
    uint64_t no_frame; /* came while the pool was empty */
    uint64_t kernel_drops;
    uint64_t nic_drops;
    uint32_t present; /* enum numi_port_counter, or'ed */
    uint32_t unused;
};

struct numi_port;

#ifndef NUMI_CDEF

struct numi_port_ops {
    int (*poll)(struct numi_port *port, int64_t now_ns, uint32_t *frames, uint32_t frame_max);
    int64_t (*next_ns)(struct numi_port *port);
    void (*close)(struct numi_port *port);
};

/* The head of every port. */
struct numi_port {
    const struct numi_port_ops *ops;
    struct numi_pool *pool;
    struct numi_port_counts counts;
    uint16_t number;
    uint8_t line;
};

/* Up to `frame_max` frames, their indices into `frames`; what they are stands in their descriptors.
 * Returns how many, or an error of the port's own. */
static inline int numi_port_poll(struct numi_port *port, int64_t now_ns, uint32_t *frames,
                                 uint32_t frame_max) {
    return port->ops->poll(port, now_ns, frames, frame_max);
}

#endif

/* When the next frame arrives, where that is known: a schedule, a capture. INT64_MAX: none will;
 * INT64_MIN: who knows. */
NUMI_API int64_t numi_port_next_ns(struct numi_port *port);
NUMI_API const struct numi_port_counts *numi_port_counts(const struct numi_port *port);

/* Its frames must have been given back. */
NUMI_API void numi_port_close(struct numi_port *port);

#endif
