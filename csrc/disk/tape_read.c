#define _GNU_SOURCE
#include "disk/tape_read.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/error.h"
#include "disk/stream.h"
#include "disk/tape_private.h"

struct numi_tape_reader {
    struct numi_stream *stream;
    char *path; /* as given */
    bool is_folder;
    uint64_t segment;      /* by its name; in a single file, by its begin */
    uint64_t last_segment; /* in the folder when the reader was opened: those before grow no more */
    uint64_t offset;       /* of the block */
    const uint8_t *records; /* of the block */
    uint32_t size, at;
    bool is_begin;         /* the block is the first of its segment */
    bool has_begun;        /* a block has been read, so the next three are known: */
    uint64_t serial;       /* of the next block */
    uint64_t record;       /* of the next record */
    uint64_t missing_from; /* the number of the first record that is missing, if any */
    int failure;           /* for good */
    char detail[512];
    struct numi_tape_counts counts;
};

/* --- segments */

void numi_tape_segment_name(char *name, uint64_t number) {
    snprintf(name, NUMI_TAPE_NAME_ROOM, "%0*llu" TAPE_SUFFIX, TAPE_NAME_DIGITS,
             (unsigned long long)number);
}

static bool number_of(const char *name, uint64_t *number) {
    char same[NUMI_TAPE_NAME_ROOM];
    *number = strtoull(name, NULL, 10);
    numi_tape_segment_name(same, *number);
    return strcmp(name, same) == 0;
}

int numi_tape_find_segment(const char *path, uint64_t from, uint64_t *lowest, uint64_t *highest) {
    DIR *folder = opendir(path);
    if (folder == NULL)
        return numi_error_set_errno(errno, "%s", path);
    int found = 0;
    uint64_t each;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (!number_of(entry->d_name, &each) || each < from)
            continue;
        *lowest = found == 0 || each < *lowest ? each : *lowest;
        *highest = found == 0 || each > *highest ? each : *highest;
        found = 1;
    }
    closedir(folder);
    return found;
}

/* --- errors, kept */

static int fail_as_before(const struct numi_tape_reader *reader) {
    return numi_error_set(reader->failure, "%s", reader->detail);
}

static int keep_failure(struct numi_tape_reader *reader, int code) {
    reader->failure = code;
    snprintf(reader->detail, sizeof reader->detail, "%s", numi_error_detail());
    return code;
}

#define FAIL(reader, code, at, format, ...)                                                        \
    keep_failure(reader, numi_error_set(code, "%s: " format " (offset %llu)",                      \
                                        numi_stream_path((reader)->stream), __VA_ARGS__,           \
                                        (unsigned long long)(at)))

#define CORRUPT(reader, format, ...)                                                               \
    FAIL(reader, NUMI_ERR_CORRUPT, (reader)->offset + (reader)->at, format, __VA_ARGS__)

/* --- one file */

/* The file that was open stays so where this one cannot be. */
static int open_stream(struct numi_tape_reader *reader, const char *path) {
    struct numi_stream *stream;
    int code = numi_stream_open(&stream, path);
    if (code < 0)
        return code;
    numi_stream_close(reader->stream);
    reader->stream = stream;
    reader->offset = 0;
    return NUMI_OK;
}

/* 1 and the segment with this number is open; 0 where it has been thrown away meanwhile. */
static int open_segment(struct numi_tape_reader *reader, uint64_t number) {
    char name[NUMI_TAPE_NAME_ROOM], path[4096];
    numi_tape_segment_name(name, number);
    if (snprintf(path, sizeof path, "%s/%s", reader->path, name) >= (int)sizeof path)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%s: a path of %zu bytes or more", reader->path,
                              sizeof path);
    int code = open_stream(reader, path);
    if (code < 0)
        return code == NUMI_ERR_NOT_FOUND ? 0 : code;
    reader->segment = number;
    return 1;
}

/* 1 and the first segment from a number on is open; 0 where there is none. Mostly that is the next
 * one: the folder is listed only where it is not. */
static int open_from(struct numi_tape_reader *reader, uint64_t number) {
    uint64_t highest;
    int code = open_segment(reader, number);
    while (code == 0) {
        code = numi_tape_find_segment(reader->path, number, &number, &highest);
        if (code <= 0)
            return code;
        code = open_segment(reader, number);
    }
    return code;
}

/* --- one block */

/* The file ends within a block, or in zeros. */
static int torn(struct numi_tape_reader *reader, uint64_t size) {
    if (reader->is_folder && reader->segment < reader->last_segment)
        return CORRUPT(reader, "%llu bytes of a block at the end, but there is a later segment",
                       (unsigned long long)size);
    reader->counts.torn = 1;
    reader->counts.torn_offset = reader->offset;
    reader->counts.torn_size = size;
    return 0;
}

/* What cannot be a block: perhaps nothing was written there but the file's length. */
static int no_block(struct numi_tape_reader *reader, const char *what) {
    static const uint8_t zeros[4096];
    uint64_t size = 0;
    for (;;) {
        const uint8_t *bytes;
        int64_t got = numi_stream_need(reader->stream, 1, &bytes);
        if (got < 0)
            return keep_failure(reader, (int)got);
        if (got == 0)
            return torn(reader, size);
        uint64_t piece = (uint64_t)got < sizeof zeros ? (uint64_t)got : sizeof zeros;
        if (memcmp(bytes, zeros, piece) != 0)
            return CORRUPT(reader, "%s", what);
        numi_stream_advance(reader->stream, piece);
        size += piece;
    }
}

/* A block's own numbers against those that should come. */
static int check_order(struct numi_tape_reader *reader, const struct tape_block *block) {
    reader->missing_from = block->record;
    if (!reader->has_begun)
        return 1;
    if (block->serial == reader->serial && block->record == reader->record)
        return 1;
    if (!reader->is_begin || block->serial <= reader->serial || block->record < reader->record)
        return CORRUPT(reader, "block %llu from record %llu on: expected block %llu, record %llu",
                       (unsigned long long)block->serial, (unsigned long long)block->record,
                       (unsigned long long)reader->serial, (unsigned long long)reader->record);
    reader->missing_from = reader->record;
    return 1;
}

static int check_block(struct numi_tape_reader *reader, const struct tape_block *block,
                       const uint8_t *records) {
    if (numi_crc32c(0, records, block->size) != block->records_crc)
        return CORRUPT(reader, "block %llu: its records do not have its checksum",
                       (unsigned long long)block->serial);
    return check_order(reader, block);
}

static bool is_head(const struct tape_block *block) {
    return block->magic == TAPE_MAGIC && block->head_crc == tape_head_crc(block) &&
           block->flags == 0 && block->count > 0 && block->size % TAPE_ALIGNMENT == 0 &&
           block->size <= NUMI_TAPE_BLOCK_SIZE_MAX && block->serial < UINT64_MAX / 2 &&
           block->record < UINT64_MAX / 2;
}

static int check_walk(struct numi_tape_reader *reader, uint32_t count);

/* 1 and the next block stands at `records`; 0 at the end of the file, whole or torn. */
static int next_block(struct numi_tape_reader *reader) {
    struct tape_block block;
    const uint8_t *bytes;
    reader->at = 0;
    int64_t got = numi_stream_need(reader->stream, sizeof block, &bytes);
    if (got < 0)
        return keep_failure(reader, (int)got);
    if (got == 0)
        return numi_stream_torn(reader->stream) ? torn(reader, 0) : 0;
    if ((uint64_t)got < sizeof block) {
        uint32_t magic = TAPE_MAGIC;
        uint64_t piece = (uint64_t)got < sizeof magic ? (uint64_t)got : sizeof magic;
        return memcmp(bytes, &magic, piece) == 0 ? torn(reader, (uint64_t)got)
                                                 : no_block(reader, "this is no tape");
    }
    memcpy(&block, bytes, sizeof block);
    if (block.magic == TAPE_MAGIC && block.version != NUMI_TAPE_VERSION)
        return FAIL(reader, NUMI_ERR_VERSION, reader->offset, "version %u: read is %d",
                    block.version, NUMI_TAPE_VERSION);
    if (!is_head(&block))
        return no_block(reader, reader->offset == 0 ? "this is no tape" : "this is no block");
    got = numi_stream_need(reader->stream, sizeof block + block.size, &bytes);
    if (got < 0)
        return keep_failure(reader, (int)got);
    if ((uint64_t)got < sizeof block + block.size)
        return torn(reader, (uint64_t)got);
    reader->is_begin = reader->offset == 0;
    int code = check_block(reader, &block, bytes + sizeof block);
    if (code < 0)
        return code;
    reader->records = bytes + sizeof block;
    reader->size = block.size;
    code = check_walk(reader, block.count);
    if (code < 0) {
        reader->size = reader->at = 0;
        return code;
    }
    reader->serial = block.serial + 1;
    reader->record = block.record;
    reader->has_begun = true;
    reader->counts.blocks++;
    reader->counts.file_bytes += sizeof block + block.size;
    return 1;
}

static void leave_block(struct numi_tape_reader *reader) {
    uint64_t size = reader->size > 0 ? sizeof(struct tape_block) + reader->size : 0;
    numi_stream_advance(reader->stream, size);
    reader->offset += size;
    reader->size = reader->at = 0;
}

/* --- records */

/* What is wrong with the size of a record, or NULL. */
static const char *size_fault(const struct tape_head *head, const uint8_t *record) {
    struct tape_frame frame;
    switch (head->kind) {
    case NUMI_TAPE_BEGIN:
        return head->size < sizeof(struct tape_begin) ? "a begin that is too short" : NULL;
    case NUMI_TAPE_FRAME:
        if (head->size < sizeof frame)
            return "a frame that is too short";
        memcpy(&frame, record, sizeof frame);
        return head->size - sizeof frame < frame.header_size ? "a frame shorter than its headers"
                                                             : NULL;
    case NUMI_TAPE_STEP:
        return head->size != sizeof(struct tape_step) ? "a step of another size" : NULL;
    case NUMI_TAPE_COUNTERS:
        return head->size < sizeof(struct tape_counters) ||
                       (head->size - sizeof(struct tape_counters)) %
                           sizeof(struct numi_tape_counter)
                   ? "counters of another size"
                   : NULL;
    case NUMI_TAPE_CLOCK:
        return (head->size - sizeof *head) % sizeof(struct numi_tape_fit)
                   ? "a clock of another size"
                   : NULL;
    case NUMI_TAPE_LOST:
        return head->size != sizeof(struct tape_lost) ? "a lost of another size" : NULL;
    case NUMI_TAPE_END:
        return head->size != sizeof *head ? "an end of another size" : NULL;
    default:
        return "a record of an unknown kind";
    }
}

static const char *content_fault(const struct numi_tape_reader *reader,
                                 const struct tape_head *head, const uint8_t *record) {
    struct tape_begin begin;
    bool is_first = reader->is_begin && reader->at == 0;
    if (is_first != (head->kind == NUMI_TAPE_BEGIN))
        return is_first ? "a segment without a begin" : "a begin within a segment";
    if (head->kind == NUMI_TAPE_COUNTERS) {
        for (uint64_t at = sizeof(struct tape_counters); at < head->size;
             at += sizeof(struct numi_tape_counter))
            if (memchr(record + at, 0, NUMI_TAPE_COUNTER_NAME_ROOM) == NULL)
                return "a counter whose name does not end";
    } else if (head->kind == NUMI_TAPE_CLOCK) {
        for (uint64_t at = sizeof *head; at < head->size; at += sizeof(struct numi_tape_fit)) {
            struct numi_tape_fit fit;
            memcpy(&fit, record + at, sizeof fit);
            if (fit.domain >= NUMI_DOMAIN_COUNT || fit.fit.scale == 0)
                return "a clock that cannot be";
        }
    } else if (head->kind == NUMI_TAPE_BEGIN) {
        memcpy(&begin, record, sizeof begin);
        if (reader->is_folder && begin.segment != reader->segment)
            return "a begin of another segment";
        if (reader->counts.segments > 0 && begin.identity != reader->counts.identity)
            return "a segment of another tape";
    }
    return NULL;
}

/* All records of a block, before the first is handed out. */
static int check_walk(struct numi_tape_reader *reader, uint32_t count) {
    uint32_t found = 0;
    for (; reader->at < reader->size; found++) {
        struct tape_head head;
        const uint8_t *record = reader->records + reader->at;
        uint32_t left = reader->size - reader->at;
        memcpy(&head, record, sizeof head);
        const char *fault = head.size < sizeof head || head.size > left
                                ? "a record that does not fit its block"
                                : size_fault(&head, record);
        if (fault == NULL)
            fault = content_fault(reader, &head, record);
        if (fault != NULL) {
            reader->at += (uint32_t)sizeof(struct tape_block);
            return CORRUPT(reader, "%s, kind %u, %u bytes", fault, head.kind, head.size);
        }
        reader->at += (uint32_t)tape_round(head.size);
    }
    reader->at = 0;
    if (found != count)
        return CORRUPT(reader, "%u records in a block of %u", found, count);
    return 1;
}

static void note_time(struct numi_tape_counts *counts, int64_t ns) {
    if (!counts->has_time || ns < counts->first_ns)
        counts->first_ns = ns;
    if (!counts->has_time || ns > counts->last_ns)
        counts->last_ns = ns;
    counts->has_time = 1;
}

static void read_begin(struct numi_tape_reader *reader, const uint8_t *record,
                       struct numi_tape_record *out) {
    struct numi_tape_counts *counts = &reader->counts;
    struct tape_begin begin;
    memcpy(&begin, record, sizeof begin);
    out->identity = begin.identity;
    out->from_open = begin.flags & TAPE_FROM_OPEN;
    out->data = record + sizeof begin;
    out->size = begin.head.size - (uint32_t)sizeof begin;
    out->segment = reader->segment = begin.segment;
    if (counts->segments == 0) {
        counts->first_segment = begin.segment;
        counts->from_open = out->from_open;
        counts->identity = begin.identity;
    }
    counts->last_segment = begin.segment;
    counts->segments++;
}

static void read_frame(struct numi_tape_reader *reader, const uint8_t *record,
                       struct numi_tape_record *out) {
    struct tape_frame from;
    memcpy(&from, record, sizeof from);
    out->data = record + sizeof from;
    out->size = from.head.size - (uint32_t)sizeof from;
    out->now_ns = from.taken_ns;
    out->frame = (struct numi_frame){
        .rx = {.ns = from.rx_ns,
               .error_ns = from.error_ns,
               .source = from.source,
               .domain = from.domain},
        .taken_ns = from.taken_ns,
        .data_offset = from.header_size,
        .data_size = out->size - from.header_size,
        .wire_size = from.wire_size,
        .header_size = from.header_size,
        .port = from.head.port,
        .line = from.head.line,
        .flags = from.flags,
    };
    reader->counts.frames++;
    reader->counts.frame_bytes += out->size;
    reader->counts.line_frames[from.head.line]++;
    note_time(&reader->counts, from.taken_ns);
}

static void read_step(struct numi_tape_reader *reader, const uint8_t *record,
                      struct numi_tape_record *out) {
    struct tape_step step;
    memcpy(&step, record, sizeof step);
    out->now_ns = step.now_ns;
    out->budget = step.budget;
    out->count = step.count;
    reader->counts.steps++;
    note_time(&reader->counts, step.now_ns);
}

static void read_counters(struct numi_tape_reader *reader, const uint8_t *record,
                          struct numi_tape_record *out) {
    struct tape_counters counters;
    memcpy(&counters, record, sizeof counters);
    out->now_ns = counters.now_ns;
    out->frame.port = counters.head.port;
    out->data = record + sizeof counters;
    out->size = counters.head.size - (uint32_t)sizeof counters;
    out->count = out->size / (uint32_t)sizeof(struct numi_tape_counter);
    reader->counts.counters++;
    note_time(&reader->counts, counters.now_ns);
}

static void read_lost(struct numi_tape_reader *reader, const uint8_t *record,
                      struct numi_tape_record *out) {
    struct numi_tape_lost *sum = &reader->counts.lost;
    memcpy(&out->lost, record + sizeof(struct tape_head), sizeof out->lost);
    sum->frames += out->lost.frames;
    sum->frame_bytes += out->lost.frame_bytes;
    sum->steps += out->lost.steps;
    sum->others += out->lost.others;
    reader->counts.losses++;
}

static void hand_out(struct numi_tape_reader *reader, struct numi_tape_record *out) {
    const uint8_t *record = reader->records + reader->at;
    struct tape_head head;
    memcpy(&head, record, sizeof head);
    *out = (struct numi_tape_record){
        .kind = head.kind,
        .offset = reader->offset + sizeof(struct tape_block) + reader->at,
        .number = reader->record,
        .segment = reader->segment,
    };
    switch (head.kind) {
    case NUMI_TAPE_BEGIN:
        read_begin(reader, record, out);
        break;
    case NUMI_TAPE_FRAME:
        read_frame(reader, record, out);
        break;
    case NUMI_TAPE_STEP:
        read_step(reader, record, out);
        break;
    case NUMI_TAPE_COUNTERS:
        read_counters(reader, record, out);
        break;
    case NUMI_TAPE_CLOCK:
        out->data = record + sizeof head;
        out->size = head.size - (uint32_t)sizeof head;
        out->count = out->size / (uint32_t)sizeof(struct numi_tape_fit);
        reader->counts.clocks++;
        break;
    case NUMI_TAPE_LOST:
        read_lost(reader, record, out);
        break;
    case NUMI_TAPE_END:
        reader->counts.closed = 1;
        break;
    }
    reader->at += (uint32_t)tape_round(head.size);
    reader->record += !reader->is_begin;
    reader->counts.records += !reader->is_begin;
}

/* Segments that went before they could be read. */
static void hand_out_missing(struct numi_tape_reader *reader, struct numi_tape_record *out) {
    *out = (struct numi_tape_record){
        .kind = NUMI_TAPE_MISSING,
        .offset = reader->offset,
        .number = reader->missing_from,
        .segment = reader->segment,
        .missing = reader->record - reader->missing_from,
    };
    reader->counts.missing += out->missing;
    reader->missing_from = reader->record;
}

/* --- what the header promises */

/* 1 and the next file is open; 0 where this was the last. */
static int next_file(struct numi_tape_reader *reader) {
    if (!reader->is_folder || reader->segment >= reader->last_segment)
        return 0;
    return open_from(reader, reader->segment + 1);
}

int numi_tape_reader_next(struct numi_tape_reader *reader, struct numi_tape_record *out) {
    while (reader->at == reader->size) {
        if (reader->failure < 0)
            return fail_as_before(reader);
        leave_block(reader);
        int code = next_block(reader);
        if (code == 0) {
            code = next_file(reader);
            if (code <= 0)
                return code < 0 ? keep_failure(reader, code) : 0;
        }
        if (code < 0)
            return code;
    }
    if (NUMI_UNLIKELY(reader->missing_from != reader->record && reader->at == 0 &&
                      reader->is_begin))
        hand_out_missing(reader, out);
    else
        hand_out(reader, out);
    return 1;
}

int64_t numi_tape_reader_skip(struct numi_tape_reader *reader, uint64_t budget) {
    struct numi_tape_record record;
    uint64_t count = 0;
    for (int code; count < budget; count++)
        if ((code = numi_tape_reader_next(reader, &record)) <= 0)
            return code < 0 ? code : (int64_t)count;
    return (int64_t)count;
}

const struct numi_tape_counts *numi_tape_reader_counts(const struct numi_tape_reader *reader) {
    return &reader->counts;
}

static int open_path(struct numi_tape_reader *reader) {
    struct stat status;
    uint64_t first;
    reader->is_folder = stat(reader->path, &status) == 0 && S_ISDIR(status.st_mode);
    if (!reader->is_folder)
        return open_stream(reader, reader->path);
    int code = numi_tape_find_segment(reader->path, 0, &first, &reader->last_segment);
    if (code > 0)
        code = open_from(reader, first);
    return code == 0 ? numi_error_set(NUMI_ERR_NOT_FOUND, "%s: a folder without a segment (*%s)",
                                      reader->path, TAPE_SUFFIX)
                     : code;
}

int numi_tape_reader_open(struct numi_tape_reader **out, const char *path) {
    *out = NULL;
    struct numi_tape_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || (reader->path = strdup(path)) == NULL) {
        free(reader);
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory to read it", path);
    }
    int code = open_path(reader);
    if (code >= 0)
        code = next_block(reader); /* so that a file which is no tape is not opened */
    if (code < 0)
        numi_tape_reader_close(reader);
    else
        *out = reader;
    return code < 0 ? code : NUMI_OK;
}

void numi_tape_reader_close(struct numi_tape_reader *reader) {
    if (reader == NULL)
        return;
    numi_stream_close(reader->stream);
    free(reader->path);
    free(reader);
}
