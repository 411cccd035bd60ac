/* Captures read: pcap, pcapng and bare ITCH files, plain, in gzip or in zstd, one packet after the
 * other.
 *
 *   numi_capture_open -> numi_capture_next (1) ... (1), 0 -> numi_capture_close
 *
 * What a file is, its first bytes say. pcap: micro- and nanoseconds, both byte orders. pcapng: any
 * number of sections, interfaces and byte orders; enhanced, simple and old packet blocks, clocks of
 * any unit and offset, comments, statistics; other blocks are counted and passed. A bare ITCH file
 * is messages behind lengths of 2 bytes and is handed out in runs of whole ones.
 *
 * A file that ends within a record ends there: counted, not an error. Bytes that contradict
 * themselves are NUMI_ERR_CORRUPT, path, reason and offset (of the record, in expanded bytes) in
 * the detail; packets before them have been handed out, and asking again gives the same answer.
 * Memory does not grow with the file: it is the stream's, 64 KiB of comments, and a line for each
 * interface. */
#ifndef NUMI_DISK_CAPTURE_H
#define NUMI_DISK_CAPTURE_H

#include "disk/stream.h"

enum numi_capture_format {
    NUMI_CAPTURE_PCAP,    /* microseconds */
    NUMI_CAPTURE_PCAP_NS, /* nanoseconds */
    NUMI_CAPTURE_PCAPNG,
    NUMI_CAPTURE_ITCH,
    NUMI_CAPTURE_FORMAT_COUNT,
};

enum numi_capture_limit {
    NUMI_CAPTURE_PACKET_SIZE_MAX = 1 << 18, /* captured bytes; more contradicts every writer */
    NUMI_CAPTURE_BLOCK_SIZE_MAX = 1 << 24,  /* of pcapng: what libpcap allows as well */
    NUMI_CAPTURE_RUN_SIZE_MAX = 65537,      /* of a bare file: any message fits */
    NUMI_CAPTURE_COMMENT_ROOM = 1 << 16,
    NUMI_CAPTURE_COMMENT_MAX = 1024,
    NUMI_CAPTURE_INTERFACE_MAX = 65536,
    NUMI_CAPTURE_NAME_ROOM = 64, /* with the final 0 */
};

/* Beside the 16-bit link numbers of captures (wire/packet.h). */
enum numi_capture_link {
    NUMI_CAPTURE_LINK_ITCH = 65536, /* a run of messages, each behind its length of 2 bytes */
};

struct numi_capture_packet {
    const uint8_t *data; /* valid until the next call */
    int64_t ns;          /* UTC since 1970, rounded down; 0 where there is no time */
    uint64_t offset;     /* of its record or run, in expanded bytes */
    uint32_t size;       /* captured */
    uint32_t wire_size;  /* when it was on the wire */
    uint32_t interface_index;
    uint32_t link;          /* enum numi_link, or NUMI_CAPTURE_LINK_ITCH */
    uint32_t message_count; /* in a run: all of them, empty ones as well; 0 for a packet */
    uint8_t has_time;
    uint8_t reserved[3];
};

/* Which fields of the statistics are there: what nobody counted is absent, never 0. */
enum numi_capture_counter {
    NUMI_CAPTURE_RECEIVED = 1,
    NUMI_CAPTURE_DROPPED = 2,
    NUMI_CAPTURE_ACCEPTED = 4,
    NUMI_CAPTURE_OS_DROPPED = 8,
    NUMI_CAPTURE_DELIVERED = 16,
};

/* What an interface says of itself (pcapng: interface statistics blocks). */
struct numi_capture_statistics {
    uint64_t received;   /* by the interface */
    uint64_t dropped;    /* by the interface, for want of room */
    uint64_t accepted;   /* by the filter */
    uint64_t os_dropped; /* by the operating system */
    uint64_t delivered;  /* to the user */
    int64_t ns;          /* when it said so last; 0 where there is no time */
    uint32_t present;    /* enum numi_capture_counter, or'ed */
    uint8_t has_time;
    uint8_t reserved[3];
};

struct numi_capture_interface {
    uint32_t link;
    uint32_t snap_size; /* packets are cut there; 0: nowhere */
    uint32_t section;   /* of the file, from 0 */
    uint32_t number;    /* within its section, from 0: what the file's blocks call it */
    int64_t offset_s;   /* added to its times */
    uint8_t resolution; /* as pcapng has it: 9 is 10^-9 s, 0x80 | 10 is 2^-10 s */
    uint8_t reserved[7];
    struct numi_capture_statistics statistics; /* each counter as it was given last */
    char name[64];                             /* cut where longer; "" if none */
    char description[64];                      /* the same */
};

struct numi_capture_counts {
    uint64_t packets;          /* or runs */
    uint64_t bytes;            /* handed out */
    uint64_t messages;         /* of a bare file, those that are not empty */
    uint64_t end_marks;        /* of a bare file: empty messages */
    uint64_t cut;              /* packets with fewer bytes than on the wire */
    uint64_t truncated;        /* records that the end of the file cut off: 0 or 1 */
    uint64_t truncated_offset; /* where that one begins */
    uint64_t torn;             /* 1: the file ends within a gzip member or a zstd frame */
    uint64_t sections;
    uint64_t unknown_blocks;
    uint64_t statistics; /* blocks of them */
    uint64_t names;      /* resolved addresses: counted and passed */
    uint64_t comments;
    uint64_t comments_lost;      /* of these: too many at once to be had as text */
    uint64_t times_out_of_range; /* outside of 64-bit nanoseconds: handed out without a time */
};

struct numi_capture;

/* All that numi_stream_open fails with; NUMI_ERR_CORRUPT for a file that is no capture; another
 * version of pcap is that, too. */
NUMI_API int numi_capture_open(struct numi_capture **out, const char *path);
NUMI_API void numi_capture_close(struct numi_capture *capture);

/* 1 and the next packet; 0 at the end. NUMI_ERR_CORRUPT; NUMI_ERR_SYSTEM from reading;
 * NUMI_ERR_UNSUPPORTED where there are more than NUMI_CAPTURE_INTERFACE_MAX interfaces. */
NUMI_API int numi_capture_next(struct numi_capture *capture, struct numi_capture_packet *packet);

/* A bare file once more, for a decoder that walks the messages anyway (numi_itch_decode_run), so
 * that nobody walks them twice: the bytes from the current place on, at least one whole message and
 * perhaps the beginning of another. Returns how many, 0 at the end. Valid until the next call.
 * Fails like numi_capture_next; NUMI_ERR_ARGUMENT for another format. */
NUMI_API int64_t numi_capture_peek(struct numi_capture *capture, const uint8_t **bytes);

/* Goes on by `size` bytes of those peeked, `message_count` whole messages, `end_marks` of them
 * empty. */
NUMI_API void numi_capture_take(struct numi_capture *capture, uint64_t size, uint64_t message_count,
                                uint64_t end_marks);

/* enum numi_capture_format. */
NUMI_API uint32_t numi_capture_format(const struct numi_capture *capture);

/* Valid until the capture is closed, its content until the next call. */
NUMI_API const struct numi_capture_counts *numi_capture_counts(const struct numi_capture *capture);

/* The interfaces met so far, in all sections; a pcap and a bare file have one from the start. */
NUMI_API uint32_t numi_capture_interface_count(const struct numi_capture *capture);

/* Copies what is known of one by now. NUMI_ERR_ARGUMENT past the last. */
NUMI_API int numi_capture_interface(const struct numi_capture *capture, uint32_t index,
                                    struct numi_capture_interface *out);

/* A comment that the last next met, on its packet or on blocks before that, in the file's order:
 * its text, not ended by a 0, and its size; NULL past the last. Valid until the next call. */
NUMI_API const uint8_t *numi_capture_comment(const struct numi_capture *capture, uint32_t index,
                                             uint32_t *size);

/* The stream below: for offsets, sizes and the compression. Lives as long as the capture. */
NUMI_API const struct numi_stream *numi_capture_stream(const struct numi_capture *capture);

NUMI_API const char *numi_capture_format_name(uint32_t format);

#ifndef NUMI_CDEF

/* Nanoseconds since 1970 of a count of an interface's units, rounded down; false where 64 bits do
 * not hold them. */
bool numi_capture_units_to_ns(uint64_t units, uint8_t resolution, int64_t offset_s, int64_t *ns);

#endif
#endif
