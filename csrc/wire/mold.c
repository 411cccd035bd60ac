#include "wire/mold.h"

#include <string.h>

static int parse_header(const uint8_t *payload, uint64_t size, struct numi_mold_header *header) {
    memset(header, 0, sizeof *header);
    if (size < NUMI_MOLD_HEADER_SIZE)
        return NUMI_MOLD_SHORT_HEADER;
    memcpy(header->session, payload, NUMI_MOLD_SESSION_SIZE);
    header->sequence = numi_be64(payload + 10);
    header->count = numi_be16(payload + 18);
    header->message_count = header->count == NUMI_MOLD_END_OF_SESSION ? 0 : header->count;
    return NUMI_MOLD_OK;
}

int numi_mold_parse(const uint8_t *payload, uint64_t size, struct numi_mold_header *header) {
    int reason = parse_header(payload, size, header);
    if (reason != NUMI_MOLD_OK)
        return reason;
    return numi_mold_check_blocks(payload, size, header->message_count);
}

int numi_mold_parse_request(const uint8_t *payload, uint64_t size,
                            struct numi_mold_header *header) {
    int reason = parse_header(payload, size, header);
    if (reason != NUMI_MOLD_OK)
        return reason;
    header->message_count = header->count;
    return size == NUMI_MOLD_HEADER_SIZE ? NUMI_MOLD_OK : NUMI_MOLD_TRAILING;
}

uint32_t numi_mold_write_header(uint8_t *payload, const uint8_t *session, uint64_t sequence,
                                uint16_t count) {
    memcpy(payload, session, NUMI_MOLD_SESSION_SIZE);
    numi_put_be64(payload + 10, sequence);
    numi_put_be16(payload + 18, count);
    return NUMI_MOLD_HEADER_SIZE;
}

const char *numi_mold_reason_name(uint32_t reason) {
    static const char *const names[NUMI_MOLD_REASON_COUNT] = {"ok", "short_header", "short_block",
                                                              "trailing"};
    return reason < NUMI_MOLD_REASON_COUNT ? names[reason] : "unknown";
}
