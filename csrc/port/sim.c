#include "port/sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct sim {
    struct numi_port port;
    struct numi_sim_schedule schedule;
    uint64_t next; /* arrival, of its own line */
};

static void skip_others(struct sim *sim) {
    const struct numi_sim_schedule *schedule = &sim->schedule;
    while (sim->next < schedule->arrival_count &&
           schedule->arrivals[sim->next].line != schedule->line)
        sim->next++;
}

static void fill(struct sim *sim, struct numi_frame *frame, const struct numi_sim_arrival *arrival,
                 int64_t now_ns) {
    frame->rx = (struct numi_stamp){.ns = arrival->at_ns,
                                    .domain = (uint8_t)sim->schedule.domain,
                                    .source = NUMI_STAMP_SOFTWARE};
    frame->taken_ns = now_ns;
    frame->data_offset = frame->header_size = 0;
    frame->data_size = arrival->size;
    frame->wire_size = arrival->size;
    frame->port = sim->port.number;
    frame->line = sim->port.line;
    frame->flags = 0;
    memcpy(numi_pool_slot(sim->port.pool, frame->index), sim->schedule.payloads + arrival->offset,
           arrival->size);
}

static int poll(struct numi_port *port, int64_t now_ns, uint32_t *frames, uint32_t frame_max) {
    struct sim *sim = (struct sim *)port;
    const struct numi_sim_schedule *schedule = &sim->schedule;
    uint32_t count = 0;
    while (count < frame_max && sim->next < schedule->arrival_count &&
           schedule->arrivals[sim->next].at_ns <= now_ns) {
        const struct numi_sim_arrival *arrival = &schedule->arrivals[sim->next++];
        struct numi_frame *frame = numi_pool_take(port->pool);
        skip_others(sim);
        port->counts.bytes += arrival->size;
        if (frame == NULL) {
            port->counts.no_frame++;
            continue;
        }
        fill(sim, frame, arrival, now_ns);
        frames[count++] = frame->index;
    }
    port->counts.ledger.frames[NUMI_FRAMES_RECEIVED] += count;
    port->counts.handed_out += count;
    return (int)count;
}

static int64_t next_ns(struct numi_port *port) {
    const struct sim *sim = (const struct sim *)port;
    return sim->next < sim->schedule.arrival_count ? sim->schedule.arrivals[sim->next].at_ns
                                                   : INT64_MAX;
}

static void close_sim(struct numi_port *port) {
    free(port);
}

static int check(const struct numi_sim_schedule *schedule, uint64_t frame_size) {
    int64_t before_ns = INT64_MIN;
    for (uint64_t i = 0; i < schedule->arrival_count; i++) {
        const struct numi_sim_arrival *arrival = &schedule->arrivals[i];
        if (arrival->at_ns < before_ns)
            return numi_error_set(NUMI_ERR_ARGUMENT, "arrival %llu: at %lld ns, before the last",
                                  (unsigned long long)i, (long long)arrival->at_ns);
        if (arrival->size > frame_size)
            return numi_error_set(NUMI_ERR_ARGUMENT, "arrival %llu: %u bytes, a frame has %llu",
                                  (unsigned long long)i, arrival->size,
                                  (unsigned long long)frame_size);
        if (arrival->offset > schedule->payload_size ||
            arrival->size > schedule->payload_size - arrival->offset)
            return numi_error_set(NUMI_ERR_ARGUMENT, "arrival %llu: ends behind the payloads",
                                  (unsigned long long)i);
        before_ns = arrival->at_ns;
    }
    return NUMI_OK;
}

int numi_port_open_sim(struct numi_port **out, const struct numi_sim_schedule *schedule,
                       struct numi_pool *pool) {
    static const struct numi_port_ops ops = {poll, next_ns, close_sim};
    *out = NULL;
    int code = check(schedule, 1ull << pool->slot_shift);
    if (code != NUMI_OK)
        return code;
    struct sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a port");
    sim->port = (struct numi_port){.ops = &ops, .pool = pool, .line = (uint8_t)schedule->line};
    sim->port.counts.present = NUMI_PORT_NO_FRAME;
    sim->schedule = *schedule;
    if (sim->schedule.domain == NUMI_DOMAIN_NONE)
        sim->schedule.domain = NUMI_DOMAIN_VIRTUAL;
    skip_others(sim);
    *out = &sim->port;
    return NUMI_OK;
}

void numi_port_rewind_sim(struct numi_port *port) {
    struct sim *sim = (struct sim *)port;
    sim->next = 0;
    skip_others(sim);
}
