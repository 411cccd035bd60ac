/* From the link to the UDP payload: Ethernet with up to two VLAN tags, IPv4 with options, IPv6 with
 * extension headers, UDP.
 *
 * Pure: a pointer, a size and a link type in; where the payload lies out. Never a byte past the
 * end. What is no whole UDP datagram is named, not guessed: what a packet is comes before whether
 * it is whole. Bytes after the datagram (Ethernet's padding) are nobody's. Checksums are not
 * judged: a capture of one's own sending has none yet. */
#ifndef NUMI_WIRE_PACKET_H
#define NUMI_WIRE_PACKET_H

#include "base/types.h"

enum numi_packet_reason {
    NUMI_PACKET_OK,
    NUMI_PACKET_TRUNCATED, /* ends before its headers or its own length say */
    NUMI_PACKET_NOT_IP,    /* another protocol on the link, or a link type that is not read */
    NUMI_PACKET_NOT_UDP,
    NUMI_PACKET_FRAGMENT,   /* a piece of a datagram */
    NUMI_PACKET_BAD_LENGTH, /* a length that cannot be */
    NUMI_PACKET_REASON_COUNT,
};

/* Link types, by the numbers of capture files. */
enum numi_link {
    NUMI_LINK_ETHERNET = 1,
    NUMI_LINK_RAW = 101,
    NUMI_LINK_LINUX_SLL = 113,
};

enum numi_packet_limit {
    NUMI_PACKET_TAGS_MAX = 2,
    NUMI_PACKET_UDP4_HEADER_SIZE = 42, /* Ethernet, IPv4 without options, UDP */
};

struct numi_packet {
    uint32_t payload_offset; /* from the first byte given */
    uint32_t payload_size;
    uint8_t source[16]; /* IPv4: the first four bytes */
    uint8_t destination[16];
    uint16_t source_port;
    uint16_t destination_port;
    uint16_t vlan;      /* the control word of the innermost tag, 0 without */
    uint8_t ip_version; /* 4 or 6 */
    uint8_t tag_count;
};

/* NUMI_PACKET_OK and `packet` filled in, or the reason why there is no datagram. */
NUMI_API int numi_packet_parse(const uint8_t *data, uint64_t size, uint32_t link,
                               struct numi_packet *packet);

/* Writes the 42 bytes of headers (checksums included) before a payload of `size` bytes that stands
 * at `frame` + NUMI_PACKET_UDP4_HEADER_SIZE. Addresses as 32-bit numbers, 10.0.0.1 is 0x0A000001; a
 * multicast group sets the link address that belongs to it. Returns the size of the whole frame. */
NUMI_API uint32_t numi_packet_build_udp4(uint8_t *frame, uint32_t size, uint32_t source,
                                         uint32_t destination, uint16_t source_port,
                                         uint16_t destination_port, uint16_t identification);

NUMI_API const char *numi_packet_reason_name(uint32_t reason);

#endif
