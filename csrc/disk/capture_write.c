#include "disk/capture_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "disk/capture_format.h"
#include "disk/sink.h"

struct numi_capture_writer {
    struct numi_sink *sink;
    uint32_t format;
    uint32_t interface_count;
    bool has_section;
    uint32_t comment_size;
    uint8_t comments[NUMI_CAPTURE_WRITER_COMMENT_MAX]; /* waiting, as options */
};

static_assert(offsetof(struct numi_capture_statistics, ns) == NG_COUNTER_COUNT * sizeof(uint64_t),
              "the counters stand first, in the order of their options");

static uint32_t padding_of(uint64_t size) {
    return (uint32_t)(-size & 3);
}

/* --- options, gathered in a small buffer */

struct options {
    uint32_t size;
    uint8_t bytes[NUMI_CAPTURE_WRITER_COMMENT_MAX + 512];
};

static void add_option(struct options *options, uint16_t code, const void *value, uint16_t size) {
    uint8_t *at = options->bytes + options->size;
    uint32_t padding = padding_of(size);
    memcpy(at, &code, sizeof code);
    memcpy(at + 2, &size, sizeof size);
    memcpy(at + 4, value, size);
    memset(at + 4 + size, 0, padding);
    options->size += 4 + size + padding;
}

/* The comments that waited are the first options of a block. */
static void begin_options(struct numi_capture_writer *writer, struct options *options) {
    memcpy(options->bytes, writer->comments, writer->comment_size);
    options->size = writer->comment_size;
    writer->comment_size = 0;
}

/* No options have no end either. */
static void end_options(struct options *options) {
    if (options->size > 0)
        add_option(options, NG_END_OF_OPTIONS, "", 0);
}

/* --- blocks */

/* `head` begins with kind and length, of which the length is filled in here. */
static int write_block(struct numi_capture_writer *writer, uint32_t *head, uint32_t head_size,
                       const void *data, uint32_t size, const struct options *options) {
    static const uint8_t zeros[4];
    uint32_t padding = padding_of(size);
    uint32_t block_size = head_size + size + padding + options->size + 4;
    head[1] = block_size;
    numi_sink_write(writer->sink, head, head_size);
    if (size > 0) {
        numi_sink_write(writer->sink, data, size);
        numi_sink_write(writer->sink, zeros, padding);
    }
    numi_sink_write(writer->sink, options->bytes, options->size);
    return numi_sink_write(writer->sink, &block_size, 4); /* fails if one of these did */
}

static int write_section(struct numi_capture_writer *writer) {
    uint32_t head[6] = {NG_SECTION, 0, NG_ORDER, 1, UINT32_MAX, UINT32_MAX}; /* version 1.0 */
    struct options options;
    begin_options(writer, &options);
    end_options(&options);
    writer->has_section = true;
    return write_block(writer, head, sizeof head, NULL, 0, &options);
}

static int need_section(struct numi_capture_writer *writer) {
    return writer->has_section ? NUMI_OK : write_section(writer);
}

static int write_interface(struct numi_capture_writer *writer, uint32_t link, const char *name,
                           const char *description) {
    uint32_t head[4] = {NG_INTERFACE, 0, link, NUMI_CAPTURE_PACKET_SIZE_MAX};
    const uint8_t nanoseconds = 9;
    int code = need_section(writer);
    if (code < 0)
        return code;
    struct options options;
    begin_options(writer, &options);
    if (name != NULL)
        add_option(&options, NG_IF_NAME, name, (uint16_t)strlen(name));
    if (description != NULL)
        add_option(&options, NG_IF_DESCRIPTION, description, (uint16_t)strlen(description));
    add_option(&options, NG_IF_TSRESOL, &nanoseconds, 1);
    end_options(&options);
    return write_block(writer, head, sizeof head, NULL, 0, &options);
}

/* --- pcap */

static int write_pcap_head(struct numi_capture_writer *writer, uint32_t link) {
    uint32_t magic = writer->format == NUMI_CAPTURE_PCAP_NS ? PCAP_MAGIC_NANO : PCAP_MAGIC_MICRO;
    uint32_t head[6] = {magic, 4 << 16 | 2, 0, 0, NUMI_CAPTURE_PACKET_SIZE_MAX, link};
    return numi_sink_write(writer->sink, head, sizeof head);
}

static int write_pcap_packet(struct numi_capture_writer *writer, uint64_t ns, const void *data,
                             uint32_t size, uint32_t wire_size) {
    uint64_t seconds = ns / NS_PER_SECOND, fraction = ns % NS_PER_SECOND;
    if (seconds > UINT32_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "a time of %llu s: a pcap has 32 bits for it",
                              (unsigned long long)seconds);
    if (writer->format == NUMI_CAPTURE_PCAP)
        fraction /= 1000;
    uint32_t head[4] = {(uint32_t)seconds, (uint32_t)fraction, size, wire_size};
    numi_sink_write(writer->sink, head, sizeof head);
    return numi_sink_write(writer->sink, data, size);
}

/* --- what the header promises */

int numi_capture_writer_open(struct numi_capture_writer **out, const char *path, uint32_t format,
                             uint32_t compression) {
    *out = NULL;
    if (format > NUMI_CAPTURE_PCAPNG)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%s: format %u: written are pcap, pcap-ns, pcapng",
                              path, format);
    struct numi_capture_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory to write it", path);
    writer->format = format;
    int code = numi_sink_open(&writer->sink, path, compression);
    if (code < 0)
        free(writer);
    else
        *out = writer;
    return code;
}

static int check_text(const char *text) {
    if (text != NULL && strlen(text) >= NUMI_CAPTURE_NAME_ROOM)
        return numi_error_set(NUMI_ERR_ARGUMENT, "an interface text of %zu bytes: at most %d",
                              strlen(text), NUMI_CAPTURE_NAME_ROOM - 1);
    return NUMI_OK;
}

int numi_capture_writer_interface(struct numi_capture_writer *writer, uint32_t link,
                                  const char *name, const char *description) {
    bool is_pcap = writer->format != NUMI_CAPTURE_PCAPNG;
    if (link > UINT16_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "link %u: a capture has 16 bits for it", link);
    if (is_pcap && writer->interface_count > 0)
        return numi_error_set(NUMI_ERR_ARGUMENT, "a pcap has one interface: write a pcapng");
    int code = check_text(name);
    if (code == NUMI_OK)
        code = check_text(description);
    if (code == NUMI_OK)
        code = is_pcap ? write_pcap_head(writer, link)
                       : write_interface(writer, link, name, description);
    return code < 0 ? code : (int)writer->interface_count++;
}

static int check_interface(const struct numi_capture_writer *writer, uint32_t interface_index,
                           int64_t ns) {
    if (interface_index >= writer->interface_count)
        return numi_error_set(NUMI_ERR_ARGUMENT, "interface %u: there are %u", interface_index,
                              writer->interface_count);
    if (ns < 0)
        return numi_error_set(NUMI_ERR_ARGUMENT, "a time of %lld ns: captures begin in 1970",
                              (long long)ns);
    return NUMI_OK;
}

int numi_capture_writer_packet(struct numi_capture_writer *writer, uint32_t interface_index,
                               int64_t ns, const void *data, uint32_t size, uint32_t wire_size) {
    int code = check_interface(writer, interface_index, ns);
    if (code < 0)
        return code;
    if (size > NUMI_CAPTURE_PACKET_SIZE_MAX || size > wire_size)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%u bytes kept of %u: at most all, and %d", size,
                              wire_size, NUMI_CAPTURE_PACKET_SIZE_MAX);
    if (writer->format != NUMI_CAPTURE_PCAPNG)
        return write_pcap_packet(writer, (uint64_t)ns, data, size, wire_size);
    uint64_t units = (uint64_t)ns;
    uint32_t head[7] = {NG_ENHANCED,     0,    interface_index, (uint32_t)(units >> 32),
                        (uint32_t)units, size, wire_size};
    if (NUMI_LIKELY(writer->comment_size == 0)) {
        static const struct options none;
        return write_block(writer, head, sizeof head, data, size, &none);
    }
    struct options options;
    begin_options(writer, &options);
    end_options(&options);
    return write_block(writer, head, sizeof head, data, size, &options);
}

int numi_capture_writer_comment(struct numi_capture_writer *writer, const char *text) {
    if (writer->format != NUMI_CAPTURE_PCAPNG)
        return numi_error_set(NUMI_ERR_ARGUMENT, "a pcap has no comments: write a pcapng");
    size_t size = strlen(text);
    struct options options = {.size = 0};
    if (size > NUMI_CAPTURE_WRITER_COMMENT_MAX - 8 ||
        size + 8 > NUMI_CAPTURE_WRITER_COMMENT_MAX - writer->comment_size)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "a comment of %zu bytes, %u are waiting: at most %d for one block",
                              size, writer->comment_size, NUMI_CAPTURE_WRITER_COMMENT_MAX);
    add_option(&options, NG_COMMENT, text, (uint16_t)size);
    memcpy(writer->comments + writer->comment_size, options.bytes, options.size);
    writer->comment_size += options.size;
    return NUMI_OK;
}

int numi_capture_writer_statistics(struct numi_capture_writer *writer, uint32_t interface_index,
                                   const struct numi_capture_statistics *statistics) {
    if (writer->format != NUMI_CAPTURE_PCAPNG)
        return numi_error_set(NUMI_ERR_ARGUMENT, "a pcap has no statistics: write a pcapng");
    int code = check_interface(writer, interface_index, statistics->has_time ? statistics->ns : 0);
    if (code < 0)
        return code;
    uint64_t units = statistics->has_time ? (uint64_t)statistics->ns : 0;
    uint32_t head[5] = {NG_STATISTICS, 0, interface_index, (uint32_t)(units >> 32),
                        (uint32_t)units};
    uint64_t counters[NG_COUNTER_COUNT];
    memcpy(counters, statistics, sizeof counters);
    struct options options;
    begin_options(writer, &options);
    for (uint16_t i = 0; i < NG_COUNTER_COUNT; i++)
        if (statistics->present & 1u << i)
            add_option(&options, (uint16_t)(NG_COUNTER_FIRST + i), &counters[i], 8);
    end_options(&options);
    return write_block(writer, head, sizeof head, NULL, 0, &options);
}

int numi_capture_writer_flush(struct numi_capture_writer *writer) {
    return numi_sink_flush(writer->sink);
}

uint64_t numi_capture_writer_offset(const struct numi_capture_writer *writer) {
    return numi_sink_offset(writer->sink);
}

/* Comments that no block came for go on a block of names without any. */
static int write_last_comments(struct numi_capture_writer *writer) {
    uint32_t head[3] = {NG_NAMES, 0, 0};
    struct options options;
    begin_options(writer, &options);
    end_options(&options);
    return write_block(writer, head, sizeof head, NULL, 0, &options);
}

static int write_rest(struct numi_capture_writer *writer) {
    if (writer->format != NUMI_CAPTURE_PCAPNG)
        return writer->interface_count == 0 ? write_pcap_head(writer, NUMI_LINK_ETHERNET) : NUMI_OK;
    int code = need_section(writer);
    return code == NUMI_OK && writer->comment_size > 0 ? write_last_comments(writer) : code;
}

int numi_capture_writer_close(struct numi_capture_writer *writer) {
    if (writer == NULL)
        return NUMI_OK;
    write_rest(writer); /* its failure is the sink's, too */
    int code = numi_sink_close(writer->sink);
    free(writer);
    return code;
}
