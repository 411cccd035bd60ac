#define _GNU_SOURCE
#include "disk/tape.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "disk/tape_private.h"

const char *numi_tape_kind_name(uint32_t kind) {
    static const char *const names[NUMI_TAPE_KIND_COUNT] = {
        "none", "begin", "frame", "step", "counters", "clock", "lost", "end", "missing"};
    return kind < NUMI_TAPE_KIND_COUNT ? names[kind] : "unknown";
}

/* --- room in the ring */

/* Where a record of `size` bytes goes that comes at `from`: there, or at the ring's beginning. */
static inline uint64_t place_of(const struct numi_tape_recorder *recorder, uint64_t from,
                                uint64_t size) {
    uint64_t left = recorder->ring_size - (from & (recorder->ring_size - 1));
    return NUMI_LIKELY(tape_round(size) <= left) ? from : from + left;
}

static inline uint8_t *bytes_at(const struct numi_tape_recorder *recorder, uint64_t cursor) {
    return recorder->ring + (cursor & (recorder->ring_size - 1));
}

/* Tells the writer to go on at the ring's beginning. */
static inline void pad(const struct numi_tape_recorder *recorder, uint64_t from, uint64_t to) {
    if (NUMI_UNLIKELY(from != to)) {
        struct tape_head head = {.size = (uint32_t)(to - from), .kind = TAPE_PAD};
        memcpy(bytes_at(recorder, from), &head, sizeof head);
    }
}

static bool has_room(struct numi_tape *tape, uint64_t end) {
    struct numi_tape_recorder *recorder = &tape->recorder;
    if (NUMI_LIKELY(end <= recorder->limit))
        return true;
    recorder->limit =
        atomic_load_explicit(&tape->popped, memory_order_acquire) + recorder->ring_size;
    return end <= recorder->limit;
}

/* What was dropped is told right before the first record that fits again. */
static uint64_t tell_lost(struct numi_tape_recorder *recorder, uint64_t at) {
    struct tape_lost record = {{.size = sizeof record, .kind = NUMI_TAPE_LOST}, recorder->lost};
    pad(recorder, recorder->own, at);
    if (!NUMI_PLANTED(SILENT_DROP))
        memcpy(bytes_at(recorder, at), &record, sizeof record);
    memset(&recorder->lost, 0, sizeof recorder->lost);
    recorder->has_lost = false;
    return at + (NUMI_PLANTED(SILENT_DROP) ? 0 : sizeof record);
}

/* Room for a record; NULL where there is none. `end` is for `publish`. */
static inline uint8_t *reserve(struct numi_tape *tape, uint64_t size, uint64_t *end) {
    struct numi_tape_recorder *recorder = &tape->recorder;
    uint64_t from = recorder->own, lost_at = from;
    if (NUMI_UNLIKELY(size > NUMI_TAPE_RECORD_SIZE_MAX || size > recorder->ring_size / 2))
        return NULL;
    if (NUMI_UNLIKELY(recorder->has_lost)) {
        lost_at = place_of(recorder, from, sizeof(struct tape_lost));
        from = lost_at + sizeof(struct tape_lost);
    }
    uint64_t at = place_of(recorder, from, size);
    *end = at + tape_round(size);
    if (NUMI_UNLIKELY(!has_room(tape, *end)))
        return NULL;
    if (NUMI_UNLIKELY(recorder->has_lost))
        from = tell_lost(recorder, lost_at);
    pad(recorder, from, at);
    uint8_t *to = bytes_at(recorder, at);
    memset(to + tape_round(size) - TAPE_ALIGNMENT, 0, TAPE_ALIGNMENT);
    return to;
}

static inline int publish(struct numi_tape *tape, uint64_t end) {
    tape->recorder.own = end;
    atomic_store_explicit(&tape->pushed, end, memory_order_release);
    return 1;
}

/* --- the records */

static int drop_frame(struct numi_tape_recorder *recorder, uint64_t size) {
    recorder->has_lost = true;
    recorder->lost.frames++;
    recorder->lost.frame_bytes += size;
    recorder->counts.lost.frames++;
    recorder->counts.lost.frame_bytes += size;
    return 0;
}

static int drop_step(struct numi_tape_recorder *recorder) {
    recorder->has_lost = true;
    recorder->lost.steps++;
    recorder->counts.lost.steps++;
    return 0;
}

static int drop_other(struct numi_tape_recorder *recorder) {
    recorder->has_lost = true;
    recorder->lost.others++;
    recorder->counts.lost.others++;
    return 0;
}

/* Built in place: a copy of a struct whose fields were just stored waits for them. */
int numi_tape_record_frame(struct numi_tape *tape, const struct numi_frame *frame,
                           const uint8_t *payload) {
    uint64_t end, bytes = (uint64_t)frame->header_size + frame->data_size;
    uint8_t *to = reserve(tape, sizeof(struct tape_frame) + bytes, &end);
    if (NUMI_UNLIKELY(to == NULL))
        return drop_frame(&tape->recorder, bytes);
    struct tape_frame *record = (struct tape_frame *)to;
    record->head.size = (uint32_t)(sizeof *record + bytes);
    record->head.kind = NUMI_TAPE_FRAME;
    record->head.line = frame->line;
    record->head.port = frame->port;
    record->rx_ns = frame->rx.ns;
    record->taken_ns = frame->taken_ns;
    record->error_ns = frame->rx.error_ns;
    record->source = frame->rx.source;
    record->domain = frame->rx.domain;
    record->header_size = frame->header_size;
    record->wire_size = frame->wire_size;
    record->flags = frame->flags;
    memset(record->reserved, 0, sizeof record->reserved);
    if (NUMI_LIKELY(bytes > 0))
        memcpy(to + sizeof *record, payload - frame->header_size, bytes);
    tape->recorder.counts.frames++;
    tape->recorder.counts.frame_bytes += bytes;
    return publish(tape, end);
}

int numi_tape_record_step(struct numi_tape *tape, int64_t now_ns, uint32_t budget, uint32_t count) {
    uint64_t end;
    struct tape_step *record = (struct tape_step *)reserve(tape, sizeof *record, &end);
    if (NUMI_UNLIKELY(record == NULL))
        return drop_step(&tape->recorder);
    *record =
        (struct tape_step){{.size = sizeof *record, .kind = NUMI_TAPE_STEP}, now_ns, budget, count};
    tape->recorder.counts.steps++;
    return publish(tape, end);
}

int numi_tape_record_counters(struct numi_tape *tape, uint16_t port, int64_t now_ns,
                              const struct numi_tape_counter *rows, uint32_t count) {
    uint64_t end, rows_size = (uint64_t)count * sizeof *rows;
    uint8_t *to = reserve(tape, sizeof(struct tape_counters) + rows_size, &end);
    if (NUMI_UNLIKELY(to == NULL))
        return drop_other(&tape->recorder);
    struct tape_counters record = {
        {.size = (uint32_t)(sizeof record + rows_size), .kind = NUMI_TAPE_COUNTERS, .port = port},
        now_ns};
    memcpy(to, &record, sizeof record);
    for (uint32_t i = 0; i < count; i++) {
        struct numi_tape_counter row = rows[i];
        row.name[NUMI_TAPE_COUNTER_NAME_ROOM - 1] = 0;
        memcpy(to + sizeof record + i * sizeof row, &row, sizeof row);
    }
    tape->recorder.counts.others++;
    return publish(tape, end);
}

/* Those of a clock that are calibrated. */
static uint32_t gather_fits(struct numi_tape_fit *fits, const struct numi_clock *clock) {
    uint32_t count = 0;
    for (uint32_t domain = 0; domain < NUMI_DOMAIN_COUNT; domain++) {
        const struct numi_clock_fit *fit = numi_clock_fit_of(clock, domain);
        if (fit != NULL && fit->sample_count > 0 && fit->scale > 0)
            fits[count++] = (struct numi_tape_fit){.domain = domain, .fit = *fit};
    }
    return count;
}

int numi_tape_record_clock(struct numi_tape *tape, const struct numi_clock *clock) {
    struct numi_tape_fit fits[NUMI_TAPE_FITS_MAX];
    uint64_t end, fits_size = gather_fits(fits, clock) * sizeof fits[0];
    uint8_t *to = reserve(tape, sizeof(struct tape_head) + fits_size, &end);
    if (NUMI_UNLIKELY(to == NULL))
        return drop_other(&tape->recorder);
    struct tape_head head = {.size = (uint32_t)(sizeof head + fits_size), .kind = NUMI_TAPE_CLOCK};
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, fits, fits_size);
    tape->recorder.counts.others++;
    return publish(tape, end);
}

void numi_tape_recorded(const struct numi_tape *tape, struct numi_tape_recorded *out) {
    *out = tape->recorder.counts;
}

/* --- open and close */

/* The largest block of a begin: a segment that cannot hold it and a full one makes no sense. */
static uint64_t segment_size_min(const struct numi_tape_options *options) {
    uint64_t begin = sizeof(struct tape_begin) + tape_round(options->config_size) +
                     sizeof(struct tape_head) + NUMI_TAPE_FITS_MAX * sizeof(struct numi_tape_fit);
    uint64_t record = options->ring_size / 2 < NUMI_TAPE_RECORD_SIZE_MAX
                          ? options->ring_size / 2
                          : NUMI_TAPE_RECORD_SIZE_MAX;
    uint64_t block = options->block_size > record ? options->block_size : record;
    return 2 * sizeof(struct tape_block) + begin + block;
}

static int check_options(const struct numi_tape_options *options) {
    if (!numi_is_power_of_two(options->ring_size) || options->ring_size < NUMI_TAPE_RING_SIZE_MIN ||
        options->ring_size > (uint64_t)1 << 40)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "tape with a ring of %llu bytes: allowed powers of two, %d to 2^40",
                              (unsigned long long)options->ring_size, NUMI_TAPE_RING_SIZE_MIN);
    if (options->block_size < NUMI_TAPE_BLOCK_SIZE_MIN ||
        options->block_size > NUMI_TAPE_BLOCK_SIZE_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "tape with blocks of %u bytes: allowed %d to %d",
                              options->block_size, NUMI_TAPE_BLOCK_SIZE_MIN,
                              NUMI_TAPE_BLOCK_SIZE_MAX);
    if (options->config_size > NUMI_TAPE_CONFIG_SIZE_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "tape with a configuration of %llu bytes: at most %d",
                              (unsigned long long)options->config_size, NUMI_TAPE_CONFIG_SIZE_MAX);
    uint64_t segment_size = segment_size_min(options);
    if (options->segment_size < segment_size || options->segment_size > (uint64_t)1 << 50)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "tape with segments of %llu bytes: allowed %llu (what a begin and a "
                              "block may take) to 2^50",
                              (unsigned long long)options->segment_size,
                              (unsigned long long)segment_size);
    if (options->keep_size > 0 && options->keep_size / 2 < options->segment_size)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "tape that keeps %llu bytes: at least two segments, %llu; or 0: all",
                              (unsigned long long)options->keep_size,
                              (unsigned long long)(2 * options->segment_size));
    return NUMI_OK;
}

/* What the first segment begins with. */
static int make_begin(struct numi_tape_writer *writer, const struct numi_tape_options *options) {
    struct numi_tape_fit fits[NUMI_TAPE_FITS_MAX];
    uint64_t fits_size =
        options->clock != NULL ? gather_fits(fits, options->clock) * sizeof fits[0] : 0;
    struct tape_begin begin = {
        .head = {.size = (uint32_t)(sizeof begin + options->config_size), .kind = NUMI_TAPE_BEGIN},
        .identity = options->identity,
        .flags = TAPE_FROM_OPEN,
    };
    struct tape_head clock = {.size = (uint32_t)(sizeof clock + fits_size),
                              .kind = NUMI_TAPE_CLOCK};
    writer->begin_size = tape_round(begin.head.size);
    writer->begin_records = calloc(1, writer->begin_size + sizeof clock + sizeof fits);
    if (writer->begin_records == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory for its configuration",
                              options->path);
    memcpy(writer->begin_records, &begin, sizeof begin);
    if (options->config_size > 0)
        memcpy(writer->begin_records + sizeof begin, options->config, options->config_size);
    if (fits_size > 0) {
        memcpy(writer->begin_records + writer->begin_size, &clock, sizeof clock);
        memcpy(writer->begin_records + writer->begin_size + sizeof clock, fits, fits_size);
        writer->clock_size = clock.size;
    }
    return NUMI_OK;
}

static void free_tape(struct numi_tape *tape) {
    numi_tape_writer_close(&tape->writer);
    numi_memory_close(&tape->memory);
    free(tape);
}

static int open_parts(struct numi_tape *tape, const struct numi_tape_options *options) {
    struct numi_tape_writer *writer = &tape->writer;
    writer->folder = writer->file = -1;
    writer->segment_size = options->segment_size;
    writer->keep_size = options->keep_size;
    writer->keep_ns = options->keep_ns;
    writer->flush_ns = options->flush_ns;
    writer->block_size = options->block_size;
    int code = numi_memory_open(&tape->memory, options->ring_size, options->pages, NUMI_NODE_ANY);
    if (code == NUMI_OK)
        code = make_begin(writer, options);
    if (code < 0)
        return code;
    writer->ring = tape->recorder.ring = tape->memory.base;
    writer->ring_size = tape->recorder.ring_size = tape->recorder.limit = options->ring_size;
    return numi_tape_writer_open(writer, options->path);
}

int numi_tape_open(struct numi_tape **out, const struct numi_tape_options *options) {
    *out = NULL;
    int code = check_options(options);
    if (code < 0)
        return code;
    struct numi_tape *tape = aligned_alloc(_Alignof(struct numi_tape), sizeof *tape);
    if (tape == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory to open it", options->path);
    memset(tape, 0, sizeof *tape);
    code = open_parts(tape, options);
    if (code < 0)
        free_tape(tape);
    else
        *out = tape;
    return code;
}

/* What is still to be told, and that this is the end. */
static int write_end(struct numi_tape *tape) {
    uint8_t records[sizeof(struct tape_lost) + sizeof(struct tape_head)];
    struct tape_lost lost = {{.size = sizeof lost, .kind = NUMI_TAPE_LOST}, tape->recorder.lost};
    struct tape_head end = {.size = sizeof end, .kind = NUMI_TAPE_END};
    uint32_t size = 0;
    if (tape->recorder.has_lost && !NUMI_PLANTED(SILENT_DROP)) {
        memcpy(records, &lost, sizeof lost);
        size = sizeof lost;
    }
    memcpy(records + size, &end, sizeof end);
    return numi_tape_write_block(&tape->writer, records, size + (uint32_t)sizeof end,
                                 size > 0 ? 2 : 1);
}

int numi_tape_close(struct numi_tape *tape) {
    if (tape == NULL)
        return NUMI_OK;
    int64_t code = numi_tape_flush(tape);
    if (code >= 0)
        code = write_end(tape);
    free_tape(tape);
    return code < 0 ? (int)code : NUMI_OK;
}

const struct numi_memory *numi_tape_memory(const struct numi_tape *tape) {
    return &tape->memory;
}
