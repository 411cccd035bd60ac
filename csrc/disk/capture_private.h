/* What the readers of the formats share: capture.c (pcap and bare files) and capture_ng.c. */
#ifndef NUMI_DISK_CAPTURE_PRIVATE_H
#define NUMI_DISK_CAPTURE_PRIVATE_H

#include <string.h>

#include "base/error.h"
#include "disk/capture.h"
#include "disk/capture_format.h"

struct numi_capture_text {
    uint32_t begin;
    uint32_t size;
};

struct numi_capture {
    struct numi_stream *stream;
    uint32_t format;
    bool is_swapped;     /* the byte order is not this machine's */
    bool has_ended;      /* nothing more will be looked at */
    uint64_t handed_out; /* bytes to pass when the next record is asked for */
    struct numi_capture_counts counts;
    struct numi_capture_interface *interfaces;
    uint32_t interface_count;
    uint32_t interface_room;
    uint32_t section_first; /* interface of the current section */
    uint32_t comment_count;
    uint32_t comment_end; /* of the room used */
    struct numi_capture_text comments[NUMI_CAPTURE_COMMENT_MAX];
    uint8_t comment_room[NUMI_CAPTURE_COMMENT_ROOM];
};

static inline uint16_t numi_capture_get16(const struct numi_capture *capture, const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return capture->is_swapped ? __builtin_bswap16(value) : value;
}

static inline uint32_t numi_capture_get32(const struct numi_capture *capture, const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return capture->is_swapped ? __builtin_bswap32(value) : value;
}

static inline uint64_t numi_capture_get64(const struct numi_capture *capture, const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return capture->is_swapped ? __builtin_bswap64(value) : value;
}

/* NUMI_ERR_CORRUPT, the detail with path and offset. */
#define NUMI_CAPTURE_CORRUPT(capture, at, format, ...)                                             \
    numi_error_set(NUMI_ERR_CORRUPT, "%s: " format " (offset %llu)",                               \
                   numi_stream_path((capture)->stream), __VA_ARGS__, (unsigned long long)(at))

/* The end of the file, between two records or within one; both return 0. */
int numi_capture_end(struct numi_capture *capture);
int numi_capture_end_within(struct numi_capture *capture);

/* The next interface, zeroed, with its section and number; NULL where there are too many or no
 * memory, `code` says which. */
struct numi_capture_interface *numi_capture_add_interface(struct numi_capture *capture, int *code);

/* Counts a packet that is to be handed out; `record_size` bytes are passed by the next call. */
int numi_capture_hand_out(struct numi_capture *capture, const struct numi_capture_packet *packet,
                          uint64_t record_size);

/* The next packet of a pcapng. */
int numi_capture_next_ng(struct numi_capture *capture, struct numi_capture_packet *packet);

#endif
