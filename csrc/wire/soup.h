/* SoupBinTCP 3.0: logical packets on a byte stream, for client and server.
 *
 *   | length 2 | type 1 | payload, length - 1 bytes |
 *
 * Integers are big-endian; numbers inside a payload are ASCII digits in 20 bytes, padded with
 * spaces. TCP may cut the stream anywhere: numi_soup_frame says how many bytes the first packet
 * has, or that it is not whole yet. */
#ifndef NUMI_WIRE_SOUP_H
#define NUMI_WIRE_SOUP_H

#include "base/types.h"

enum numi_soup_type {
    NUMI_SOUP_DEBUG = '+',
    NUMI_SOUP_LOGIN_ACCEPTED = 'A', /* server */
    NUMI_SOUP_LOGIN_REJECTED = 'J',
    NUMI_SOUP_SEQUENCED = 'S',
    NUMI_SOUP_SERVER_HEARTBEAT = 'H',
    NUMI_SOUP_END_OF_SESSION = 'Z',
    NUMI_SOUP_LOGIN_REQUEST = 'L', /* client */
    NUMI_SOUP_UNSEQUENCED = 'U',
    NUMI_SOUP_CLIENT_HEARTBEAT = 'R',
    NUMI_SOUP_LOGOUT = 'O',
};

enum numi_soup_limit {
    NUMI_SOUP_HEAD_SIZE = 3,
    NUMI_SOUP_PAYLOAD_SIZE_MAX = 65534,
    NUMI_SOUP_NUMBER_SIZE = 20,
};

enum numi_soup_reason {
    NUMI_SOUP_OK,
    NUMI_SOUP_BAD_LENGTH, /* not what the length, or the type, says */
    NUMI_SOUP_UNKNOWN_TYPE,
    NUMI_SOUP_BAD_NUMBER, /* no digits where a number stands, or beyond 64 bits */
    NUMI_SOUP_REASON_COUNT,
};

/* One packet, taken apart. What its type does not carry is 0 and spaces. */
struct numi_soup_packet {
    uint64_t sequence;       /* login accepted: the next; login request: the one wanted */
    uint32_t payload_offset; /* from the first byte of the packet */
    uint32_t payload_size;
    uint8_t type;       /* enum numi_soup_type */
    char reject_reason; /* login rejected */
    char username[6];
    char password[10];
    char session[10];
    uint8_t reserved[4];
};

/* The size of the first packet of a stream, length and all; 0 while it is not whole. */
NUMI_API uint32_t numi_soup_frame(const uint8_t *stream, uint64_t size);

/* One whole packet of `size` bytes. NUMI_SOUP_OK and `packet` filled in, or the reason. */
NUMI_API int numi_soup_parse(const uint8_t *bytes, uint64_t size, struct numi_soup_packet *packet);

/* 20 bytes: digits with spaces on either side. NUMI_SOUP_OK, or NUMI_SOUP_BAD_NUMBER. */
NUMI_API int numi_soup_parse_number(const uint8_t *text, uint64_t *number);

/* Writes a packet whose fields (or, for the types that are all payload, whose `payload`) are given,
 * and returns its size; 0 where the type is unknown or the payload too long. `bytes` has room for
 * the payload and 49 more. */
NUMI_API uint32_t numi_soup_write(uint8_t *bytes, const struct numi_soup_packet *packet,
                                  const uint8_t *payload);

NUMI_API const char *numi_soup_reason_name(uint32_t reason);

#endif
