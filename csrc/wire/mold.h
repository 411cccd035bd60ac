/* MoldUDP64: packets that carry numbered messages, and the request for those that were missed.
 *
 *   | session 10 | sequence 8 | count 2 | length 2, message | length 2, message | ...
 *
 * All integers are big-endian. A count of 0 is a heartbeat, of 0xFFFF the end of the session; both
 * carry no message, and their sequence is that of the next message to come. A request has the same
 * 20 bytes and nothing after. */
#ifndef NUMI_WIRE_MOLD_H
#define NUMI_WIRE_MOLD_H

#include "base/types.h"
#include "wire/bytes.h"

enum numi_mold_limit {
    NUMI_MOLD_HEADER_SIZE = 20,
    NUMI_MOLD_SESSION_SIZE = 10,
    NUMI_MOLD_END_OF_SESSION = 0xFFFF,
};

enum numi_mold_reason {
    NUMI_MOLD_OK,
    NUMI_MOLD_SHORT_HEADER, /* fewer than 20 bytes */
    NUMI_MOLD_SHORT_BLOCK,  /* ends within a message, or before the last of `count` */
    NUMI_MOLD_TRAILING,     /* bytes after the last message */
    NUMI_MOLD_REASON_COUNT,
};

struct numi_mold_header {
    uint64_t sequence;      /* of the first message, or of the next one to come */
    uint32_t count;         /* as on the wire: 0 heartbeat, 0xFFFF end of session */
    uint32_t message_count; /* messages that follow: 0 for both of these */
    uint8_t session[10];
    uint8_t reserved[6];
};

/* Checks a whole downstream packet: every block inside it, not a byte left over. NUMI_MOLD_OK and
 * `header` filled in, or the reason; with SHORT_BLOCK and TRAILING the header is filled in too. */
NUMI_API int numi_mold_parse(const uint8_t *payload, uint64_t size,
                             struct numi_mold_header *header);

/* A request: the header alone. */
NUMI_API int numi_mold_parse_request(const uint8_t *payload, uint64_t size,
                                     struct numi_mold_header *header);

/* Writes the 20 bytes of a header; returns 20. */
NUMI_API uint32_t numi_mold_write_header(uint8_t *payload, const uint8_t *session,
                                         uint64_t sequence, uint16_t count);

NUMI_API const char *numi_mold_reason_name(uint32_t reason);

#ifndef NUMI_CDEF

/* Whether `count` blocks lie behind the header, and nothing else; NUMI_MOLD_OK or the reason. */
static inline int numi_mold_check_blocks(const uint8_t *payload, uint64_t size, uint32_t count) {
    uint64_t at = NUMI_MOLD_HEADER_SIZE;
    for (uint32_t i = 0; i < count; i++) {
        if (size - at < 2 || size - at - 2 < numi_be16(payload + at))
            return NUMI_MOLD_SHORT_BLOCK;
        at += 2u + numi_be16(payload + at);
    }
    return at == size ? NUMI_MOLD_OK : NUMI_MOLD_TRAILING;
}

/* The message at `at` of a packet that was checked, its size through `size`; `at` moves past it. */
static inline const uint8_t *numi_mold_next(const uint8_t **at, uint16_t *size) {
    const uint8_t *message = *at + 2;
    *size = numi_be16(*at);
    *at = message + *size;
    return message;
}

/* Behind the first `count` messages of a packet that was checked. */
static inline const uint8_t *numi_mold_skip(const uint8_t *at, uint64_t count) {
    for (; count > 0; count--)
        at += 2 + numi_be16(at);
    return at;
}

#endif
#endif
