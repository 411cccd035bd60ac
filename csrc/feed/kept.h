/* Packets kept in the order they came, in a ring of bytes; where it is full the oldest go.
 *
 *   | packet | packet | .... free .... | packet | packet | unused |
 *   0                 tail           head               wrap     size      (once it has wrapped)
 *
 * A packet lies in one piece. */
#ifndef NUMI_FEED_KEPT_H
#define NUMI_FEED_KEPT_H

#include "base/types.h"

struct numi_kept_packet {
    int64_t rx_ns;
    uint32_t size;
    uint16_t flags;
    uint16_t reserved;
    uint8_t bytes[];
};

struct numi_kept {
    uint8_t *ring;
    uint64_t size;
    uint64_t head, tail; /* the oldest; where the next one goes */
    uint64_t wrap;       /* the oldest ones end here, the others lie from 0 to tail */
    uint64_t count;
};

/* NUMI_ERR_NO_MEMORY. */
int numi_kept_open(struct numi_kept *kept, uint64_t size);
void numi_kept_close(struct numi_kept *kept);

/* How many packets had to go for it. It fits into the ring alone. */
uint64_t numi_kept_push(struct numi_kept *kept, const uint8_t *payload, uint32_t size,
                        int64_t rx_ns, uint16_t flags);

/* The oldest, which leaves: valid until the next push. NULL where there is none. */
struct numi_kept_packet *numi_kept_pop(struct numi_kept *kept);

/* The one behind `at`, NULL behind the last; the oldest for NULL. */
const struct numi_kept_packet *numi_kept_after(const struct numi_kept *kept,
                                               const struct numi_kept_packet *at);

void numi_kept_clear(struct numi_kept *kept);

#endif
