/* A file being written, plain or as gzip or zstd: large blocks, fixed memory, no error lost.
 *
 * Bytes gather in a buffer of 256 KiB and leave it whole. The first failure (disk full, say) is
 * kept: every later write and the close return it again, and what the file has got by then is the
 * beginning of what was meant. */
#ifndef NUMI_DISK_SINK_H
#define NUMI_DISK_SINK_H

#include "disk/stream.h"

enum numi_sink_limit {
    NUMI_SINK_BUFFER_SIZE = 1 << 18,
};

struct numi_sink;

/* Makes the file, or empties the one that is there; "-" is stdout. NUMI_ERR_NOT_FOUND (no such
 * folder), NUMI_ERR_PERMISSION, NUMI_ERR_SYSTEM, NUMI_ERR_NO_MEMORY, NUMI_ERR_ARGUMENT (no such
 * compression), NUMI_ERR_UNSUPPORTED (a build without that library). */
NUMI_API int numi_sink_open(struct numi_sink **out, const char *path, uint32_t compression);

/* NUMI_OK, or the first failure of this sink, path and offset in the detail. */
NUMI_API int numi_sink_write(struct numi_sink *sink, const void *data, uint64_t size);

/* Hands what is in the buffer to the kernel; a compressed file keeps what its library holds back.
 */
NUMI_API int numi_sink_flush(struct numi_sink *sink);

/* Bytes written to it, before compression. */
NUMI_API uint64_t numi_sink_offset(const struct numi_sink *sink);

/* Writes what is left and frees the sink in any case. NUMI_OK only if every byte has reached the
 * kernel; NULL is NUMI_OK. */
NUMI_API int numi_sink_close(struct numi_sink *sink);

#endif
