#include "feed/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

enum { LINE_MAX = 2 };

/* Beside the counts that a step returns: the next run begins a session, and others stand before it.
 */
enum { AT_SESSION = 2 };

struct line {
    struct numi_capture *capture;
    struct numi_capture_packet packet; /* the next UDP datagram */
    const uint8_t *payload;
    uint64_t payload_size;
    bool has_packet;
    bool has_ended;
    int code;         /* that it ended with */
    char detail[512]; /* likewise */
};

struct numi_reader {
    struct line lines[LINE_MAX];
    uint32_t line_count;
    struct numi_merge *merge; /* NULL: one line as it is */
    struct numi_itch_decoder *decoder;
    struct numi_reader_counts counts;
    struct numi_ledger own; /* of packets that never reached the merge */
    /* The messages at hand: blocks of 2-byte lengths and messages, not yet decoded. */
    const uint8_t *run;
    uint64_t run_size;
    uint64_t sequence; /* of the first of them */
    uint64_t missing;  /* instead of messages: so many in a gap, from `sequence` on */
    int64_t rx_ns;
    uint16_t flags;
    bool bare;
    bool begins; /* another session, whose instruments count anew */
    bool in_session;
    uint8_t decoded[NUMI_MOLD_SESSION_SIZE]; /* the session of the last messages */
    uint8_t session[NUMI_MOLD_SESSION_SIZE]; /* that of the last packet */
    uint64_t expected;                       /* the sequence that it goes on with */
    int64_t first_ns;
};

static int open_line(struct numi_reader *reader, const char *path) {
    struct line *line = &reader->lines[reader->line_count];
    int code = numi_capture_open(&line->capture, path);
    reader->line_count += code == NUMI_OK;
    return code;
}

static bool is_bare(const struct line *line) {
    return numi_capture_format(line->capture) == NUMI_CAPTURE_ITCH;
}

static int open_empty(struct numi_reader **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "reader");
    (*out)->sequence = 1;
    return numi_itch_decoder_open(&(*out)->decoder);
}

int numi_reader_open(struct numi_reader **out, const char *path) {
    struct numi_reader *reader;
    *out = NULL;
    int code = open_empty(&reader);
    if (code == NUMI_OK)
        code = open_line(reader, path);
    if (code != NUMI_OK) {
        numi_reader_close(reader);
        return code;
    }
    reader->bare = is_bare(&reader->lines[0]);
    *out = reader;
    return NUMI_OK;
}

void numi_reader_close(struct numi_reader *reader) {
    if (reader == NULL)
        return;
    for (uint32_t i = 0; i < reader->line_count; i++)
        numi_capture_close(reader->lines[i].capture);
    numi_merge_close(reader->merge);
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
    reader->begins = counts->sessions == 0 ||
                     memcmp(reader->decoded, header.session, sizeof reader->decoded) != 0;
    memcpy(reader->decoded, header.session, sizeof reader->decoded);
    reader->run = payload + NUMI_MOLD_HEADER_SIZE;
    reader->run_size = size - NUMI_MOLD_HEADER_SIZE;
    reader->sequence = header.sequence;
    return true;
}

/* Counts a packet; whether it is a UDP datagram, and where its payload lies. */
static bool find_payload(struct numi_reader *reader, struct line *line) {
    const struct numi_capture_packet *packet = &line->packet;
    struct numi_packet parsed;
    int reason = numi_packet_parse(packet->data, packet->size, packet->link, &parsed);
    struct numi_ledger *ledger = reader->merge == NULL ? &reader->counts.ledger : &reader->own;
    ledger->frames[NUMI_FRAMES_RECEIVED]++;
    reader->counts.packet_reasons[reason]++;
    if (reason == NUMI_PACKET_NOT_IP || reason == NUMI_PACKET_NOT_UDP) {
        ledger->frames[NUMI_FRAMES_NOT_OURS]++;
        return false;
    }
    if (reason != NUMI_PACKET_OK) {
        ledger->frames[NUMI_FRAMES_MALFORMED]++;
        return false;
    }
    line->payload = packet->data + parsed.payload_offset;
    line->payload_size = parsed.payload_size;
    return true;
}

static int64_t time_of(const struct numi_capture_packet *packet) {
    return packet->has_time ? packet->ns : 0;
}

static uint16_t flags_of(const struct numi_capture_packet *packet) {
    return packet->has_time ? NUMI_DOMAIN_UTC << 4 : 0;
}

/* Whether the packet brought messages. */
static bool take_packet(struct numi_reader *reader, struct line *line) {
    if (!find_payload(reader, line))
        return false;
    reader->rx_ns = time_of(&line->packet);
    reader->flags = flags_of(&line->packet);
    if (reader->first_ns == 0)
        reader->first_ns = reader->rx_ns;
    return take_payload(reader, line->payload, line->payload_size);
}

static int next_packet_run(struct numi_reader *reader) {
    struct line *line = &reader->lines[0];
    int code;
    while ((code = numi_capture_next(line->capture, &line->packet)) == 1)
        if (take_packet(reader, line))
            return 1;
    return code;
}

static int next_bare_run(struct numi_reader *reader) {
    int64_t size = numi_capture_peek(reader->lines[0].capture, &reader->run);
    if (size <= 0)
        return (int)size;
    reader->run_size = (uint64_t)size;
    return 1;
}

/* ---- Lines put together. */

/* The line's next datagram, unless it is there already. A line that contradicts itself ends there;
 * why is told when all lines have ended. */
static int step_line(struct numi_reader *reader, struct line *line) {
    while (!line->has_packet && !line->has_ended) {
        int code = numi_capture_next(line->capture, &line->packet);
        if (code < 0 && code != NUMI_ERR_CORRUPT)
            return code;
        line->has_ended = code != 1;
        line->has_packet = code == 1 && find_payload(reader, line);
        if (code < 0) {
            line->code = code;
            snprintf(line->detail, sizeof line->detail, "%s", numi_error_detail());
        }
    }
    return NUMI_OK;
}

/* The line whose datagram came first; of two that came at once, the first line's. */
static int earliest_line(struct numi_reader *reader, struct line **earliest) {
    *earliest = NULL;
    for (uint32_t i = 0; i < reader->line_count; i++) {
        struct line *line = &reader->lines[i];
        int code = step_line(reader, line);
        if (code < 0)
            return code;
        if (line->has_packet &&
            (*earliest == NULL || time_of(&line->packet) < time_of(&(*earliest)->packet)))
            *earliest = line;
    }
    return NUMI_OK;
}

static int end_of_lines(const struct numi_reader *reader) {
    for (uint32_t i = 0; i < reader->line_count; i++)
        if (reader->lines[i].code < 0)
            return numi_error_set(reader->lines[i].code, "%s", reader->lines[i].detail);
    return 0;
}

/* One datagram into the merge, or the end of all lines. 1, or 0 when there is nothing more to push.
 */
static int push_earliest(struct numi_reader *reader) {
    struct line *line;
    int code = earliest_line(reader, &line);
    if (code < 0 || line == NULL)
        return code;
    int64_t rx_ns = time_of(&line->packet);
    if (reader->first_ns == 0)
        reader->first_ns = rx_ns;
    line->has_packet = false;
    code = numi_merge_push(reader->merge, &(struct numi_merge_packet){
                                              .payload = line->payload,
                                              .size = line->payload_size,
                                              .now_ns = rx_ns,
                                              .rx_ns = rx_ns,
                                              .flags = flags_of(&line->packet),
                                              .line = (uint8_t)(line - reader->lines),
                                          });
    return code < 0 ? code : 1;
}

static void take_run(struct numi_reader *reader, const struct numi_merge_run *run) {
    reader->run = run->bytes;
    reader->run_size = run->size;
    reader->missing = run->bytes == NULL ? run->count : 0;
    reader->sequence = run->sequence;
    reader->rx_ns = run->rx_ns;
    reader->flags = run->flags;
    reader->begins = run->begins_session;
}

static int next_merged_run(struct numi_reader *reader) {
    const struct numi_merge_run *run;
    bool has_flushed = false;
    int code;
    while ((code = numi_merge_next(reader->merge, &run)) == 0) {
        code = push_earliest(reader);
        if (code < 0)
            return code;
        if (code == 0 && has_flushed)
            return end_of_lines(reader);
        if (code == 0)
            numi_merge_flush(reader->merge);
        has_flushed = code == 0;
    }
    if (code < 0)
        return code;
    take_run(reader, run);
    return 1;
}

static void follow_merge(struct numi_reader *reader) {
    if (reader->merge == NULL)
        return;
    const struct numi_merge_counts *merged = numi_merge_counts(reader->merge);
    struct numi_reader_counts *counts = &reader->counts;
    counts->ledger = merged->ledger;
    numi_ledger_add(&counts->ledger, &reader->own);
    memcpy(counts->mold_reasons, merged->mold_reasons, sizeof counts->mold_reasons);
    counts->heartbeats = merged->heartbeats;
    counts->ends_of_session = merged->ends_of_session;
    counts->missing = merged->missing;
    counts->gaps = merged->gaps;
    counts->repeated = merged->ledger.messages[NUMI_MESSAGES_DUPLICATE] +
                       merged->ledger.messages[NUMI_MESSAGES_STALE];
}

/* The headers of a file, so that the merge knows what will come. A file that contradicts itself
 * does so again when it is read. */
static int expect_line(struct numi_reader *reader, const char *path) {
    struct numi_capture *capture;
    struct numi_capture_packet packet;
    int code = numi_capture_open(&capture, path), merged = NUMI_OK;
    if (code != NUMI_OK)
        return code;
    while (merged == NUMI_OK && (code = numi_capture_next(capture, &packet)) == 1) {
        struct numi_packet parsed;
        if (numi_packet_parse(packet.data, packet.size, packet.link, &parsed) == NUMI_PACKET_OK)
            merged = numi_merge_expect(reader->merge, packet.data + parsed.payload_offset,
                                       parsed.payload_size);
    }
    numi_capture_close(capture);
    return merged != NUMI_OK || code == NUMI_ERR_CORRUPT ? merged : code;
}

static int expect_lines(struct numi_reader *reader, const char *const *paths) {
    for (uint32_t i = 0; i < reader->line_count; i++) {
        const struct numi_stream *stream = numi_capture_stream(reader->lines[i].capture);
        if (numi_stream_file_size(stream) < 0 || strcmp(paths[i], "-") == 0)
            return NUMI_OK; /* it can be read once alone */
    }
    int code = NUMI_OK;
    for (uint32_t i = 0; i < reader->line_count && code == NUMI_OK; i++)
        code = expect_line(reader, paths[i]);
    return code;
}

/* All of a capture is there: nothing is out of the window, and a gap ends when the lines have. */
static int open_merge(struct numi_reader *reader) {
    struct numi_merge_options options;
    numi_merge_defaults(&options);
    options.window = 0;
    options.pending_max = 0;
    options.gap_timeout_ns = 0;
    options.silence_ns = 0;
    return numi_merge_open(&reader->merge, &options, NULL);
}

static int open_lines(struct numi_reader *reader, const char *const *paths, uint32_t path_count) {
    int code = NUMI_OK;
    for (uint32_t i = 0; i < path_count && code == NUMI_OK; i++)
        code = open_line(reader, paths[i]);
    if (code != NUMI_OK)
        return code;
    reader->bare = path_count == 1 && is_bare(&reader->lines[0]);
    if (reader->bare)
        return NUMI_OK;
    for (uint32_t i = 0; i < path_count; i++)
        if (is_bare(&reader->lines[i]))
            return numi_error_set(NUMI_ERR_ARGUMENT,
                                  "%s: a bare file is no line of a feed: give it alone", paths[i]);
    code = open_merge(reader);
    return code == NUMI_OK ? expect_lines(reader, paths) : code;
}

int numi_reader_open_lines(struct numi_reader **out, const char *const *paths,
                           uint32_t path_count) {
    struct numi_reader *reader = NULL;
    *out = NULL;
    if (path_count == 0 || path_count > LINE_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%u lines: allowed 1 or %d", path_count, LINE_MAX);
    int code = open_empty(&reader);
    if (code == NUMI_OK)
        code = open_lines(reader, paths, path_count);
    if (code != NUMI_OK) {
        numi_reader_close(reader);
        return code;
    }
    *out = reader;
    return NUMI_OK;
}

/* ---- Events. */

static int next_run(struct numi_reader *reader) {
    if (reader->merge != NULL)
        return next_merged_run(reader);
    return reader->bare ? next_bare_run(reader) : next_packet_run(reader);
}

static void begin_session(struct numi_reader *reader) {
    numi_itch_decoder_reset(reader->decoder);
    reader->counts.sessions++;
    reader->begins = false;
}

/* 1 with messages at hand, 0 at the end, AT_SESSION, or an error. */
static int fill_run(struct numi_reader *reader, bool is_first) {
    int code = reader->run_size > 0 || reader->missing > 0 ? 1 : next_run(reader);
    if (code == 1 && reader->begins) {
        if (!is_first)
            return AT_SESSION;
        begin_session(reader);
    }
    return code;
}

/* Goes on by what was decoded. What remains of a bare run may be the beginning of a message: it is
 * peeked anew, with more behind it. */
static void consume(struct numi_reader *reader, uint64_t used, uint64_t messages, uint64_t empty) {
    if (reader->bare) {
        numi_capture_take(reader->lines[0].capture, used, messages, empty);
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

static void make_gap(struct numi_reader *reader, struct numi_event *event) {
    *event = (struct numi_event){
        .sequence = reader->sequence,
        .order = reader->sequence,
        .aux = reader->sequence + reader->missing - 1,
        .kind = NUMI_EVENT_GAP,
        .side = NUMI_SIDE_NONE,
    };
    reader->missing = 0;
}

/* An empty message ends a bare file: no message, and no reject. */
static bool is_reject(const struct numi_reader *reader, int reason) {
    return reason != NUMI_ITCH_OK && !(reader->bare && reason == NUMI_ITCH_EMPTY);
}

/* Of a run from `sequence` on, in which there is one. */
static uint64_t first_reject(const struct numi_reader *reader, const uint8_t *run,
                             uint64_t sequence) {
    while (!is_reject(reader, numi_itch_check(run + 2, numi_be16(run)))) {
        run += 2 + numi_be16(run);
        sequence++;
    }
    return sequence;
}

static void follow_rejects(struct numi_reader *reader, const uint8_t *run, uint64_t sequence) {
    uint64_t rejected = rejects_of(reader->decoder);
    if (reader->counts.rejected == 0 && rejected > 0)
        reader->counts.first_rejected = first_reject(reader, run, sequence);
    reader->counts.rejected = rejected;
}

/* Returns how many; bytes that are none may be passed without one. */
static uint32_t decode_run(struct numi_reader *reader, struct numi_event *events,
                           uint32_t event_max, uint64_t *used) {
    uint64_t before = reader->sequence, empty = reader->decoder->rejects[NUMI_ITCH_EMPTY];
    int count =
        numi_itch_decode_run(reader->decoder, reader->run, reader->run_size, used,
                             &reader->sequence, reader->rx_ns, reader->flags, events, event_max);
    empty = reader->decoder->rejects[NUMI_ITCH_EMPTY] - empty;
    if (!is_reject(reader, NUMI_ITCH_EMPTY))
        reader->decoder->rejects[NUMI_ITCH_EMPTY] -= empty;
    follow_rejects(reader, reader->run, before);
    consume(reader, *used, reader->sequence - before, empty);
    return (uint32_t)count;
}

int numi_reader_events(struct numi_reader *reader, struct numi_event *events, uint32_t event_max) {
    uint32_t count = 0;
    uint64_t used = 1;
    int code = 0;
    while (count < event_max && used > 0 && (code = fill_run(reader, count == 0)) == 1) {
        if (reader->missing > 0)
            make_gap(reader, &events[count++]);
        else
            count += decode_run(reader, events + count, event_max - count, &used);
    }
    follow_merge(reader);
    return count > 0 || code > 0 ? (int)count : code;
}

/* ---- Native records. */

/* One message into its column: 1 taken, 0 where its column is full. What is no message is counted
 * and taken. */
static int append(struct numi_reader *reader, struct numi_reader_column *columns,
                  const uint8_t *message, uint64_t size) {
    int reason = numi_itch_check(message, size);
    if (reason != NUMI_ITCH_OK) {
        if (is_reject(reader, reason) && rejects_of(reader->decoder) == 0)
            reader->counts.first_rejected = reader->sequence;
        reader->decoder->rejects[reason] += is_reject(reader, reason);
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
    while (count < message_max && !full && (code = fill_run(reader, count == 0)) == 1) {
        struct numi_reader_column *gaps = &columns[NUMI_READER_GAPS];
        if (reader->missing > 0 && gaps->record_count == gaps->record_max)
            break;
        if (reader->missing > 0) {
            make_gap(reader, (struct numi_event *)gaps->records + gaps->record_count++);
            continue;
        }
        uint32_t appended = append_run(reader, columns, message_max - count, &full);
        count += appended;
        if (appended == 0)
            break;
    }
    follow_merge(reader);
    reader->counts.rejected = rejects_of(reader->decoder);
    return count > 0 || code > 0 ? (int)count : code;
}

const struct numi_reader_counts *numi_reader_counts(const struct numi_reader *reader) {
    return &reader->counts;
}

const struct numi_itch_decoder *numi_reader_decoder(const struct numi_reader *reader) {
    return reader->decoder;
}

const struct numi_capture *numi_reader_capture(const struct numi_reader *reader, uint32_t line) {
    return line < reader->line_count ? reader->lines[line].capture : NULL;
}

int64_t numi_reader_first_ns(const struct numi_reader *reader) {
    return reader->first_ns;
}
