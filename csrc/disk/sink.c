#define _GNU_SOURCE
#include "disk/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "disk/codec.h"

struct numi_sink {
    uint8_t *buffer;
    uint64_t size; /* of it, filled */
    uint64_t offset;
    uint64_t file_offset;
    struct numi_codec *codec;
    uint8_t *output; /* of a codec */
    int file;
    int failure; /* the first, 0 as long as all is well */
    int failure_errno;
    char *path;
};

/* --- to the file */

static int say_failure(const struct numi_sink *sink) {
    if (sink->failure_errno == 0)
        return numi_error_set(sink->failure, "%s: %s", sink->path, numi_codec_reason(sink->codec));
    return numi_error_set_errno(sink->failure_errno, "%s: write at offset %llu of the file",
                                sink->path, (unsigned long long)sink->file_offset);
}

static int fail_errno(struct numi_sink *sink, int error_number) {
    sink->failure_errno = error_number;
    sink->failure = say_failure(sink);
    return sink->failure;
}

static int write_file(struct numi_sink *sink, const uint8_t *data, uint64_t size) {
    while (size > 0) {
        ssize_t put = write(sink->file, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail_errno(sink, errno);
        data += put;
        size -= (uint64_t)put;
        sink->file_offset += (uint64_t)put;
    }
    return NUMI_OK;
}

static int compress(struct numi_sink *sink, const uint8_t *data, uint64_t size, bool finish) {
    struct numi_codec_io io = {data, size, NULL, 0};
    for (int more = 1; io.in_size > 0 || more > 0;) {
        io.out = sink->output;
        io.out_size = NUMI_SINK_BUFFER_SIZE;
        more = numi_codec_compress(sink->codec, &io, finish);
        if (more < 0) {
            sink->failure = more;
            return say_failure(sink);
        }
        int code = write_file(sink, sink->output, NUMI_SINK_BUFFER_SIZE - io.out_size);
        if (code < 0)
            return code;
        if (!finish && io.out_size > 0)
            more = 0;
    }
    return NUMI_OK;
}

static int hand_on(struct numi_sink *sink, const uint8_t *data, uint64_t size) {
    return sink->codec != NULL ? compress(sink, data, size, false) : write_file(sink, data, size);
}

static int empty_buffer(struct numi_sink *sink) {
    uint64_t size = sink->size;
    sink->size = 0;
    return size > 0 ? hand_on(sink, sink->buffer, size) : NUMI_OK;
}

/* --- what the header promises */

int numi_sink_write(struct numi_sink *sink, const void *data, uint64_t size) {
    if (NUMI_UNLIKELY(sink->failure < 0))
        return say_failure(sink);
    sink->offset += size;
    if (size > NUMI_SINK_BUFFER_SIZE - sink->size) {
        int code = empty_buffer(sink);
        if (code < 0)
            return code;
        if (size >= NUMI_SINK_BUFFER_SIZE)
            return hand_on(sink, data, size);
    }
    if (size > 0)
        memcpy(sink->buffer + sink->size, data, size);
    sink->size += size;
    return NUMI_OK;
}

int numi_sink_flush(struct numi_sink *sink) {
    return sink->failure < 0 ? say_failure(sink) : empty_buffer(sink);
}

uint64_t numi_sink_offset(const struct numi_sink *sink) {
    return sink->offset;
}

static int open_buffers(struct numi_sink *sink, const char *path, uint32_t compression) {
    bool compresses = compression != NUMI_COMPRESSION_NONE;
    sink->path = strdup(strcmp(path, "-") == 0 ? "stdout" : path);
    sink->buffer = malloc(NUMI_SINK_BUFFER_SIZE);
    sink->output = compresses ? malloc(NUMI_SINK_BUFFER_SIZE) : NULL;
    if (sink->path == NULL || sink->buffer == NULL || (compresses && sink->output == NULL))
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory for its buffers", path);
    return compresses ? numi_codec_open(&sink->codec, compression, false) : NUMI_OK;
}

/* Last of all, so that a file which cannot be written is not emptied either. */
static int open_file(struct numi_sink *sink, const char *path) {
    sink->file = strcmp(path, "-") == 0
                     ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                     : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return sink->file >= 0 ? NUMI_OK : numi_error_set_errno(errno, "%s", path);
}

static void free_sink(struct numi_sink *sink) {
    numi_codec_close(sink->codec);
    free(sink->output);
    free(sink->buffer);
    free(sink->path);
    free(sink);
}

int numi_sink_open(struct numi_sink **out, const char *path, uint32_t compression) {
    *out = NULL;
    if (compression >= NUMI_COMPRESSION_COUNT)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%s: compression %u: allowed 0 to %d", path,
                              compression, NUMI_COMPRESSION_COUNT - 1);
    struct numi_sink *sink = calloc(1, sizeof *sink);
    if (sink == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory to open it", path);
    int code = open_buffers(sink, path, compression);
    if (code == NUMI_OK)
        code = open_file(sink, path);
    if (code < 0)
        free_sink(sink);
    else
        *out = sink;
    return code;
}

int numi_sink_close(struct numi_sink *sink) {
    if (sink == NULL)
        return NUMI_OK;
    int code = numi_sink_flush(sink);
    if (code == NUMI_OK && sink->codec != NULL)
        code = compress(sink, NULL, 0, true);
    /* closing is where some file systems tell of what they failed to write */
    if (close(sink->file) < 0 && code == NUMI_OK)
        code = fail_errno(sink, errno);
    free_sink(sink);
    return code;
}
