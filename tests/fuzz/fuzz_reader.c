/* Bytes are a file as it stands, read three times from its beginning: as events one or a few at a
 * time, as events in large batches, and as native records into columns of a few rows.
 *
 * Whatever they are, reading ends, nothing is written past the room that was given, both ledgers
 * close, and all three ways tell the same: messages, counts, the code at the end and its detail,
 * which stay when it is asked for again. */
#include "fuzz_file.h"

#include "base/error.h"
#include "feed/reader.h"

enum { LARGE_BATCH = 700 };

struct outcome {
    struct numi_reader_counts counts;
    struct numi_capture_counts capture;
    uint64_t rejects[4];
    uint64_t messages; /* handed out */
    uint64_t sum;      /* over what they say, in whatever order */
    int code;          /* that reading ended with; 1 where it was given up */
    char detail[512];
};

static const char *path;

static uint64_t scramble(uint64_t value) {
    value = (value ^ value >> 31) * 0x9E3779B97F4A7C15u;
    return value ^ value >> 29;
}

static void add(struct outcome *outcome, uint8_t letter, uint64_t sequence, int64_t rx_ns,
                uint64_t exchange_ns) {
    uint64_t sum = scramble(scramble(scramble(sequence) + (uint64_t)rx_ns) + exchange_ns) + letter;
    outcome->sum += scramble(sum);
    outcome->messages++;
}

static bool beyond(const struct numi_reader *reader) {
    const struct numi_stream *stream = numi_capture_stream(numi_reader_capture(reader, 0));
    return numi_stream_offset(stream) > EXPANDED_MAX;
}

static void judge_counts(const struct numi_reader *reader, const struct outcome *outcome) {
    const struct numi_reader_counts *counts = &outcome->counts;
    bool bare = numi_capture_format(numi_reader_capture(reader, 0)) == NUMI_CAPTURE_ITCH;
    const uint64_t *frames = counts->ledger.frames, *messages = counts->ledger.messages;
    MUST(numi_ledger_check_frames(&counts->ledger) == 0);
    MUST(numi_ledger_check_messages(&counts->ledger) == 0);
    MUST(frames[NUMI_FRAMES_RECEIVED] == (bare ? 0 : outcome->capture.packets));
    MUST(frames[NUMI_FRAMES_CONTROL] == counts->heartbeats + counts->ends_of_session);
    MUST(messages[NUMI_MESSAGES_NEW] == outcome->messages + counts->rejected);
    MUST(!bare || messages[NUMI_MESSAGES_NEW] == outcome->capture.messages);
    MUST(numi_reader_decoder(reader)->messages == outcome->messages);
    MUST(numi_reader_decoder(reader)->instrument_count <= outcome->messages);
    MUST(counts->rejected == outcome->rejects[NUMI_ITCH_EMPTY] +
                                 outcome->rejects[NUMI_ITCH_UNKNOWN_TYPE] +
                                 outcome->rejects[NUMI_ITCH_BAD_LENGTH]);
}

/* Keeps what there is to compare, and closes the reader. */
static void conclude(struct numi_reader *reader, struct outcome *outcome) {
    outcome->counts = *numi_reader_counts(reader);
    outcome->capture = *numi_capture_counts(numi_reader_capture(reader, 0));
    memcpy(outcome->rejects, numi_reader_decoder(reader)->rejects, sizeof outcome->rejects);
    MUST(outcome->code == 0 || outcome->code == 1 || outcome->code == NUMI_ERR_CORRUPT);
    if (outcome->code < 0) {
        MUST(strstr(numi_error_detail(), "(offset ") != NULL);
        snprintf(outcome->detail, sizeof outcome->detail, "%s", numi_error_detail());
    }
    if (outcome->code != 1)
        judge_counts(reader, outcome);
    numi_reader_close(reader);
}

static void read_events(struct numi_reader *reader, uint32_t batch, struct outcome *outcome) {
    struct numi_event *events = malloc(batch * sizeof *events);
    MUST(events != NULL);
    memset(outcome, 0, sizeof *outcome);
    int got;
    while ((got = numi_reader_events(reader, events, batch)) > 0 && !beyond(reader)) {
        MUST((uint32_t)got <= batch);
        for (int i = 0; i < got; i++)
            add(outcome, events[i].kind, events[i].sequence, events[i].rx_ns,
                events[i].exchange_ns);
    }
    MUST(got > 0 || numi_reader_events(reader, events, batch) == got);
    outcome->code = got > 0 || beyond(reader) ? 1 : got;
    free(events);
    conclude(reader, outcome);
}

/* Without one for gaps: a file in its own order declares none. */
static void open_columns(struct numi_reader_column *columns, uint32_t room) {
    for (uint32_t i = 0; i < NUMI_ITCH_TYPE_COUNT; i++) {
        columns[i] = (struct numi_reader_column){.record_max = room};
        columns[i].records = malloc((size_t)room * numi_itch_type_at(i)->native_size);
        MUST(columns[i].records != NULL);
    }
}

/* Takes the rows out; returns how many there were. */
static uint32_t empty_columns(struct numi_reader_column *columns, struct outcome *outcome) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < NUMI_ITCH_TYPE_COUNT; i++) {
        const struct numi_itch_type *type = numi_itch_type_at(i);
        MUST(columns[i].record_count <= columns[i].record_max);
        for (uint32_t row = 0; row < columns[i].record_count; row++) {
            struct numi_itch_S head; /* the fields before the event code are those of all types */
            memcpy(&head, (const uint8_t *)columns[i].records + (size_t)row * type->native_size,
                   offsetof(struct numi_itch_S, event_code));
            add(outcome, type->letter, head.sequence, head.rx_ns, head.timestamp);
        }
        count += columns[i].record_count;
        columns[i].record_count = 0;
    }
    return count;
}

static void read_records(struct numi_reader *reader, uint32_t room, uint32_t message_max,
                         struct outcome *outcome) {
    struct numi_reader_column columns[NUMI_READER_COLUMN_COUNT] = {0};
    memset(outcome, 0, sizeof *outcome);
    open_columns(columns, room);
    int got;
    while ((got = numi_reader_records(reader, columns, message_max)) > 0) {
        MUST((uint32_t)got <= message_max);
        MUST(empty_columns(columns, outcome) <= (uint32_t)got);
    }
    MUST(numi_reader_records(reader, columns, message_max) == got);
    MUST(empty_columns(columns, outcome) == 0);
    outcome->code = got;
    for (uint32_t i = 0; i < NUMI_ITCH_TYPE_COUNT; i++)
        free(columns[i].records);
    conclude(reader, outcome);
}

static void judge_same(const struct outcome *one, const struct outcome *other) {
    MUST(one->code == other->code);
    MUST(strcmp(one->detail, other->detail) == 0);
    MUST(one->messages == other->messages);
    MUST(one->sum == other->sum);
    MUST(memcmp(one->rejects, other->rejects, sizeof one->rejects) == 0);
    MUST(memcmp(&one->counts, &other->counts, sizeof one->counts) == 0);
    MUST(memcmp(&one->capture, &other->capture, sizeof one->capture) == 0);
}

static struct numi_reader *open_again(void) {
    struct numi_reader *reader;
    MUST(numi_reader_open(&reader, path) == NUMI_OK);
    return reader;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct numi_reader *reader = NULL;
    struct outcome large, small, records;
    path = file_of(data, size);
    int code = numi_reader_open(&reader, path);
    MUST((code == NUMI_OK) == (reader != NULL));
    MUST(code == NUMI_OK || code == NUMI_ERR_CORRUPT);
    MUST(code == NUMI_OK || strstr(numi_error_detail(), "(offset ") != NULL);
    if (code < 0)
        return 0;
    read_events(reader, LARGE_BATCH, &large);
    if (large.code == 1)
        return 0;
    read_events(open_again(), 1 + (uint32_t)(size % 7), &small);
    judge_same(&large, &small);
    read_records(open_again(), 1 + (uint32_t)(size % 3), 1 + (uint32_t)(size % 11), &records);
    judge_same(&large, &records);
    return 0;
}
