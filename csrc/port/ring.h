/* A port whose frames come from another stage, through a ring of frame indices (frame/ring.h).
 * Whoever pushes them has filled in their descriptors, line and stamp among them. */
#ifndef NUMI_PORT_RING_H
#define NUMI_PORT_RING_H

#include "frame/ring.h"
#include "port/port.h"

/* The ring's records are uint32_t; it outlives the port. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_port_open_ring(struct numi_port **out, struct numi_ring *ring, uint32_t line,
                                 struct numi_pool *pool);

#endif
