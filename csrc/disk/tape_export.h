/* The frames of a tape as a pcapng, for tools that read captures: one interface a line, times in
 * nanoseconds of UTC.
 *
 *   numi_tape_export_open -> numi_tape_export_step (> 0) ... (> 0), 0 -> numi_tape_export_close
 *
 * A frame's own headers are kept. One without gets made-up ones, from 10.0.0.1 to port 26400 of
 * 239.255.0.<line>, and its interface says so. A receive time that no clock on the tape joins with
 * UTC is written as it stands, with a comment on the first such frame; one before 1970 as 0. */
#ifndef NUMI_DISK_TAPE_EXPORT_H
#define NUMI_DISK_TAPE_EXPORT_H

#include "disk/tape_read.h"

struct numi_tape_exported {
    uint64_t frames;
    uint64_t made_up;     /* of these, without headers of their own */
    uint64_t cut;         /* of these, longer than a UDP datagram: its beginning is written */
    uint64_t unconverted; /* frames whose time is not UTC */
    uint32_t interfaces;
    uint32_t reserved;
};

struct numi_tape_export;

/* Makes the pcapng file; the reader stays the caller's. Fails like numi_capture_writer_open. */
NUMI_API int numi_tape_export_open(struct numi_tape_export **out, struct numi_tape_reader *reader,
                                   const char *path);

/* Up to `budget` records on. Returns how many there were, 0 at the end of the tape. Fails like
 * numi_tape_reader_next, and like a write. */
NUMI_API int64_t numi_tape_export_step(struct numi_tape_export *exporter, uint64_t budget);

NUMI_API const struct numi_tape_exported *
numi_tape_export_counts(const struct numi_tape_export *exporter);

/* Writes what is left and frees it in any case. NUMI_OK only if every byte has reached the kernel;
 * NULL is NUMI_OK. */
NUMI_API int numi_tape_export_close(struct numi_tape_export *exporter);

#endif
