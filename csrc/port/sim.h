/* A port of the simulator: a schedule of frames, handed out when their time has come.
 *
 *   rows:     | at | offset, size of the payload | line, what was done to it |  by time
 *   payloads: | bytes of all of them |
 *
 * The schedule is the caller's and outlives the port. Times are of the clock VIRTUAL, or of the one
 * that is told: so a recorded day keeps its own. A frame for which the pool has none is lost, as a
 * NIC would lose it. */
#ifndef NUMI_PORT_SIM_H
#define NUMI_PORT_SIM_H

#include "port/port.h"

struct numi_sim_arrival {
    int64_t at_ns;
    uint64_t offset; /* of the payload */
    uint32_t size;
    uint8_t line;
    uint8_t flags; /* the scenario's own: what was done to it */
    uint16_t unused;
};

struct numi_sim_schedule {
    const struct numi_sim_arrival *arrivals;
    uint64_t arrival_count;
    const uint8_t *payloads;
    uint64_t payload_size;
    uint32_t domain; /* enum numi_domain of the times; 0: VIRTUAL */
    uint32_t line;   /* whose arrivals this port hands out; the others are another port's */
};

/* NUMI_ERR_ARGUMENT: arrivals out of order, outside the payloads, larger than a frame. */
NUMI_API int numi_port_open_sim(struct numi_port **out, const struct numi_sim_schedule *schedule,
                                struct numi_pool *pool);

/* From the first arrival on again. */
NUMI_API void numi_port_rewind_sim(struct numi_port *port);

#endif
