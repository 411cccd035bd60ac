/* A tape read: its records one after the other, from its folder or from a single segment.
 *
 *   numi_tape_reader_open -> numi_tape_reader_next (1) ... (1), 0 -> numi_tape_reader_close
 *
 * A file that ends within a block (the recorder was killed, or is writing it right now) ends there:
 * the torn block is counted and left off, that is no error; so are zeros to the end of a file,
 * which a machine that lost its power leaves behind. Bytes that contradict themselves are
 * NUMI_ERR_CORRUPT with file, reason and offset in the detail: all records of the blocks before
 * have been handed out, none of that block is, and asking again gives the same answer.
 *
 * A tape whose recorder still runs can be read beside it: up to the end of the segment that was its
 * last when it was opened. Segments that were thrown away before it was their turn are told as a
 * `missing` record.
 *
 * Segments may be in gzip or zstd, under the same names. Memory is the stream's. */
#ifndef NUMI_DISK_TAPE_READ_H
#define NUMI_DISK_TAPE_READ_H

#include "disk/tape.h"

/* One record; what its kind does not have is 0. */
struct numi_tape_record {
    uint32_t kind;       /* enum numi_tape_kind */
    uint32_t size;       /* bytes at `data` */
    const uint8_t *data; /* frame: headers, then payload; begin: configuration; counters: rows;
                            clock: fits; NULL where the kind has none */
    uint64_t offset;     /* in its segment's file, expanded */
    uint64_t number;     /* of records in the tape, from 0; a segment's begin and the clock behind
                            it have that of the record that comes next */
    uint64_t segment;    /* number of the file it stands in */
    int64_t now_ns;      /* step, counters; frame: taken_ns */
    uint32_t budget;     /* step */
    uint32_t count;      /* step: what it returned; counters: rows; clock: fits */
    uint64_t identity;   /* begin */
    uint64_t missing;    /* missing: records that are not there */
    uint8_t from_open;   /* begin: nothing came before it */
    uint8_t reserved[7];
    struct numi_tape_lost lost; /* lost */
    struct numi_frame frame; /* frame: as recorded, data_offset being header_size; index, sequence
                                and state are 0 */
};

/* What has been read so far. */
struct numi_tape_counts {
    uint64_t records;
    uint64_t frames;
    uint64_t frame_bytes; /* headers and payload */
    uint64_t steps;
    uint64_t counters;
    uint64_t clocks;
    uint64_t missing; /* records that were thrown away before they could be read */
    uint64_t losses;  /* places where something was dropped */
    struct numi_tape_lost lost;
    uint64_t segments;
    uint64_t blocks;
    uint64_t file_bytes;  /* of whole blocks */
    uint64_t torn;        /* 1: the last file ends within a block */
    uint64_t torn_offset; /* where that begins */
    uint64_t torn_size;   /* what there is of it */
    uint64_t first_segment;
    uint64_t last_segment;
    uint64_t identity;
    int64_t first_ns; /* earliest and latest `now_ns` */
    int64_t last_ns;
    uint8_t has_time;  /* there is such a time */
    uint8_t from_open; /* the first record is the first that was recorded */
    uint8_t closed;    /* the recorder reached its end */
    uint8_t reserved[5];
    uint64_t line_frames[256];
};

struct numi_tape_reader;

/* Opens a folder at its oldest segment, or one file. NUMI_ERR_NOT_FOUND (also a folder that holds
 * no segment), NUMI_ERR_CORRUPT for a file that is no tape, NUMI_ERR_VERSION, and all that
 * numi_stream_open fails with. */
NUMI_API int numi_tape_reader_open(struct numi_tape_reader **out, const char *path);
NUMI_API void numi_tape_reader_close(struct numi_tape_reader *reader);

/* 1 and the next record, valid until the next call; 0 at the end. NUMI_ERR_CORRUPT,
 * NUMI_ERR_VERSION; NUMI_ERR_SYSTEM and the like from reading. */
NUMI_API int numi_tape_reader_next(struct numi_tape_reader *reader, struct numi_tape_record *out);

/* Reads on over up to `budget` records, for the counts alone. Returns how many there were, 0 at the
 * end; fails like next. */
NUMI_API int64_t numi_tape_reader_skip(struct numi_tape_reader *reader, uint64_t budget);

/* Valid until the reader is closed, its content until the next call. */
NUMI_API const struct numi_tape_counts *
numi_tape_reader_counts(const struct numi_tape_reader *reader);

#endif
