/* The tape: a flight recorder. It keeps what came into a feed - every frame, every step and its
 * `now`, port counters - in the order in which the feed saw it, so that replaying it gives the same
 * events and the same state hash, bit for bit.
 *
 *   the feed's thread                              the writing thread (or the same, between steps)
 *   numi_tape_record_* --> [ ring in huge pages ] --> numi_tape_write --> 0000000000.tape
 *                                                                         0000000001.tape ...
 *
 * Recording copies into memory: no allocation, no system call, no lock, no clock. Where the ring is
 * full a record is dropped and counted, and the next one that fits has a `lost` record before it
 * that says how many are missing there: never silently.
 *
 * Writing makes blocks of whole records, each with a CRC32C, and files of whole blocks: the
 * segments, in a folder that is the tape. Every segment begins with the configuration and the
 * clocks, so it can be read without the others; the oldest ones are thrown away by size or by time.
 * The format, byte by byte: docs/tape.md.
 *
 * Which record stands where:
 *
 *   begin | frame frame step | frame step | step | counters | lost | frame step | ... | end
 *           `--- taken by --'               `- a step that changed something without a frame
 *
 * A step that changed nothing is not recorded. The frames before a step record are those it took.
 *
 * Times: `now_ns` in records is the feed's own clock, whatever that is. The numi_tape_write takes a
 * `now_ns` only to say how long records have waited; any clock that runs will do. */
#ifndef NUMI_DISK_TAPE_H
#define NUMI_DISK_TAPE_H

#include "base/clock.h"
#include "base/memory.h"
#include "frame/frame.h"

enum numi_tape_limit {
    NUMI_TAPE_VERSION = 1,
    NUMI_TAPE_RECORD_SIZE_MAX = 1 << 18, /* a larger one is dropped, and counted */
    NUMI_TAPE_CONFIG_SIZE_MAX = 1 << 17,
    NUMI_TAPE_RING_SIZE_MIN = 1 << 8,
    NUMI_TAPE_BLOCK_SIZE_MIN = 1 << 6,
    NUMI_TAPE_BLOCK_SIZE_MAX = 1 << 20,
    NUMI_TAPE_COUNTER_NAME_ROOM = 24,
};

enum numi_tape_kind {
    NUMI_TAPE_BEGIN = 1, /* of a segment: the configuration */
    NUMI_TAPE_FRAME,
    NUMI_TAPE_STEP,
    NUMI_TAPE_COUNTERS,
    NUMI_TAPE_CLOCK,
    NUMI_TAPE_LOST,    /* dropped at this place, since the ring was full */
    NUMI_TAPE_END,     /* the tape was closed here; without it, it was cut off or still grows */
    NUMI_TAPE_MISSING, /* said by the reader: segments that are not there any more */
    NUMI_TAPE_KIND_COUNT,
};

/* One row of port counters. */
struct numi_tape_counter {
    char name[24]; /* ends in a zero */
    uint64_t value;
};

/* How one clock follows from the TSC. */
struct numi_tape_fit {
    uint32_t domain; /* enum numi_domain */
    uint32_t reserved;
    struct numi_clock_fit fit;
};

/* Records that had no room. */
struct numi_tape_lost {
    uint64_t frames;
    uint64_t frame_bytes; /* headers and payload of these */
    uint64_t steps;
    uint64_t others; /* counters and clocks */
};

struct numi_tape_options {
    const char *path;   /* a folder: made where there is none, without a tape where there is one */
    const void *config; /* what the feed was opened with, as JSON; kept as it stands */
    uint64_t config_size;
    const struct numi_clock *clock; /* its fits are kept at the beginning; NULL: none */
    uint64_t identity;              /* the same in all segments of a tape, another in each tape */
    uint64_t ring_size;             /* bytes, a power of two; a record takes at most half of it */
    uint64_t segment_size;          /* bytes; at least what a begin and a full block take */
    uint64_t keep_size;             /* bytes of all segments, never more; 0: no bound */
    uint64_t keep_ns;               /* at least so much time is kept, little more; 0: no bound */
    uint64_t flush_ns;   /* a block is written when it is full, or its first record has waited so
                            long; 0: at each write */
    uint32_t block_size; /* bytes of records in a block; one larger record has a block of its own */
    uint32_t pages;      /* enum numi_pages, of the ring */
};

/* What the recording side did so far. */
struct numi_tape_recorded {
    uint64_t frames;
    uint64_t frame_bytes; /* headers and payload of these */
    uint64_t steps;
    uint64_t others;
    struct numi_tape_lost lost;
};

/* What the writing side did so far. */
struct numi_tape_written {
    uint64_t records;
    uint64_t blocks;
    uint64_t file_bytes;    /* of all files, those thrown away among them */
    uint64_t segments;      /* begun */
    uint64_t thrown_away;   /* segments, by keep_size or keep_ns */
    uint64_t first_segment; /* the oldest that is kept */
    uint64_t kept_bytes;    /* of the files that are there */
    uint64_t failures;      /* writes that failed; each was tried again by the next */
};

struct numi_tape;

/* Makes the folder and its first segment, and maps the ring. NUMI_ERR_ARGUMENT: a size out of its
 * range (keep_size: at least two segments); NUMI_ERR_EXISTS: the folder holds a tape already;
 * NUMI_ERR_NOT_FOUND, NUMI_ERR_PERMISSION, NUMI_ERR_SYSTEM, NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_tape_open(struct numi_tape **out, const struct numi_tape_options *options);

/* Writes what is left, marks the end, and frees the tape in any case; both threads are done with
 * it. NUMI_OK only if every byte has reached the kernel, else what the last write failed with. NULL
 * is NUMI_OK. */
NUMI_API int numi_tape_close(struct numi_tape *tape);

/* --- the recording thread
 *
 * Each returns 1, or 0 where the ring had no room: then the record is dropped and counted. */

/* A frame, when it is taken from its port: its stamp, taken_ns, port, line, flags and wire_size;
 * and from `payload` on the data_size bytes of payload, with the header_size bytes before them. */
NUMI_API int numi_tape_record_frame(struct numi_tape *tape, const struct numi_frame *frame,
                                    const uint8_t *payload);

/* A step that took the frames since the last one, or changed something without any: its `now`, its
 * budget, and what it returned. */
NUMI_API int numi_tape_record_step(struct numi_tape *tape, int64_t now_ns, uint32_t budget,
                                   uint32_t count);

/* What a port counted by now. */
NUMI_API int numi_tape_record_counters(struct numi_tape *tape, uint16_t port, int64_t now_ns,
                                       const struct numi_tape_counter *rows, uint32_t count);

/* The fits of a clock, after it was sampled: later segments begin with the last of them. */
NUMI_API int numi_tape_record_clock(struct numi_tape *tape, const struct numi_clock *clock);

/* Copies what this side counts. */
NUMI_API void numi_tape_recorded(const struct numi_tape *tape, struct numi_tape_recorded *out);

/* --- the writing thread */

/* Writes up to `budget` blocks that are due. Returns how many. NUMI_ERR_SYSTEM, NUMI_ERR_PERMISSION
 * and the like (disk full, path and offset in the detail): nothing is lost by that, the next write
 * tries the same bytes again; meanwhile the ring fills up. */
NUMI_API int64_t numi_tape_write(struct numi_tape *tape, int64_t now_ns, uint64_t budget);

/* Writes all there is, due or not. Returns and fails like numi_tape_write. */
NUMI_API int64_t numi_tape_flush(struct numi_tape *tape);

/* Copies what this side counts. */
NUMI_API void numi_tape_written(const struct numi_tape *tape, struct numi_tape_written *out);

/* Its ring: what pages were got, and why. */
NUMI_API const struct numi_memory *numi_tape_memory(const struct numi_tape *tape);

NUMI_API const char *numi_tape_kind_name(uint32_t kind);

#endif
