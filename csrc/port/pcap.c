#include "port/pcap.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "disk/capture.h"
#include "wire/packet.h"

struct pcap {
    struct numi_port port;
    struct numi_capture *capture;
    struct numi_capture_packet packet; /* the next datagram, where there is one */
    struct numi_packet parsed;
    bool has_packet;
    int64_t at_ns; /* when it arrives */
    int code;      /* the end: 0, or what is wrong with the file */
    bool has_ended;
};

/* Counts a packet; whether it is a datagram that a frame can hold. */
static bool is_ours(struct pcap *pcap) {
    const struct numi_capture_packet *packet = &pcap->packet;
    uint64_t *rows = pcap->port.counts.ledger.frames;
    int reason = numi_packet_parse(packet->data, packet->size, packet->link, &pcap->parsed);
    rows[NUMI_FRAMES_RECEIVED]++;
    pcap->port.counts.bytes += packet->wire_size;
    if (reason == NUMI_PACKET_NOT_IP || reason == NUMI_PACKET_NOT_UDP) {
        rows[NUMI_FRAMES_NOT_OURS]++;
        return false;
    }
    uint64_t end = (uint64_t)pcap->parsed.payload_offset + pcap->parsed.payload_size;
    if (reason != NUMI_PACKET_OK || end > 1ull << pcap->port.pool->slot_shift) {
        rows[NUMI_FRAMES_MALFORMED]++;
        return false;
    }
    return true;
}

/* Reads on to the next datagram, unless it is there. */
static void find(struct pcap *pcap) {
    while (!pcap->has_packet && !pcap->has_ended) {
        int code = numi_capture_next(pcap->capture, &pcap->packet);
        pcap->has_ended = code != 1;
        pcap->code = code < 0 ? code : NUMI_OK;
        pcap->has_packet = code == 1 && is_ours(pcap);
    }
    if (pcap->has_packet && pcap->packet.has_time && pcap->packet.ns > pcap->at_ns)
        pcap->at_ns = pcap->packet.ns;
}

static void fill(struct pcap *pcap, struct numi_frame *frame, int64_t now_ns) {
    const struct numi_packet *parsed = &pcap->parsed;
    frame->rx = (struct numi_stamp){.ns = pcap->at_ns,
                                    .error_ns = UINT32_MAX,
                                    .domain = NUMI_DOMAIN_UTC,
                                    .source = NUMI_STAMP_NONE};
    frame->taken_ns = now_ns;
    frame->data_offset = parsed->payload_offset;
    frame->data_size = parsed->payload_size;
    frame->header_size = (uint16_t)parsed->payload_offset;
    frame->wire_size = pcap->packet.wire_size;
    frame->port = pcap->port.number;
    frame->line = pcap->port.line;
    frame->flags = 0;
    memcpy(numi_pool_slot(pcap->port.pool, frame->index), pcap->packet.data,
           (uint64_t)parsed->payload_offset + parsed->payload_size);
}

static int poll(struct numi_port *port, int64_t now_ns, uint32_t *frames, uint32_t frame_max) {
    struct pcap *pcap = (struct pcap *)port;
    uint32_t count = 0;
    while (count < frame_max) {
        find(pcap);
        if (!pcap->has_packet || pcap->at_ns > now_ns || port->pool->available == 0)
            break;
        struct numi_frame *frame = numi_pool_take(port->pool);
        fill(pcap, frame, now_ns);
        frames[count++] = frame->index;
        pcap->has_packet = false;
    }
    port->counts.handed_out += count;
    return count == 0 && pcap->code < 0 ? pcap->code : (int)count;
}

static int64_t next_ns(struct numi_port *port) {
    struct pcap *pcap = (struct pcap *)port;
    find(pcap);
    return pcap->has_packet ? pcap->at_ns : INT64_MAX;
}

static void close_pcap(struct numi_port *port) {
    struct pcap *pcap = (struct pcap *)port;
    numi_capture_close(pcap->capture);
    free(pcap);
}

int numi_port_open_pcap(struct numi_port **out, const char *path, uint32_t line,
                        struct numi_pool *pool) {
    static const struct numi_port_ops ops = {poll, next_ns, close_pcap};
    *out = NULL;
    struct pcap *pcap = calloc(1, sizeof *pcap);
    if (pcap == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a port");
    pcap->port = (struct numi_port){.ops = &ops, .pool = pool, .line = (uint8_t)line};
    pcap->at_ns = INT64_MIN;
    int code = numi_capture_open(&pcap->capture, path);
    if (code == NUMI_OK && numi_capture_format(pcap->capture) == NUMI_CAPTURE_ITCH) {
        code = numi_error_set(NUMI_ERR_ARGUMENT, "%s: a bare file has no packets", path);
        numi_capture_close(pcap->capture);
    }
    if (code != NUMI_OK) {
        free(pcap);
        return code;
    }
    *out = &pcap->port;
    return NUMI_OK;
}

const struct numi_capture *numi_port_capture(const struct numi_port *port) {
    return ((const struct pcap *)port)->capture;
}
