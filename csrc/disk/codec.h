/* gzip and zstd behind one face: bytes in, bytes out, as many as fit. The one place that knows the
 * two libraries; a cross build without them can still read and write plain files. */
#ifndef NUMI_DISK_CODEC_H
#define NUMI_DISK_CODEC_H

#include "disk/stream.h"

struct numi_codec;

/* Both move on by what a step took and gave. */
struct numi_codec_io {
    const uint8_t *in;
    uint64_t in_size;
    uint8_t *out;
    uint64_t out_size;
};

/* A codec that expands or compresses (gzip level 6, zstd level 3: their own defaults).
 * NUMI_ERR_NO_MEMORY, NUMI_ERR_UNSUPPORTED. */
int numi_codec_open(struct numi_codec **out, uint32_t compression, bool expands);
void numi_codec_close(struct numi_codec *codec);

/* Takes from `in` and fills `out`. A step that leaves room in `out` has no more to give without
 * more input. NUMI_ERR_CORRUPT, for good, with the reason in numi_codec_reason. */
int numi_codec_expand(struct numi_codec *codec, struct numi_codec_io *io);

/* Whether no member or frame is open: where a whole file ends. */
bool numi_codec_is_whole(const struct numi_codec *codec);

/* The same the other way; with `finish`, 1 as long as there is more to come out and 0 when the
 * file is complete. NUMI_ERR_NO_MEMORY. */
int numi_codec_compress(struct numi_codec *codec, struct numi_codec_io *io, bool finish);

/* What the library says of the last failure. */
const char *numi_codec_reason(const struct numi_codec *codec);

#endif
