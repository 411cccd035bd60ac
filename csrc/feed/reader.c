#include "feed/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

struct numi_reader {
    struct numi_capture *capture;
    struct numi_itch_decoder *decoder;
    struct numi_reader_counts counts;
    /* The messages at hand: blocks of 2-byte lengths and messages, not yet decoded. */
    const uint8_t *run;
    uint64_t run_size;
    uint64_t sequence; /* of the first of them */
    int64_t rx_ns;
    uint16_t flags;
    bool bare;
    bool in_session;
    uint8_t session[NUMI_MOLD_SESSION_SIZE];
    uint64_t expected; /* the sequence that the session goes on with */
    int64_t first_ns;
};

int numi_reader_open(struct numi_reader **out, const char *path) {
    struct numi_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "reader");
    int code = numi_capture_open(&reader->capture, path);
    if (code == NUMI_OK)
        code = numi_itch_decoder_open(&reader->decoder);
    if (code != NUMI_OK) {
        numi_reader_close(reader);
        return code;
    }
    reader->bare = numi_capture_format(reader->capture) == NUMI_CAPTURE_ITCH;
    reader->sequence = 1;
    *out = reader;
    return NUMI_OK;
}

void numi_reader_close(struct numi_reader *reader) {
    if (reader == NULL)
        return;
    if (reader->capture != NULL)
        numi_capture_close(reader->capture);
    numi_itch_decoder_close(reader->decoder);
    free(reader);
}

/* ---- From packets to runs of messages. */

static void follow_session(struct numi_reader *reader, const struct numi_mold_header *header) {
    struct numi_reader_counts *counts = &reader->counts;
    if (!reader->in_session || memcmp(reader->session, header->session, sizeof reader->session)) {
        memcpy(reader->session, header->session, sizeof reader->session);
        reader->in_session = true;
        reader->expected = header->sequence;
        counts->sessions++;
    }
    uint64_t next = header->sequence + header->message_count;
    if (header->sequence > reader->expected)
        counts->missing += header->sequence - reader->expected;
    else if (header->message_count > 0 && header->sequence < reader->expected)
        counts->repeated += (next < reader->expected ? next : reader->expected) - header->sequence;
    if (next > reader->expected)
        reader->expected = next;
}

/* The ledger's row for a packet that carries no message. */
static void count_other(struct numi_reader *reader, const struct numi_mold_header *header) {
    struct numi_reader_counts *counts = &reader->counts;
    counts->ledger.frames[NUMI_FRAMES_CONTROL]++;
    if (header->count == NUMI_MOLD_END_OF_SESSION)
        counts->ends_of_session++;
    else
        counts->heartbeats++;
}

static bool take_payload(struct numi_reader *reader, const uint8_t *payload, uint64_t size) {
    struct numi_reader_counts *counts = &reader->counts;
    struct numi_mold_header header;
    int reason = numi_mold_parse(payload, size, &header);
    counts->mold_reasons[reason]++;
    if (reason != NUMI_MOLD_OK) {
        counts->ledger.frames[NUMI_FRAMES_MALFORMED]++;
        return false;
    }
    follow_session(reader, &header);
    if (header.message_count == 0) {
        count_other(reader, &header);
        return false;
    }
    counts->ledger.frames[NUMI_FRAMES_DELIVERED]++;
    counts->ledger.messages[NUMI_MESSAGES_CARRIED] += header.message_count;
    counts->ledger.messages[NUMI_MESSAGES_NEW] += header.message_count;
    reader->run = payload + NUMI_MOLD_HEADER_SIZE;
    reader->run_size = size - NUMI_MOLD_HEADER_SIZE;
    reader->sequence = header.sequence;
    return true;
}

/* Whether the packet brought messages. */
static bool take_packet(struct numi_reader *reader, const struct numi_capture_packet *packet) {
    struct numi_reader_counts *counts = &reader->counts;
    struct numi_packet parsed;
    int reason = numi_packet_parse(packet->data, packet->size, packet->link, &parsed);
    counts->ledger.frames[NUMI_FRAMES_RECEIVED]++;
    counts->packet_reasons[reason]++;
    if (reason == NUMI_PACKET_NOT_IP || reason == NUMI_PACKET_NOT_UDP) {
        counts->ledger.frames[NUMI_FRAMES_NOT_OURS]++;
        return false;
    }
    if (reason != NUMI_PACKET_OK) {
        counts->ledger.frames[NUMI_FRAMES_MALFORMED]++;
        return false;
    }
    reader->rx_ns = packet->has_time ? packet->ns : 0;
    reader->flags = packet->has_time ? NUMI_DOMAIN_UTC << 4 : 0;
    if (reader->first_ns == 0)
        reader->first_ns = reader->rx_ns;
    return take_payload(reader, packet->data + parsed.payload_offset, parsed.payload_size);
}

static int next_packet_run(struct numi_reader *reader) {
    struct numi_capture_packet packet;
    int code;
    while ((code = numi_capture_next(reader->capture, &packet)) == 1)
        if (take_packet(reader, &packet))
            return 1;
    return code;
}

static int next_bare_run(struct numi_reader *reader) {
    int64_t size = numi_capture_peek(reader->capture, &reader->run);
    if (size <= 0)
        return (int)size;
    reader->run_size = (uint64_t)size;
    return 1;
}

/* 1 with messages at hand, 0 at the end, or an error. */
static int fill_run(struct numi_reader *reader) {
    if (reader->run_size > 0)
        return 1;
    return reader->bare ? next_bare_run(reader) : next_packet_run(reader);
}

/* Goes on by what was decoded. What remains of a bare run may be the beginning of a message: it is
 * peeked anew, with more behind it. */
static void consume(struct numi_reader *reader, uint64_t used, uint64_t messages, uint64_t empty) {
    if (reader->bare) {
        numi_capture_take(reader->capture, used, messages, empty);
        reader->counts.ledger.messages[NUMI_MESSAGES_CARRIED] += messages - empty;
        reader->counts.ledger.messages[NUMI_MESSAGES_NEW] += messages - empty;
        reader->run_size = 0;
        return;
    }
    reader->run += used;
    reader->run_size -= used;
}

static uint64_t rejects_of(const struct numi_itch_decoder *decoder) {
    return decoder->rejects[NUMI_ITCH_EMPTY] + decoder->rejects[NUMI_ITCH_UNKNOWN_TYPE] +
           decoder->rejects[NUMI_ITCH_BAD_LENGTH];
}

int numi_reader_events(struct numi_reader *reader, struct numi_event *events, uint32_t event_max) {
    uint32_t count = 0;
    int code = 0;
    while (count < event_max && (code = fill_run(reader)) > 0) {
        uint64_t used, before = reader->sequence;
        uint64_t empty = reader->decoder->rejects[NUMI_ITCH_EMPTY];
        count += (uint32_t)numi_itch_decode_run(reader->decoder, reader->run, reader->run_size,
                                                &used, &reader->sequence, reader->rx_ns,
                                                reader->flags, events + count, event_max - count);
        empty = reader->decoder->rejects[NUMI_ITCH_EMPTY] - empty;
        if (reader->bare) /* an empty message ends a bare file: no message, and no reject */
            reader->decoder->rejects[NUMI_ITCH_EMPTY] -= empty;
        consume(reader, used, reader->sequence - before, empty);
        if (used == 0)
            break;
    }
    reader->counts.rejected = rejects_of(reader->decoder);
    return count > 0 || code > 0 ? (int)count : code;
}

/* ---- Native records. */

/* One message into its column: 1 taken, 0 where its column is full. What is no message is counted
 * and taken. */
static int append(struct numi_reader *reader, struct numi_reader_column *columns,
                  const uint8_t *message, uint64_t size) {
    int reason = numi_itch_check(message, size);
    if (reason != NUMI_ITCH_OK) {
        if (!(reader->bare && reason == NUMI_ITCH_EMPTY))
            reader->decoder->rejects[reason]++;
        return 1;
    }
    int index = numi_itch_index_of(message[0]);
    struct numi_reader_column *column = &columns[index];
    if (column->record_count == column->record_max)
        return 0;
    uint32_t native_size = numi_itch_type_at((uint32_t)index)->native_size;
    uint8_t *record = (uint8_t *)column->records + (uint64_t)column->record_count++ * native_size;
    numi_itch_decode(message, reader->sequence, reader->rx_ns, record);
    numi_itch_instrument(reader->decoder, message);
    reader->decoder->messages++;
    return 1;
}

/* The messages of the run at hand; returns how many, and through `full` whether a column stopped
 * it. */
static uint32_t append_run(struct numi_reader *reader, struct numi_reader_column *columns,
                           uint32_t message_max, bool *full) {
    const uint8_t *at = reader->run, *const end = at + reader->run_size;
    uint32_t count = 0;
    uint64_t empty = 0;
    while (count < message_max && end - at >= 2 && end - at - 2 >= numi_be16(at)) {
        uint64_t size = numi_be16(at);
        if (append(reader, columns, at + 2, size) == 0) {
            *full = true;
            break;
        }
        empty += size == 0;
        at += 2 + size;
        reader->sequence++;
        count++;
    }
    consume(reader, (uint64_t)(at - reader->run), count, empty);
    return count;
}

int numi_reader_records(struct numi_reader *reader, struct numi_reader_column *columns,
                        uint32_t message_max) {
    uint32_t count = 0;
    bool full = false;
    int code = 0;
    while (count < message_max && !full && (code = fill_run(reader)) > 0) {
        uint32_t appended = append_run(reader, columns, message_max - count, &full);
        count += appended;
        if (appended == 0)
            break;
    }
    reader->counts.rejected = rejects_of(reader->decoder);
    return count > 0 || code > 0 ? (int)count : code;
}

const struct numi_reader_counts *numi_reader_counts(const struct numi_reader *reader) {
    return &reader->counts;
}

const struct numi_itch_decoder *numi_reader_decoder(const struct numi_reader *reader) {
    return reader->decoder;
}

const struct numi_capture *numi_reader_capture(const struct numi_reader *reader) {
    return reader->capture;
}

int64_t numi_reader_first_ns(const struct numi_reader *reader) {
    return reader->first_ns;
}
