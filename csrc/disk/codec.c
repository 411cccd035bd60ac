#include "disk/codec.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"

#ifndef NUMI_ZLIB
#define NUMI_ZLIB 0
#endif
#ifndef NUMI_ZSTD
#define NUMI_ZSTD 0
#endif

#if NUMI_ZLIB
#include <zlib.h>
#endif
#if NUMI_ZSTD
#include <zstd.h>
#endif

enum {
    GZIP_LEVEL = 6,
    GZIP_MEMORY_LEVEL = 8,
    GZIP_WINDOW_BITS = 15 + 16, /* plus 16: gzip's head and tail, not zlib's */
    ZSTD_LEVEL = 3,
    STEP_MAX = 1 << 30, /* zlib counts in 32 bits */
};

struct numi_codec {
    uint32_t compression;
    bool expands;
    bool is_whole;
    bool is_first; /* of the members; only between two of them are zeros padding */
    const char *reason;
#if NUMI_ZLIB
    z_stream zlib;
#endif
#if NUMI_ZSTD
    ZSTD_DStream *zstd_expander;
    ZSTD_CStream *zstd_compressor;
#endif
};

const char *numi_codec_reason(const struct numi_codec *codec) {
    return codec->reason;
}

bool numi_codec_is_whole(const struct numi_codec *codec) {
    return codec->is_whole;
}

#if NUMI_ZLIB || NUMI_ZSTD
static uint64_t step_size(uint64_t size) {
    return size < STEP_MAX ? size : STEP_MAX;
}

static int fail(struct numi_codec *codec, int code, const char *reason) {
    codec->reason = reason;
    return code;
}

static void move_on(struct numi_codec_io *io, uint64_t taken, uint64_t given) {
    io->in += taken;
    io->in_size -= taken;
    io->out += given;
    io->out_size -= given;
}
#endif

/* --- gzip */

#if NUMI_ZLIB
static int zlib_open(struct numi_codec *codec) {
    int code = codec->expands ? inflateInit2(&codec->zlib, GZIP_WINDOW_BITS)
                              : deflateInit2(&codec->zlib, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS,
                                             GZIP_MEMORY_LEVEL, Z_DEFAULT_STRATEGY);
    return code == Z_OK ? NUMI_OK : NUMI_ERR_NO_MEMORY;
}

static void zlib_close(struct numi_codec *codec) {
    if (codec->expands)
        inflateEnd(&codec->zlib);
    else
        deflateEnd(&codec->zlib);
}

static void zlib_begin(struct numi_codec *codec, const struct numi_codec_io *io) {
    /* older zlibs want a pointer to bytes that they could change, and do not */
    memcpy(&codec->zlib.next_in, &io->in, sizeof io->in);
    codec->zlib.avail_in = (uInt)step_size(io->in_size);
    codec->zlib.next_out = io->out;
    codec->zlib.avail_out = (uInt)step_size(io->out_size);
}

static void zlib_end(struct numi_codec *codec, struct numi_codec_io *io) {
    move_on(io, step_size(io->in_size) - codec->zlib.avail_in,
            step_size(io->out_size) - codec->zlib.avail_out);
}

/* Padding behind a member, then the next one. */
static void zlib_next_member(struct numi_codec *codec, struct numi_codec_io *io) {
    while (!codec->is_first && io->in_size > 0 && io->in[0] == 0)
        move_on(io, 1, 0);
    if (io->in_size == 0)
        return;
    inflateReset(&codec->zlib);
    codec->is_whole = codec->is_first = false;
}

static int zlib_expand(struct numi_codec *codec, struct numi_codec_io *io) {
    for (;;) {
        if (codec->is_whole)
            zlib_next_member(codec, io);
        if (codec->is_whole)
            return NUMI_OK;
        zlib_begin(codec, io);
        int code = inflate(&codec->zlib, Z_NO_FLUSH);
        zlib_end(codec, io);
        if (code == Z_MEM_ERROR)
            return fail(codec, NUMI_ERR_NO_MEMORY, "no memory to expand gzip");
        if (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END)
            return fail(codec, NUMI_ERR_CORRUPT,
                        codec->zlib.msg != NULL ? codec->zlib.msg : "not gzip");
        codec->is_whole = code == Z_STREAM_END;
        if (!codec->is_whole)
            return NUMI_OK;
    }
}

static int zlib_compress(struct numi_codec *codec, struct numi_codec_io *io, bool finish) {
    zlib_begin(codec, io);
    int code = deflate(&codec->zlib, finish ? Z_FINISH : Z_NO_FLUSH);
    zlib_end(codec, io);
    return finish && code != Z_STREAM_END;
}
#endif

/* --- zstd */

#if NUMI_ZSTD
static int zstd_open(struct numi_codec *codec) {
    if (codec->expands)
        codec->zstd_expander = ZSTD_createDStream();
    else
        codec->zstd_compressor = ZSTD_createCStream();
    if (codec->zstd_expander == NULL && codec->zstd_compressor == NULL)
        return NUMI_ERR_NO_MEMORY;
    if (!codec->expands) {
        ZSTD_CCtx_setParameter(codec->zstd_compressor, ZSTD_c_compressionLevel, ZSTD_LEVEL);
        ZSTD_CCtx_setParameter(codec->zstd_compressor, ZSTD_c_checksumFlag, 1);
    }
    return NUMI_OK;
}

static void zstd_close(struct numi_codec *codec) {
    ZSTD_freeDStream(codec->zstd_expander);
    ZSTD_freeCStream(codec->zstd_compressor);
}

/* Frame after frame, until the input is used up or the output is full. */
static int zstd_expand(struct numi_codec *codec, struct numi_codec_io *io) {
    /* asked between two frames without input it would claim to be inside one */
    while (io->out_size > 0 && (io->in_size > 0 || !codec->is_whole)) {
        ZSTD_inBuffer in = {io->in, io->in_size, 0};
        ZSTD_outBuffer out = {io->out, io->out_size, 0};
        size_t left = ZSTD_decompressStream(codec->zstd_expander, &out, &in);
        move_on(io, in.pos, out.pos);
        if (ZSTD_isError(left))
            return fail(codec, NUMI_ERR_CORRUPT, ZSTD_getErrorName(left));
        codec->is_whole = left == 0;
        if (io->in_size == 0 && out.pos < out.size)
            break;
    }
    return NUMI_OK;
}

static int zstd_compress(struct numi_codec *codec, struct numi_codec_io *io, bool finish) {
    ZSTD_inBuffer in = {io->in, io->in_size, 0};
    ZSTD_outBuffer out = {io->out, io->out_size, 0};
    size_t left = ZSTD_compressStream2(codec->zstd_compressor, &out, &in,
                                       finish ? ZSTD_e_end : ZSTD_e_continue);
    move_on(io, in.pos, out.pos);
    if (ZSTD_isError(left))
        return fail(codec, NUMI_ERR_NO_MEMORY, ZSTD_getErrorName(left));
    return finish && left > 0;
}
#endif

/* --- both */

static int open_library(struct numi_codec *codec) {
    (void)codec; /* in a build without either */
#if NUMI_ZLIB
    if (codec->compression == NUMI_COMPRESSION_GZIP)
        return zlib_open(codec);
#endif
#if NUMI_ZSTD
    if (codec->compression == NUMI_COMPRESSION_ZSTD)
        return zstd_open(codec);
#endif
    return NUMI_ERR_UNSUPPORTED;
}

int numi_codec_open(struct numi_codec **out, uint32_t compression, bool expands) {
    *out = NULL;
    struct numi_codec *codec = calloc(1, sizeof *codec);
    int code = NUMI_ERR_NO_MEMORY;
    if (codec != NULL) {
        *codec = (struct numi_codec){.compression = compression,
                                     .expands = expands,
                                     .is_whole = true,
                                     .is_first = true,
                                     .reason = ""};
        code = open_library(codec);
    }
    if (code == NUMI_OK) {
        *out = codec;
        return NUMI_OK;
    }
    free(codec);
    return numi_error_set(code, "%s: %s", numi_compression_name(compression),
                          code == NUMI_ERR_NO_MEMORY ? "no memory"
                                                     : "this build is without the library");
}

void numi_codec_close(struct numi_codec *codec) {
    if (codec == NULL)
        return;
#if NUMI_ZLIB
    if (codec->compression == NUMI_COMPRESSION_GZIP)
        zlib_close(codec);
#endif
#if NUMI_ZSTD
    if (codec->compression == NUMI_COMPRESSION_ZSTD)
        zstd_close(codec);
#endif
    free(codec);
}

int numi_codec_expand(struct numi_codec *codec, struct numi_codec_io *io) {
    NUMI_REQUIRE(codec->expands);
    (void)io;
#if NUMI_ZLIB
    if (codec->compression == NUMI_COMPRESSION_GZIP)
        return zlib_expand(codec, io);
#endif
#if NUMI_ZSTD
    if (codec->compression == NUMI_COMPRESSION_ZSTD)
        return zstd_expand(codec, io);
#endif
    return NUMI_ERR_UNSUPPORTED;
}

int numi_codec_compress(struct numi_codec *codec, struct numi_codec_io *io, bool finish) {
    NUMI_REQUIRE(!codec->expands);
    (void)io, (void)finish;
#if NUMI_ZLIB
    if (codec->compression == NUMI_COMPRESSION_GZIP)
        return zlib_compress(codec, io, finish);
#endif
#if NUMI_ZSTD
    if (codec->compression == NUMI_COMPRESSION_ZSTD)
        return zstd_compress(codec, io, finish);
#endif
    return NUMI_ERR_UNSUPPORTED;
}
