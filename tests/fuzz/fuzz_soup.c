/* Bytes are what came over a stream so far.
 *
 * It falls into whole packets and a rest that is none; each packet is parsed in memory that ends
 * with it. What parses is written again: byte for byte where the type is all payload, and with the
 * same fields where numbers may be padded in several ways. */
#include "fuzz.h"

#include "wire/bytes.h"
#include "wire/soup.h"

enum { WRITE_ROOM = 49 }; /* beyond the payload, as numi_soup_write says */

static bool has_number(uint8_t type) {
    return type == NUMI_SOUP_LOGIN_ACCEPTED || type == NUMI_SOUP_LOGIN_REQUEST;
}

static void judge_written(const uint8_t *bytes, uint32_t size,
                          const struct numi_soup_packet *packet) {
    struct numi_soup_packet again;
    bool fields = has_number(packet->type);
    uint8_t *payload = exactly(bytes + packet->payload_offset, packet->payload_size);
    uint8_t *room = malloc(packet->payload_size + WRITE_ROOM);
    MUST(room != NULL);
    MUST(numi_soup_write(room, packet, payload) == size);
    uint8_t *written = exactly(room, size);
    MUST(fields || memcmp(written, bytes, size) == 0);
    MUST(numi_soup_parse(written, size, &again) == NUMI_SOUP_OK);
    MUST(memcmp(&again, packet, sizeof again) == 0);
    free(written);
    free(room);
    free(payload);
}

static void judge_packet(const uint8_t *data, uint32_t size) {
    struct numi_soup_packet packet, other;
    uint8_t *bytes = exactly(data, size);
    int reason = numi_soup_parse(bytes, size, &packet);
    MUST(reason >= 0 && reason < NUMI_SOUP_REASON_COUNT);
    MUST(strcmp(numi_soup_reason_name((uint32_t)reason), "unknown") != 0);
    if (reason == NUMI_SOUP_OK) {
        MUST(packet.type == bytes[2] && packet.payload_offset == NUMI_SOUP_HEAD_SIZE);
        MUST(packet.payload_offset + packet.payload_size == size);
        judge_written(bytes, size, &packet);
    }
    uint8_t *shorter = exactly(data, size - 1);
    MUST(numi_soup_frame(shorter, size - 1) == 0);
    MUST(numi_soup_parse(shorter, size - 1, &other) == NUMI_SOUP_BAD_LENGTH);
    free(shorter);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct numi_soup_packet packet;
    size_t at = 0;
    for (;;) {
        uint8_t *stream = exactly(data + at, size - at);
        uint32_t frame = numi_soup_frame(stream, size - at);
        MUST(frame == 0 || (frame >= 2 && frame <= size - at));
        MUST(frame == 0 || frame == 2u + numi_be16(stream));
        if (frame == 0 || frame < size - at)
            MUST(numi_soup_parse(stream, size - at, &packet) == NUMI_SOUP_BAD_LENGTH);
        free(stream);
        if (frame == 0)
            break;
        judge_packet(data + at, frame);
        at += frame;
    }
    MUST(size - at < 2 || size - at - 2 < numi_be16(data + at));
    return 0;
}
