#define _GNU_SOURCE
#include "disk/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "disk/codec.h"

enum { MAGIC_SIZE = 4 };

struct numi_stream {
    uint8_t *window;
    uint64_t window_size;
    uint64_t begin; /* the current place in the window */
    uint64_t end;   /* of what has been filled in */
    uint64_t offset;
    uint8_t *input; /* of a compressed file: read but not expanded, from `in` on */
    uint64_t in, in_end;
    struct numi_codec *codec;
    uint64_t file_offset;
    int64_t file_size;
    int file;
    uint32_t compression;
    bool codec_has_more; /* its last step filled all the room it got */
    bool file_ended;
    bool torn;
    bool damaged; /* the expander refused: nothing more will come */
    char *path;
};

const char *numi_compression_name(uint32_t compression) {
    static const char *const names[NUMI_COMPRESSION_COUNT] = {"none", "gzip", "zstd"};
    return compression < NUMI_COMPRESSION_COUNT ? names[compression] : "unknown";
}

/* --- from the file */

/* The number of bytes read, 0 at the end. */
static int64_t read_file(struct numi_stream *stream, uint8_t *to, uint64_t room) {
    uint64_t size = room < NUMI_STREAM_READ_SIZE ? room : NUMI_STREAM_READ_SIZE;
    ssize_t got = read(stream->file, to, size);
    if (got < 0)
        return numi_error_set_errno(errno, "%s: read at offset %llu of the file", stream->path,
                                    (unsigned long long)stream->file_offset);
    stream->file_offset += (uint64_t)got;
    stream->file_ended = got == 0;
    return got;
}

static int damaged(const struct numi_stream *stream) {
    uint64_t offset = stream->offset + (stream->end - stream->begin);
    return numi_error_set(
        NUMI_ERR_CORRUPT, "%s: damaged %s: %s (offset %llu, %llu of the file)", stream->path,
        numi_compression_name(stream->compression), numi_codec_reason(stream->codec),
        (unsigned long long)offset,
        (unsigned long long)(stream->file_offset - (stream->in_end - stream->in)));
}

/* Expands what lies in the input; the number of bytes that came out. */
static int64_t expand(struct numi_stream *stream, uint8_t *to, uint64_t room) {
    uint64_t size = room < NUMI_STREAM_INPUT_SIZE ? room : NUMI_STREAM_INPUT_SIZE;
    struct numi_codec_io io = {stream->input + stream->in, stream->in_end - stream->in, to, size};
    int code = numi_codec_expand(stream->codec, &io);
    stream->in = stream->in_end - io.in_size;
    stream->codec_has_more = io.out_size == 0;
    stream->damaged = code == NUMI_ERR_CORRUPT;
    if (code < 0 && !stream->damaged)
        return numi_error_set(code, "%s: %s", stream->path, numi_codec_reason(stream->codec));
    return (int64_t)(size - io.out_size);
}

static int64_t fill_expanded(struct numi_stream *stream, uint8_t *to, uint64_t room) {
    for (;;) {
        if (stream->in < stream->in_end || stream->codec_has_more) {
            int64_t got = expand(stream, to, room);
            if (got != 0 || stream->damaged)
                return got;
            continue; /* a head, a tail or padding */
        }
        int64_t got = read_file(stream, stream->input, NUMI_STREAM_INPUT_SIZE);
        if (got < 0)
            return got;
        if (got == 0) {
            stream->torn = !numi_codec_is_whole(stream->codec);
            return 0;
        }
        stream->in = 0;
        stream->in_end = (uint64_t)got;
    }
}

/* --- the window */

/* Room for at least one more byte behind what is there. */
static int make_room(struct numi_stream *stream) {
    uint64_t held = stream->end - stream->begin;
    if (stream->begin > 0 && (stream->end == stream->window_size || held < NUMI_STREAM_READ_SIZE)) {
        memmove(stream->window, stream->window + stream->begin, held);
        stream->begin = 0;
        stream->end = held;
    }
    if (stream->end < stream->window_size)
        return NUMI_OK;
    uint8_t *wider = realloc(stream->window, 2 * stream->window_size);
    if (wider == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: a window of %llu bytes", stream->path,
                              (unsigned long long)(2 * stream->window_size));
    stream->window = wider;
    stream->window_size *= 2;
    return NUMI_OK;
}

/* Bytes added to the window; 0 at the end, or where damage begins. */
static int64_t fill(struct numi_stream *stream) {
    if (stream->file_ended || stream->damaged)
        return 0;
    int code = make_room(stream);
    if (code < 0)
        return code;
    uint8_t *to = stream->window + stream->end;
    uint64_t room = stream->window_size - stream->end;
    int64_t got =
        stream->codec != NULL ? fill_expanded(stream, to, room) : read_file(stream, to, room);
    if (got > 0)
        stream->end += (uint64_t)got;
    return got;
}

int64_t numi_stream_need(struct numi_stream *stream, uint64_t size, const uint8_t **bytes) {
    if (size > NUMI_STREAM_NEED_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "a need of %llu bytes: at most %d",
                              (unsigned long long)size, NUMI_STREAM_NEED_MAX);
    while (NUMI_UNLIKELY(stream->end - stream->begin < size)) {
        int64_t got = fill(stream);
        if (got < 0)
            return got;
        if (got == 0 && stream->damaged)
            return damaged(stream);
        if (got == 0)
            break;
    }
    *bytes = stream->window + stream->begin;
    return (int64_t)(stream->end - stream->begin);
}

void numi_stream_advance(struct numi_stream *stream, uint64_t size) {
    NUMI_REQUIRE(size <= stream->end - stream->begin);
    stream->begin += size;
    stream->offset += size;
}

/* --- opening */

static int open_file(struct numi_stream *stream, const char *path) {
    bool is_stdin = strcmp(path, "-") == 0;
    stream->path = strdup(is_stdin ? "stdin" : path);
    if (stream->path == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory for its name", path);
    stream->file =
        is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
    if (stream->file < 0)
        return numi_error_set_errno(errno, "%s", path);
    struct stat status;
    if (fstat(stream->file, &status) == 0 && S_ISREG(status.st_mode)) {
        stream->file_size = status.st_size;
        posix_fadvise(stream->file, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    return NUMI_OK;
}

/* The first bytes, enough to tell gzip and zstd. */
static int read_magic(struct numi_stream *stream) {
    while (stream->end < MAGIC_SIZE && !stream->file_ended) {
        int64_t got =
            read_file(stream, stream->window + stream->end, NUMI_STREAM_INPUT_SIZE - stream->end);
        if (got < 0)
            return (int)got;
        stream->end += (uint64_t)got;
    }
    return NUMI_OK;
}

static uint32_t compression_of(const uint8_t *magic, uint64_t size) {
    if (size >= 2 && magic[0] == 0x1F && magic[1] == 0x8B)
        return NUMI_COMPRESSION_GZIP;
    if (size < MAGIC_SIZE)
        return NUMI_COMPRESSION_NONE;
    bool is_frame = memcmp(magic, "\x28\xB5\x2F\xFD", MAGIC_SIZE) == 0;
    bool is_skippable = (magic[0] & 0xF0) == 0x50 && memcmp(magic + 1, "\x2A\x4D\x18", 3) == 0;
    return is_frame || is_skippable ? NUMI_COMPRESSION_ZSTD : NUMI_COMPRESSION_NONE;
}

/* What has been read so far was the codec's input. */
static int open_codec(struct numi_stream *stream) {
    int code = numi_codec_open(&stream->codec, stream->compression, true);
    if (code < 0)
        return code;
    stream->input = malloc(NUMI_STREAM_INPUT_SIZE);
    if (stream->input == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: an input of %d bytes", stream->path,
                              NUMI_STREAM_INPUT_SIZE);
    memcpy(stream->input, stream->window, stream->end);
    stream->in_end = stream->end;
    stream->end = 0;
    stream->file_ended = false;
    return NUMI_OK;
}

static int open_all(struct numi_stream *stream, const char *path) {
    int code = open_file(stream, path);
    if (code < 0)
        return code;
    stream->window = malloc(NUMI_STREAM_WINDOW_SIZE);
    if (stream->window == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: a window of %d bytes", path,
                              NUMI_STREAM_WINDOW_SIZE);
    stream->window_size = NUMI_STREAM_WINDOW_SIZE;
    code = read_magic(stream);
    if (code < 0)
        return code;
    stream->compression = compression_of(stream->window, stream->end);
    return stream->compression != NUMI_COMPRESSION_NONE ? open_codec(stream) : NUMI_OK;
}

int numi_stream_open(struct numi_stream **out, const char *path) {
    *out = NULL;
    struct numi_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory to open it", path);
    stream->file = -1;
    stream->file_size = -1;
    int code = open_all(stream, path);
    if (code < 0)
        numi_stream_close(stream);
    else
        *out = stream;
    return code;
}

void numi_stream_close(struct numi_stream *stream) {
    if (stream == NULL)
        return;
    numi_codec_close(stream->codec);
    if (stream->file >= 0)
        close(stream->file);
    free(stream->input);
    free(stream->window);
    free(stream->path);
    free(stream);
}

/* --- what is known of it */

uint64_t numi_stream_offset(const struct numi_stream *stream) {
    return stream->offset;
}

uint64_t numi_stream_file_offset(const struct numi_stream *stream) {
    return stream->file_offset;
}

int64_t numi_stream_file_size(const struct numi_stream *stream) {
    return stream->file_size;
}

uint32_t numi_stream_compression(const struct numi_stream *stream) {
    return stream->compression;
}

int numi_stream_torn(const struct numi_stream *stream) {
    return stream->torn;
}

const char *numi_stream_path(const struct numi_stream *stream) {
    return stream->path;
}
