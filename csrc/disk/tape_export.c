#include "disk/tape_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "disk/capture_write.h"
#include "wire/packet.h"

enum {
    LINE_COUNT = 256,
    DATAGRAM_MAX = 65507, /* bytes of payload that a UDP datagram over IPv4 can have */
    PORT = 26400,
};

#define SOURCE 0x0A000001u /* 10.0.0.1 */
#define GROUPS 0xEFFF0000u /* 239.255.0.0 */

struct numi_tape_export {
    struct numi_tape_reader *reader;
    struct numi_capture_writer *writer;
    int32_t interfaces[LINE_COUNT];                /* -1: not met yet */
    struct numi_clock_fit fits[NUMI_DOMAIN_COUNT]; /* the last ones; a scale of 0: none */
    bool has_said;                                 /* that times are not UTC */
    struct numi_tape_exported counts;
    uint8_t packet[NUMI_PACKET_UDP4_HEADER_SIZE + DATAGRAM_MAX];
};

/* --- times */

static void keep_fits(struct numi_tape_export *exporter, const struct numi_tape_record *record) {
    for (uint32_t i = 0; i < record->count; i++) {
        struct numi_tape_fit fit;
        memcpy(&fit, record->data + i * sizeof fit, sizeof fit);
        exporter->fits[fit.domain] = fit.fit;
    }
}

/* Whether a stamp could be made one of UTC. */
static bool to_utc(const struct numi_tape_export *exporter, const struct numi_stamp *from,
                   int64_t *ns) {
    struct numi_stamp utc;
    bool is_ticks = from->domain == NUMI_DOMAIN_TSC;
    *ns = from->ns;
    if (from->domain == NUMI_DOMAIN_UTC)
        return true;
    if (from->domain >= NUMI_DOMAIN_COUNT || exporter->fits[NUMI_DOMAIN_UTC].scale == 0 ||
        (!is_ticks && exporter->fits[from->domain].scale == 0))
        return false;
    if (numi_clock_fit_convert(is_ticks ? NULL : &exporter->fits[from->domain],
                               &exporter->fits[NUMI_DOMAIN_UTC], from, NUMI_DOMAIN_UTC, &utc) < 0)
        return false;
    *ns = utc.ns;
    return true;
}

/* Says once that times are not UTC, on the frame that follows. */
static int say_unconverted(struct numi_tape_export *exporter, const struct numi_stamp *from) {
    char words[128];
    exporter->counts.unconverted++;
    if (exporter->has_said)
        return NUMI_OK;
    exporter->has_said = true;
    snprintf(words, sizeof words, "no clock on the tape joins %s and utc: times as they stand",
             numi_domain_name(from->domain));
    return numi_capture_writer_comment(exporter->writer, words);
}

/* --- frames */

static int interface_of(struct numi_tape_export *exporter, const struct numi_frame *frame) {
    char name[NUMI_CAPTURE_NAME_ROOM], description[NUMI_CAPTURE_NAME_ROOM];
    if (exporter->interfaces[frame->line] >= 0)
        return exporter->interfaces[frame->line];
    snprintf(name, sizeof name, "line %u", frame->line);
    snprintf(description, sizeof description, "made-up headers to 239.255.0.%u:%d", frame->line,
             PORT);
    int code = numi_capture_writer_interface(exporter->writer, NUMI_LINK_ETHERNET, name,
                                             frame->header_size == 0 ? description : NULL);
    if (code >= 0) {
        exporter->interfaces[frame->line] = code;
        exporter->counts.interfaces++;
    }
    return code;
}

/* The bytes to write, and how many: at `data`, or in `packet` behind headers that are made up. */
static uint32_t packet_of(struct numi_tape_export *exporter, const struct numi_tape_record *record,
                          const uint8_t **data) {
    const struct numi_frame *frame = &record->frame;
    *data = record->data;
    if (frame->header_size > 0)
        return record->size;
    uint32_t size = frame->data_size;
    exporter->counts.made_up++;
    if (size > DATAGRAM_MAX) {
        size = DATAGRAM_MAX;
        exporter->counts.cut++;
    }
    if (size > 0)
        memcpy(exporter->packet + NUMI_PACKET_UDP4_HEADER_SIZE, record->data, size);
    *data = exporter->packet;
    return numi_packet_build_udp4(exporter->packet, size, SOURCE, GROUPS | frame->line, PORT, PORT,
                                  (uint16_t)exporter->counts.frames);
}

static int write_frame(struct numi_tape_export *exporter, const struct numi_tape_record *record) {
    const struct numi_frame *frame = &record->frame;
    const uint8_t *data;
    int64_t ns;
    int index = interface_of(exporter, frame);
    int code = index < 0 ? index : NUMI_OK;
    if (code == NUMI_OK && !to_utc(exporter, &frame->rx, &ns))
        code = say_unconverted(exporter, &frame->rx);
    if (code < 0)
        return code;
    uint32_t size = packet_of(exporter, record, &data);
    uint32_t wire_size = frame->wire_size > size ? frame->wire_size : size;
    exporter->counts.frames++;
    return numi_capture_writer_packet(exporter->writer, (uint32_t)index, ns < 0 ? 0 : ns, data,
                                      size, wire_size);
}

/* --- what the header promises */

int64_t numi_tape_export_step(struct numi_tape_export *exporter, uint64_t budget) {
    struct numi_tape_record record;
    uint64_t count = 0;
    for (; count < budget; count++) {
        int code = numi_tape_reader_next(exporter->reader, &record);
        if (code == 0)
            break;
        if (code > 0 && record.kind == NUMI_TAPE_CLOCK)
            keep_fits(exporter, &record);
        else if (code > 0 && record.kind == NUMI_TAPE_FRAME &&
                 !(record.frame.flags & NUMI_FRAME_NOTICE))
            code = write_frame(exporter, &record);
        if (code < 0)
            return code;
    }
    return (int64_t)count;
}

const struct numi_tape_exported *numi_tape_export_counts(const struct numi_tape_export *exporter) {
    return &exporter->counts;
}

int numi_tape_export_open(struct numi_tape_export **out, struct numi_tape_reader *reader,
                          const char *path) {
    *out = NULL;
    struct numi_tape_export *exporter = calloc(1, sizeof *exporter);
    if (exporter == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory to write it", path);
    exporter->reader = reader;
    memset(exporter->interfaces, -1, sizeof exporter->interfaces);
    int code = numi_capture_writer_open(&exporter->writer, path, NUMI_CAPTURE_PCAPNG,
                                        NUMI_COMPRESSION_NONE);
    if (code < 0)
        free(exporter);
    else
        *out = exporter;
    return code;
}

int numi_tape_export_close(struct numi_tape_export *exporter) {
    if (exporter == NULL)
        return NUMI_OK;
    int code = numi_capture_writer_close(exporter->writer);
    free(exporter);
    return code;
}
