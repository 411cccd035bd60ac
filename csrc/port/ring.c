#include "port/ring.h"

#include <stdlib.h>

#include "base/error.h"

struct fed {
    struct numi_port port;
    struct numi_ring *ring;
};

static int poll(struct numi_port *port, int64_t now_ns, uint32_t *frames, uint32_t frame_max) {
    struct fed *fed = (struct fed *)port;
    int count = numi_ring_pop_batch(fed->ring, frames, frame_max);
    for (int i = 0; i < count; i++) {
        struct numi_frame *frame = &port->pool->frames[frames[i]];
        frame->taken_ns = now_ns;
        port->counts.bytes += frame->wire_size;
    }
    if (count > 0) {
        port->counts.ledger.frames[NUMI_FRAMES_RECEIVED] += (uint32_t)count;
        port->counts.handed_out += (uint32_t)count;
    }
    return count;
}

static int64_t next_ns(struct numi_port *port) {
    (void)port;
    return INT64_MIN;
}

static void close_fed(struct numi_port *port) {
    free(port);
}

int numi_port_open_ring(struct numi_port **out, struct numi_ring *ring, uint32_t line,
                        struct numi_pool *pool) {
    static const struct numi_port_ops ops = {poll, next_ns, close_fed};
    *out = NULL;
    if (numi_ring_record_size(ring) != sizeof(uint32_t))
        return numi_error_set(NUMI_ERR_ARGUMENT, "a ring of records of %u bytes: allowed 4",
                              numi_ring_record_size(ring));
    struct fed *fed = calloc(1, sizeof *fed);
    if (fed == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a port");
    fed->port = (struct numi_port){.ops = &ops, .pool = pool, .line = (uint8_t)line};
    fed->ring = ring;
    *out = &fed->port;
    return NUMI_OK;
}
