/* A day on two lines: MoldUDP64 packets of the same messages, lost, doubled, late and silent on
 * purpose, written as captures.
 *
 *   day -> messages -+-> packets of A -> lost? held? -> stamp -> writer of A
 *                    +-> packets of B -> lost? held? -> stamp -> writer of B
 *
 * A packet goes out when its last message is made: when the next one does not fit, would be one too
 * many, or comes more than packet_ns after the first. It is stamped at its arrival: the exchange's
 * time, the latency of its line, a jitter. Stamps of a line never go back. In silence there are
 * heartbeats, at the end three packets that end the session.
 *
 * Together the lines carry every message, whatever is lost or cut, unless both_loss is set. The
 * same options give the same bytes. */
#ifndef NUMI_MAKE_LINES_H
#define NUMI_MAKE_LINES_H

#include "disk/capture_write.h"
#include "make/day.h"

enum numi_lines_limit {
    NUMI_LINES_COUNT = 2, /* 0 is A, 1 is B */
    NUMI_LINES_CUT_MAX = 16,
    NUMI_LINES_SURE = 1000000000, /* a chance of one */
    NUMI_LINES_DISPLACEMENT_MAX = 32,
    NUMI_LINES_MTU_MIN = 128,
    NUMI_LINES_MTU_MAX = 9000,
};

/* A line is silent from one time of the day to another, as its packets are sent. */
struct numi_lines_cut {
    uint64_t from_ns; /* since midnight in New York */
    uint64_t to_ns;
    uint32_t line;
    uint32_t reserved;
};

struct numi_lines_options {
    uint64_t seed;
    int64_t midnight_ns;     /* of the day in New York, since 1970 */
    int64_t skew_ns;         /* how much later B arrives; below 0: A */
    uint64_t heartbeat_ns;   /* after so much silence; 0: none */
    uint32_t latency_ns;     /* from the exchange to a line's capture */
    uint32_t jitter_ns;      /* mean of what is added, never more than 16 times as much */
    uint32_t packet_ns;      /* from the first message of a packet to its last */
    uint32_t mtu;            /* bytes of an IP packet */
    uint32_t message_max[2]; /* messages in a packet of each line; 0: what fits */
    uint32_t loss[2];        /* of NUMI_LINES_SURE, by line */
    uint32_t duplicate[2];   /* likewise */
    uint32_t reorder[2];     /* likewise: comes after later ones */
    uint32_t displacement;   /* after how many, at most */
    uint32_t both_loss;      /* 1: what one line loses the other may lose as well */
    uint32_t group[2];       /* 239.192.1.1 is 0xEFC00101 */
    uint16_t port[2];
    uint32_t cut_count;
    struct numi_lines_cut cuts[16];
    uint8_t session[10];
    uint8_t reserved[6];
};

struct numi_lines_counts {
    uint64_t packets;  /* written */
    uint64_t bytes;    /* of their frames */
    uint64_t messages; /* in packets that were sent, arrived or not */
    uint64_t heartbeats;
    uint64_t lost; /* packets, and so on */
    uint64_t lost_messages;
    uint64_t cut;
    uint64_t cut_messages;
    uint64_t duplicates;
    uint64_t reordered;
};

struct numi_lines;

/* Nothing lost, doubled or reordered; session NUMI000001, groups 239.192.1.1 and 239.192.2.1, port
 * 26400, 1,500 bytes, 20 us a packet, a heartbeat after 10 s, 20 us of latency and 1 us of jitter.
 */
NUMI_API void numi_lines_defaults(struct numi_lines_options *options);

/* NUMI_OK, or NUMI_ERR_ARGUMENT: an option out of its range, or cuts that would silence both lines
 * at once without both_loss. For those who want to know before they make files. */
NUMI_API int numi_lines_check(const struct numi_lines_options *options);

/* `day` and the writers stay the caller's, and must outlive the lines. One writer for both: its
 * packets are put in order of their stamps, which takes memory by the skew. All that
 * numi_lines_check fails with, NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_lines_open(struct numi_lines **out, const struct numi_lines_options *options,
                             struct numi_day *day, struct numi_capture_writer *writer_a,
                             uint32_t interface_a, struct numi_capture_writer *writer_b,
                             uint32_t interface_b);
NUMI_API void numi_lines_close(struct numi_lines *lines);

/* Takes some thousand messages from the day. Returns how many, 0 when the day is over and all is
 * with the writers. The writers' errors, NUMI_ERR_NO_MEMORY. */
NUMI_API int64_t numi_lines_step(struct numi_lines *lines);

/* NUMI_ERR_ARGUMENT: no such line. */
NUMI_API int numi_lines_count(const struct numi_lines *lines, uint32_t line,
                              struct numi_lines_counts *counts);

#endif
