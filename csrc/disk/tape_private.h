/* What the two sides of a tape share: tape.c records, tape_write.c writes. */
#ifndef NUMI_DISK_TAPE_PRIVATE_H
#define NUMI_DISK_TAPE_PRIVATE_H

#include <stdatomic.h>

#include "disk/tape_format.h"

enum {
    NUMI_TAPE_FITS_MAX = NUMI_DOMAIN_COUNT,
    NUMI_TAPE_NAME_ROOM = 32, /* of a segment's name */
};

/* Cursors count bytes since the beginning; byte k lies at place k mod ring size, and no record
 * straddles the ring's end. Own cursors are kept once more, as in frame/ring.h. */
struct numi_tape_recorder {
    uint8_t *ring;
    uint64_t ring_size;
    uint64_t own;               /* `pushed`, as published */
    uint64_t limit;             /* how far it may go by what was last seen of the writer */
    bool has_lost;              /* something waits for room to be told */
    struct numi_tape_lost lost; /* that */
    struct numi_tape_recorded counts;
};

struct numi_tape_segment {
    uint64_t size;
    int64_t last_ns;
};

struct numi_tape_writer {
    const uint8_t *ring;
    uint64_t ring_size;
    uint64_t own;      /* `popped`, as published: where the block being gathered begins */
    uint64_t gathered; /* bytes of it so far */
    uint32_t count;    /* records of it */
    bool is_whole;     /* no record more will join it */
    bool is_waiting;   /* records have been seen that are not written, since: */
    int64_t waiting_since_ns;

    uint64_t serial; /* of the next block */
    uint64_t record; /* of the next record */
    int64_t last_ns; /* the latest time in a record */
    bool has_time;

    char *path;
    int folder;
    int file;
    uint64_t offset;  /* in it */
    int64_t begin_ns; /* last_ns when it was begun */
    bool has_begin_time;
    uint8_t *begin_records;             /* begin and clock, as the next segment has them */
    uint64_t begin_size;                /* of the begin, rounded */
    uint64_t clock_size;                /* of the clock behind it */
    struct numi_tape_segment *segments; /* kept, the oldest first; the last one is being written */
    uint64_t segment_count, segment_room;
    uint64_t segment_size, keep_size, keep_ns, flush_ns;
    uint32_t block_size;
    struct numi_tape_written counts;
};

struct numi_tape {
    struct numi_tape_recorder recorder NUMI_ALIGNED(NUMI_SHARING_SIZE);
    struct numi_tape_writer writer NUMI_ALIGNED(NUMI_SHARING_SIZE);
    _Atomic uint64_t pushed NUMI_ALIGNED(NUMI_SHARING_SIZE);
    _Atomic uint64_t popped NUMI_ALIGNED(NUMI_SHARING_SIZE);
    struct numi_memory memory NUMI_ALIGNED(NUMI_SHARING_SIZE);
};

/* 0000000012.tape */
void numi_tape_segment_name(char *name, uint64_t number);

/* 1 and the lowest and the highest number, `from` or more, of the segments in the folder; 0 where
 * there is none. NUMI_ERR_NOT_FOUND, NUMI_ERR_PERMISSION, NUMI_ERR_SYSTEM. */
int numi_tape_find_segment(const char *path, uint64_t from, uint64_t *lowest, uint64_t *highest);

/* Opens the folder and the first segment; begin_records and the sizes are set. What was opened is
 * closed by numi_tape_writer_close, also after a failure. */
int numi_tape_writer_open(struct numi_tape_writer *writer, const char *path);
void numi_tape_writer_close(struct numi_tape_writer *writer);

/* One block that did not come through the ring. */
int numi_tape_write_block(struct numi_tape_writer *writer, const uint8_t *records, uint32_t size,
                          uint32_t count);

#endif
