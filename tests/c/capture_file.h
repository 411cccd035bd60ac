/* Files of traffic made by hand, byte by byte, and read back: what test_capture.c builds on. */
#ifndef NUMI_TESTS_CAPTURE_FILE_H
#define NUMI_TESTS_CAPTURE_FILE_H

#include "check.h"

#include <fcntl.h>

#include "base/error.h"
#include "disk/capture.h"
#include "disk/capture_write.h"
#include "disk/sink.h"

enum { FILE_MAX = 1 << 16, PACKET_MAX = 64 };

struct file {
    uint8_t bytes[FILE_MAX];
    uint32_t size;
    bool big; /* byte order */
};

/* What a capture turned out to hold. */
struct content {
    int code; /* of the last next: 0 or the error */
    int count;
    struct numi_capture_packet packets[PACKET_MAX]; /* their data in `bytes` */
    uint8_t bytes[FILE_MAX];
    uint32_t size;
    char comments[256]; /* one after the other, each behind a | */
    struct numi_capture_counts counts;
    struct numi_capture_interface interfaces[8];
    uint32_t interface_count;
    uint32_t format;
};

static char test_path[64];

static inline void number(struct file *file, uint64_t value, uint32_t size) {
    NEED(file->size + size <= FILE_MAX);
    for (uint32_t i = 0; i < size; i++)
        file->bytes[file->size++] = (uint8_t)(value >> 8 * (file->big ? size - 1 - i : i));
}

static inline void text(struct file *file, const void *data, uint32_t size) {
    NEED(file->size + size <= FILE_MAX);
    memcpy(file->bytes + file->size, data, size);
    file->size += size;
}

static inline void pad(struct file *file) {
    while (file->size % 4 != 0)
        number(file, 0, 1);
}

static inline uint32_t begin_block(struct file *file, uint32_t kind) {
    number(file, kind, 4);
    number(file, 0, 4);
    return file->size - 8;
}

static inline void end_block(struct file *file, uint32_t begin) {
    pad(file);
    uint32_t end = file->size, size = end + 4 - begin;
    number(file, size, 4);
    file->size = begin + 4;
    number(file, size, 4);
    file->size = end + 4;
}

static inline void option(struct file *file, uint16_t code, const void *data, uint16_t size) {
    number(file, code, 2);
    number(file, size, 2);
    text(file, data, size);
    pad(file);
}

static inline void comment(struct file *file, const char *words) {
    option(file, 1, words, (uint16_t)strlen(words));
}

static inline void end_of_options(struct file *file) {
    number(file, 0, 4);
}

static inline void section(struct file *file) {
    uint32_t begin = begin_block(file, 0x0A0D0D0A);
    number(file, 0x1A2B3C4D, 4);
    number(file, 1, 2);
    number(file, 0, 2);
    number(file, UINT64_MAX, 8);
    comment(file, "section");
    end_of_options(file);
    end_block(file, begin);
}

static inline void interface(struct file *file, uint16_t link, uint32_t snap_size,
                             uint8_t resolution, int64_t offset_s) {
    uint32_t begin = begin_block(file, 1);
    number(file, link, 2);
    number(file, 0, 2);
    number(file, snap_size, 4);
    option(file, 2, "eth", 3);
    option(file, 9, &resolution, 1);
    number(file, 14, 2);
    number(file, 8, 2);
    number(file, (uint64_t)offset_s, 8);
    comment(file, "interface");
    end_of_options(file);
    end_block(file, begin);
}

/* Kinds 2 and 6. */
static inline void packet_block(struct file *file, uint32_t kind, uint32_t interface_number,
                                uint64_t units, const char *data, uint32_t wire_size) {
    uint32_t begin = begin_block(file, kind);
    number(file, interface_number, kind == 2 ? 2 : 4);
    number(file, 0, kind == 2 ? 2 : 0);
    number(file, units >> 32, 4);
    number(file, units & UINT32_MAX, 4);
    number(file, strlen(data), 4);
    number(file, wire_size, 4);
    text(file, data, (uint32_t)strlen(data));
    pad(file);
    comment(file, "packet");
    end_block(file, begin);
}

static inline void simple_block(struct file *file, const char *data, uint32_t wire_size) {
    uint32_t begin = begin_block(file, 3);
    number(file, wire_size, 4);
    text(file, data, (uint32_t)strlen(data));
    end_block(file, begin);
}

static inline void statistics_block(struct file *file, uint32_t interface_number, uint16_t code,
                                    uint64_t value) {
    uint32_t begin = begin_block(file, 5);
    number(file, interface_number, 4);
    number(file, 0, 4);
    number(file, 5, 4);
    number(file, code, 2);
    number(file, 8, 2);
    number(file, value, 8);
    end_of_options(file);
    end_block(file, begin);
}

static inline void pcap_head(struct file *file, uint32_t magic, uint32_t link) {
    number(file, magic, 4);
    number(file, 2, 2);
    number(file, 4, 2);
    number(file, 0, 8);
    number(file, 65535, 4);
    number(file, link, 4);
}

static inline void pcap_record(struct file *file, uint32_t seconds, uint32_t fraction,
                               const char *data, uint32_t wire_size) {
    number(file, seconds, 4);
    number(file, fraction, 4);
    number(file, strlen(data), 4);
    number(file, wire_size, 4);
    text(file, data, (uint32_t)strlen(data));
}

static inline void message(struct file *file, char letter, uint32_t size) {
    file->big = true;
    number(file, size, 2);
    for (uint32_t i = 0; i < size; i++)
        number(file, i == 0 ? (uint8_t)letter : i, 1);
}

/* --- to the disk and back */

static inline const char *new_path(void) {
    strcpy(test_path, "/tmp/numi-capture-XXXXXX");
    int made = mkstemp(test_path);
    NEED(made >= 0);
    close(made);
    return test_path;
}

static inline void save(const void *bytes, uint64_t size) {
    int made = open(new_path(), O_WRONLY | O_CLOEXEC);
    NEED(made >= 0 && write(made, bytes, size) == (ssize_t)size);
    close(made);
}

/* Appends one gzip member or zstd frame of these bytes. */
static inline void compress_to(struct file *to, const struct file *from, uint32_t compression) {
    struct numi_sink *sink;
    NEED(numi_sink_open(&sink, new_path(), compression) == NUMI_OK);
    NEED(numi_sink_write(sink, from->bytes, from->size) == NUMI_OK);
    NEED(numi_sink_close(sink) == NUMI_OK);
    int made = open(test_path, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(made, to->bytes + to->size, FILE_MAX - to->size);
    NEED(made >= 0 && got > 0);
    to->size += (uint32_t)got;
    close(made);
    unlink(test_path);
}

static inline void keep_comments(const struct numi_capture *capture, struct content *content) {
    uint32_t size;
    const uint8_t *words;
    for (uint32_t i = 0; (words = numi_capture_comment(capture, i, &size)) != NULL; i++) {
        size_t used = strlen(content->comments);
        if (used + size + 2 <= sizeof content->comments)
            snprintf(content->comments + used, sizeof content->comments - used, "|%.*s", (int)size,
                     (const char *)words);
    }
}

static inline void keep_packet(struct content *content, const struct numi_capture_packet *packet) {
    if (content->count < PACKET_MAX && packet->size <= FILE_MAX - content->size) {
        content->packets[content->count] = *packet;
        memcpy(content->bytes + content->size, packet->data, packet->size);
        content->packets[content->count].data = content->bytes + content->size;
        content->size += packet->size;
    }
    content->count++;
}

/* Everything, asked for twice at the end: the answer must stay. */
static inline void read_path(const char *path, struct content *content) {
    struct numi_capture *capture;
    struct numi_capture_packet packet;
    memset(content, 0, sizeof *content);
    content->code = numi_capture_open(&capture, path);
    EXPECT_EQ(content->code == NUMI_OK, capture != NULL);
    if (capture == NULL)
        return;
    while ((content->code = numi_capture_next(capture, &packet)) == 1) {
        keep_packet(content, &packet);
        keep_comments(capture, content);
    }
    keep_comments(capture, content);
    content->counts = *numi_capture_counts(capture);
    EXPECT_EQ(numi_capture_next(capture, &packet), content->code);
    EXPECT(memcmp(&content->counts, numi_capture_counts(capture), sizeof content->counts) == 0);
    content->interface_count = numi_capture_interface_count(capture);
    for (uint32_t i = 0; i < content->interface_count && i < 8; i++)
        EXPECT_EQ(numi_capture_interface(capture, i, &content->interfaces[i]), NUMI_OK);
    content->format = numi_capture_format(capture);
    numi_capture_close(capture);
}

static inline void read_bytes(const void *bytes, uint64_t size, struct content *content) {
    save(bytes, size);
    read_path(test_path, content);
    unlink(test_path);
}

static inline void read_file(const struct file *file, struct content *content) {
    read_bytes(file->bytes, file->size, content);
}

static inline void expect_packet(const struct content *content, int index, bool has_time,
                                 int64_t ns, const char *data, uint32_t wire_size,
                                 uint32_t interface_index, uint32_t link) {
    const struct numi_capture_packet *packet = &content->packets[index];
    NEED(index < content->count);
    EXPECT_EQ(packet->has_time, has_time);
    EXPECT_EQ(packet->ns, ns);
    EXPECT_EQ(packet->size, strlen(data));
    EXPECT(memcmp(packet->data, data, strlen(data)) == 0);
    EXPECT_EQ(packet->wire_size, wire_size);
    EXPECT_EQ(packet->interface_index, interface_index);
    EXPECT_EQ(packet->link, link);
}

#endif
