/* Bytes are a UDP payload, in memory that ends with it.
 *
 * What parses is walked: as many messages as it says, each inside, the last one at the end; and one
 * byte less or more is another verdict. A header is written as it was read, and a request is the
 * header alone. */
#include "fuzz.h"

#include "wire/mold.h"

static void walk(const uint8_t *payload, size_t size, const struct numi_mold_header *header) {
    const uint8_t *at = payload + NUMI_MOLD_HEADER_SIZE, *const end = payload + size;
    for (uint32_t i = 0; i < header->message_count; i++) {
        uint16_t message_size;
        MUST(end - at >= 2);
        const uint8_t *message = numi_mold_next(&at, &message_size);
        MUST(at <= end && message + message_size == at);
        touch(message, message_size);
    }
    MUST(at == end);
}

/* A whole packet that was cut, and one with a byte behind it. */
static void judge_neighbours(const uint8_t *payload, size_t size) {
    struct numi_mold_header header;
    uint8_t *shorter = exactly(payload, size - 1);
    int reason = numi_mold_parse(shorter, size - 1, &header);
    MUST(reason ==
         (size == NUMI_MOLD_HEADER_SIZE ? NUMI_MOLD_SHORT_HEADER : NUMI_MOLD_SHORT_BLOCK));
    free(shorter);
    uint8_t *longer = calloc(size + 1, 1);
    MUST(longer != NULL);
    memcpy(longer, payload, size);
    MUST(numi_mold_parse(longer, size + 1, &header) == NUMI_MOLD_TRAILING);
    free(longer);
}

static void judge_header(const uint8_t *payload, const struct numi_mold_header *header) {
    uint8_t *written = malloc(NUMI_MOLD_HEADER_SIZE);
    MUST(written != NULL);
    MUST(numi_mold_write_header(written, header->session, header->sequence,
                                (uint16_t)header->count) == NUMI_MOLD_HEADER_SIZE);
    MUST(memcmp(written, payload, NUMI_MOLD_HEADER_SIZE) == 0);
    free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct numi_mold_header header, request;
    uint8_t *payload = exactly(data, size);
    int reason = numi_mold_parse(payload, size, &header);
    int request_reason = numi_mold_parse_request(payload, size, &request);
    MUST(reason >= 0 && reason < NUMI_MOLD_REASON_COUNT);
    MUST(strcmp(numi_mold_reason_name((uint32_t)reason), "unknown") != 0);
    MUST((reason == NUMI_MOLD_SHORT_HEADER) == (size < NUMI_MOLD_HEADER_SIZE));
    MUST(request_reason == (size < NUMI_MOLD_HEADER_SIZE    ? NUMI_MOLD_SHORT_HEADER
                            : size == NUMI_MOLD_HEADER_SIZE ? NUMI_MOLD_OK
                                                            : NUMI_MOLD_TRAILING));
    if (reason != NUMI_MOLD_SHORT_HEADER) {
        bool last = header.count == NUMI_MOLD_END_OF_SESSION;
        MUST(header.message_count == (last ? 0 : header.count));
        MUST(request.message_count == request.count && request.count == header.count);
        MUST(request.sequence == header.sequence);
        judge_header(payload, &header);
    }
    if (reason == NUMI_MOLD_OK) {
        walk(payload, size, &header);
        judge_neighbours(payload, size);
    }
    free(payload);
    return 0;
}
