#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "disk/tape_private.h"

enum { SEGMENTS_A_KEEP = 8 /* a tape bounded by time is thrown away in pieces of this part */ };

static uint64_t segment_number(const struct numi_tape_writer *writer) {
    return writer->counts.segments - 1;
}

/* What failed, with path and place; the code to return. */
static int fail(const struct numi_tape_writer *writer, int error_number, const char *what,
                uint64_t number) {
    char name[NUMI_TAPE_NAME_ROOM];
    numi_tape_segment_name(name, number);
    return numi_error_set_errno(error_number, "%s/%s: %s at offset %llu", writer->path, name, what,
                                (unsigned long long)writer->offset);
}

static int write_at(const struct numi_tape_writer *writer, const void *data, uint64_t size,
                    uint64_t offset) {
    const uint8_t *bytes = data;
    while (size > 0) {
        ssize_t put = pwrite(writer->file, bytes, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(writer, errno, "write", segment_number(writer));
        bytes += put;
        offset += (uint64_t)put;
        size -= (uint64_t)put;
    }
    return NUMI_OK;
}

/* The same bytes at the same place, as often as it takes: a reader beside sees a part of the block,
 * or all of it. */
static int put_block(struct numi_tape_writer *writer, const uint8_t *records, uint32_t size,
                     uint32_t count) {
    struct tape_block block = {
        .magic = TAPE_MAGIC,
        .version = NUMI_TAPE_VERSION,
        .size = size,
        .count = count,
        .serial = writer->serial,
        .record = writer->record,
        .records_crc = numi_crc32c(0, records, size),
    };
    block.head_crc = tape_head_crc(&block);
    int code = write_at(writer, &block, sizeof block, writer->offset);
    if (code == NUMI_OK)
        code = write_at(writer, records, size, writer->offset + sizeof block);
    if (code < 0)
        return code;
    writer->offset += sizeof block + size;
    writer->serial++;
    writer->counts.blocks++;
    writer->counts.file_bytes += sizeof block + size;
    writer->counts.kept_bytes += sizeof block + size;
    return NUMI_OK;
}

/* --- segments */

static bool is_too_old(const struct numi_tape_writer *writer,
                       const struct numi_tape_segment *segment) {
    return writer->keep_ns > 0 &&
           (uint64_t)writer->last_ns - (uint64_t)segment->last_ns > writer->keep_ns;
}

static bool is_too_much(const struct numi_tape_writer *writer) {
    return writer->keep_size > 0 &&
           writer->counts.kept_bytes + writer->segment_size > writer->keep_size;
}

/* Makes room for a new segment. */
static int throw_away(struct numi_tape_writer *writer) {
    uint64_t count = 0;
    int code = NUMI_OK;
    while (count < writer->segment_count &&
           (is_too_much(writer) || is_too_old(writer, &writer->segments[count]))) {
        char name[NUMI_TAPE_NAME_ROOM];
        numi_tape_segment_name(name, writer->counts.first_segment);
        if (unlinkat(writer->folder, name, 0) < 0 && errno != ENOENT) {
            code = fail(writer, errno, "throwing it away", writer->counts.first_segment);
            break;
        }
        writer->counts.kept_bytes -= writer->segments[count++].size;
        writer->counts.thrown_away++;
        writer->counts.first_segment++;
    }
    if (count > 0) {
        writer->segment_count -= count;
        memmove(writer->segments, writer->segments + count,
                writer->segment_count * sizeof *writer->segments);
    }
    return code;
}

/* Room in the list for one more. */
static int grow_segments(struct numi_tape_writer *writer) {
    if (writer->segment_count < writer->segment_room)
        return NUMI_OK;
    uint64_t room = 2 * writer->segment_room + 8;
    struct numi_tape_segment *wider = realloc(writer->segments, room * sizeof *wider);
    if (wider == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: a list of %llu segments", writer->path,
                              (unsigned long long)room);
    writer->segments = wider;
    writer->segment_room = room;
    return NUMI_OK;
}

static int make_segment(struct numi_tape_writer *writer) {
    char name[NUMI_TAPE_NAME_ROOM];
    uint64_t number = writer->counts.segments;
    int code = throw_away(writer);
    if (code == NUMI_OK)
        code = grow_segments(writer);
    if (code < 0)
        return code;
    numi_tape_segment_name(name, number);
    writer->offset = 0;
    writer->file = openat(writer->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer->file < 0)
        return fail(writer, errno, "making it", number);
    writer->counts.segments++;
    writer->begin_ns = writer->last_ns;
    writer->has_begin_time = writer->has_time;
    return NUMI_OK;
}

static int write_begin(struct numi_tape_writer *writer) {
    struct tape_begin begin;
    memcpy(&begin, writer->begin_records, sizeof begin);
    begin.segment = segment_number(writer);
    begin.flags = begin.segment == 0 ? TAPE_FROM_OPEN : 0;
    memcpy(writer->begin_records, &begin, sizeof begin);
    return put_block(writer, writer->begin_records,
                     (uint32_t)(writer->begin_size + writer->clock_size),
                     writer->clock_size > 0 ? 2 : 1);
}

/* Some file systems tell only now what they failed to write: nothing to be tried again. */
static int finish_segment(struct numi_tape_writer *writer) {
    writer->segments[writer->segment_count++] =
        (struct numi_tape_segment){writer->offset, writer->last_ns};
    int code = close(writer->file) < 0 ? fail(writer, errno, "closing it", segment_number(writer))
                                       : NUMI_OK;
    writer->file = -1;
    return code;
}

static bool is_full(const struct numi_tape_writer *writer, uint32_t size) {
    if (writer->offset + sizeof(struct tape_block) + size > writer->segment_size)
        return true;
    return writer->keep_ns > 0 && writer->has_begin_time &&
           (uint64_t)writer->last_ns - (uint64_t)writer->begin_ns >
               writer->keep_ns / SEGMENTS_A_KEEP;
}

/* A segment with its begin and room for a block. Each part that is done stays done. */
static int need_segment(struct numi_tape_writer *writer, uint32_t size) {
    uint64_t begun = sizeof(struct tape_block) + writer->begin_size + writer->clock_size;
    int code = NUMI_OK;
    if (writer->file >= 0 && writer->offset > begun && is_full(writer, size))
        code = finish_segment(writer);
    if (code == NUMI_OK && writer->file < 0)
        code = make_segment(writer);
    if (code == NUMI_OK && writer->offset == 0)
        code = write_begin(writer);
    return code;
}

int numi_tape_write_block(struct numi_tape_writer *writer, const uint8_t *records, uint32_t size,
                          uint32_t count) {
    int code = need_segment(writer, size);
    if (code == NUMI_OK)
        code = put_block(writer, records, size, count);
    if (code < 0) {
        writer->counts.failures++;
        return code;
    }
    writer->record += count;
    writer->counts.records += count;
    return NUMI_OK;
}

/* --- from the ring */

static void note_time(struct numi_tape_writer *writer, int64_t ns) {
    if (!writer->has_time || ns > writer->last_ns)
        writer->last_ns = ns;
    if (!writer->has_begin_time)
        writer->begin_ns = ns;
    writer->has_time = writer->has_begin_time = true;
}

/* What the writer has to know of a record. */
static void note_record(struct numi_tape_writer *writer, const struct tape_head *head,
                        const uint8_t *record) {
    int64_t ns;
    switch (head->kind) {
    case NUMI_TAPE_FRAME:
        memcpy(&ns, record + offsetof(struct tape_frame, taken_ns), sizeof ns);
        note_time(writer, ns);
        break;
    case NUMI_TAPE_STEP:
    case NUMI_TAPE_COUNTERS:
        memcpy(&ns, record + sizeof *head, sizeof ns);
        note_time(writer, ns);
        break;
    case NUMI_TAPE_CLOCK:
        memcpy(writer->begin_records + writer->begin_size, record, head->size);
        writer->clock_size = head->size;
        break;
    }
}

static void pop(struct numi_tape *tape, uint64_t size) {
    tape->writer.own += size;
    atomic_store_explicit(&tape->popped, tape->writer.own, memory_order_release);
}

/* Whether a block that has something takes no more: it lies in one piece of the ring. */
static bool is_whole(const struct numi_tape_writer *writer, const struct tape_head *head,
                     uint64_t place) {
    return writer->gathered > 0 && (head->kind == TAPE_PAD || place == 0 ||
                                    writer->gathered + tape_round(head->size) > writer->block_size);
}

/* Whole records into the next block, as far as they are there and it has room for them. */
static void gather(struct numi_tape *tape) {
    struct numi_tape_writer *writer = &tape->writer;
    uint64_t pushed = atomic_load_explicit(&tape->pushed, memory_order_acquire);
    while (!writer->is_whole && writer->own + writer->gathered < pushed) {
        struct tape_head head;
        uint64_t place = (writer->own + writer->gathered) & (writer->ring_size - 1);
        const uint8_t *record = writer->ring + place;
        memcpy(&head, record, sizeof head);
        writer->is_whole = is_whole(writer, &head, place);
        if (writer->is_whole)
            break;
        if (head.kind == TAPE_PAD) {
            pop(tape, head.size);
            continue;
        }
        note_record(writer, &head, record);
        writer->gathered += tape_round(head.size);
        writer->count++;
    }
}

static int write_gathered(struct numi_tape *tape) {
    struct numi_tape_writer *writer = &tape->writer;
    const uint8_t *records = writer->ring + (writer->own & (writer->ring_size - 1));
    int code = numi_tape_write_block(writer, records, (uint32_t)writer->gathered, writer->count);
    if (code < 0)
        return code;
    pop(tape, writer->gathered);
    writer->gathered = writer->count = 0;
    writer->is_whole = writer->is_waiting = false;
    return NUMI_OK;
}

int64_t numi_tape_write(struct numi_tape *tape, int64_t now_ns, uint64_t budget) {
    struct numi_tape_writer *writer = &tape->writer;
    uint64_t written = 0;
    while (written < budget) {
        gather(tape);
        if (writer->gathered == 0)
            break;
        if (!writer->is_waiting) {
            writer->is_waiting = true;
            writer->waiting_since_ns = now_ns;
        }
        uint64_t waited_ns = (uint64_t)now_ns - (uint64_t)writer->waiting_since_ns;
        if (!writer->is_whole && waited_ns < writer->flush_ns)
            break;
        int code = write_gathered(tape);
        if (code < 0)
            return code;
        written++;
    }
    return (int64_t)written;
}

int64_t numi_tape_flush(struct numi_tape *tape) {
    struct numi_tape_writer *writer = &tape->writer;
    uint64_t until = atomic_load_explicit(&tape->pushed, memory_order_acquire), written = 0;
    while (writer->own < until) {
        gather(tape);
        if (writer->gathered == 0)
            break;
        int code = write_gathered(tape);
        if (code < 0)
            return code;
        written++;
    }
    return (int64_t)written;
}

void numi_tape_written(const struct numi_tape *tape, struct numi_tape_written *out) {
    *out = tape->writer.counts;
}

/* --- open and close */

static int open_folder(struct numi_tape_writer *writer) {
    uint64_t lowest, highest;
    if (mkdir(writer->path, 0777) < 0 && errno != EEXIST)
        return numi_error_set_errno(errno, "%s", writer->path);
    int found = numi_tape_find_segment(writer->path, 0, &lowest, &highest);
    if (found < 0)
        return found;
    if (found > 0)
        return numi_error_set(NUMI_ERR_EXISTS,
                              "%s: holds a tape already: choose another folder, or remove it",
                              writer->path);
    writer->folder = open(writer->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return writer->folder >= 0 ? NUMI_OK : numi_error_set_errno(errno, "%s", writer->path);
}

/* A folder that could not become a tape is left without one. */
static int begin_tape(struct numi_tape_writer *writer) {
    int code = need_segment(writer, 0);
    if (code < 0 && writer->file >= 0) {
        char name[NUMI_TAPE_NAME_ROOM];
        numi_tape_segment_name(name, 0);
        unlinkat(writer->folder, name, 0);
    }
    return code;
}

int numi_tape_writer_open(struct numi_tape_writer *writer, const char *path) {
    writer->path = strdup(path);
    if (writer->path == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory to open it", path);
    int code = open_folder(writer);
    return code < 0 ? code : begin_tape(writer);
}

void numi_tape_writer_close(struct numi_tape_writer *writer) {
    if (writer->file >= 0)
        close(writer->file);
    if (writer->folder >= 0)
        close(writer->folder);
    free(writer->begin_records);
    free(writer->segments);
    free(writer->path);
}
