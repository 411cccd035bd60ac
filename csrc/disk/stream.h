/* The bytes of a file, plain or inside gzip or zstd, through a window that slides.
 *
 *   file --read()--> [input] --expand--> [ done | here ... there | room ]   the window
 *                                               ^ numi_stream_need: from here on, contiguous
 *
 * Which of the three it is, the first bytes say, never the name. Memory is the window (2 MiB), the
 * input of a compressed file (256 KiB) and what the expander keeps (gzip 40 KiB, zstd the window
 * its frames name, at most 128 MiB), whatever the file's length. Only a single need of more than
 * the window makes it grow, up to NUMI_STREAM_NEED_MAX.
 *
 * A gzip file may have several members, zeros between and behind them; a zstd file several frames,
 * skippable ones among them. Where the file ends within one, all that could be expanded is handed
 * out and the tail is reported as torn; that is no error. Damage inside is one, but only when what
 * lies before it has been read. */
#ifndef NUMI_DISK_STREAM_H
#define NUMI_DISK_STREAM_H

#include "base/types.h"

enum numi_compression {
    NUMI_COMPRESSION_NONE,
    NUMI_COMPRESSION_GZIP,
    NUMI_COMPRESSION_ZSTD,
    NUMI_COMPRESSION_COUNT,
};

enum numi_stream_limit {
    NUMI_STREAM_WINDOW_SIZE = 1 << 21,
    NUMI_STREAM_READ_SIZE = 1 << 20,  /* one system call: smaller ones cost a microsecond each */
    NUMI_STREAM_INPUT_SIZE = 1 << 18, /* one turn of the expander: what comes out stays cached */
    NUMI_STREAM_NEED_MAX = 1 << 24,
};

struct numi_stream;

/* Opens a file, a pipe, or stdin ("-") and reads its first bytes. NUMI_ERR_NOT_FOUND,
 * NUMI_ERR_PERMISSION, NUMI_ERR_SYSTEM, NUMI_ERR_NO_MEMORY, NUMI_ERR_UNSUPPORTED (a build without
 * the library that expands it). */
NUMI_API int numi_stream_open(struct numi_stream **out, const char *path);
NUMI_API void numi_stream_close(struct numi_stream *stream);

/* How many contiguous bytes stand at `*bytes`: at least `size`, fewer only at the end of the file,
 * more where they have been read anyway. Reads no more than it must, so that a pipe is never waited
 * for in vain. Valid until the next need. NUMI_ERR_CORRUPT (path and offset in the detail),
 * NUMI_ERR_SYSTEM, NUMI_ERR_ARGUMENT (`size` over NUMI_STREAM_NEED_MAX). A signal that interrupts a
 * wait is NUMI_ERR_SYSTEM too, and the same need may be asked again. */
NUMI_API int64_t numi_stream_need(struct numi_stream *stream, uint64_t size, const uint8_t **bytes);

/* Goes on by `size` bytes, no more than the last need returned. */
NUMI_API void numi_stream_advance(struct numi_stream *stream, uint64_t size);

/* The current place, in expanded bytes. */
NUMI_API uint64_t numi_stream_offset(const struct numi_stream *stream);

/* How far the file itself has been read, and how long it is: -1 where nobody knows (a pipe). */
NUMI_API uint64_t numi_stream_file_offset(const struct numi_stream *stream);
NUMI_API int64_t numi_stream_file_size(const struct numi_stream *stream);

/* enum numi_compression. */
NUMI_API uint32_t numi_stream_compression(const struct numi_stream *stream);

/* 1 once the end was reached inside a gzip member or a zstd frame. */
NUMI_API int numi_stream_torn(const struct numi_stream *stream);

/* As it was given; "stdin" for "-". Lives as long as the stream. */
NUMI_API const char *numi_stream_path(const struct numi_stream *stream);

NUMI_API const char *numi_compression_name(uint32_t compression);

#endif
