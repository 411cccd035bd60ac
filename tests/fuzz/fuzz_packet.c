/* The first byte names the link type, the rest is a packet as captured.
 *
 * The payload found lies inside, in memory that ends with the packet. The same bytes are then a
 * payload of their own: built into a datagram, it is read back with its addresses and ports, its
 * header's checksum is right, and a byte less is a packet cut short. */
#include "fuzz.h"

#include "wire/bytes.h"
#include "wire/packet.h"

enum { PAYLOAD_MAX = 65507, IP_AT = 14, UDP_AT = 34 };

static const uint32_t links[] = {NUMI_LINK_ETHERNET, NUMI_LINK_RAW, NUMI_LINK_LINUX_SLL, 65536};

static void judge_parsed(const uint8_t *data, size_t size, uint32_t link) {
    struct numi_packet packet, again;
    uint8_t *bytes = exactly(data, size);
    int reason = numi_packet_parse(bytes, size, link, &packet);
    MUST(reason >= 0 && reason < NUMI_PACKET_REASON_COUNT);
    MUST(strcmp(numi_packet_reason_name((uint32_t)reason), "unknown") != 0);
    MUST(link != links[3] || reason == NUMI_PACKET_NOT_IP);
    MUST(packet.tag_count <= NUMI_PACKET_TAGS_MAX);
    if (reason == NUMI_PACKET_OK) {
        MUST(packet.ip_version == 4 || packet.ip_version == 6);
        MUST(packet.payload_offset <= size && packet.payload_size <= size - packet.payload_offset);
        MUST(packet.payload_offset >= (packet.ip_version == 4 ? 28 : 48));
        touch(bytes + packet.payload_offset, packet.payload_size);
        /* Cut at the payload's end, what remains may be too short for the IP packet, never more
         * than that. */
        size_t end = packet.payload_offset + packet.payload_size;
        uint8_t *cut = exactly(bytes, end);
        reason = numi_packet_parse(cut, end, link, &again);
        MUST(reason == NUMI_PACKET_TRUNCATED || reason == NUMI_PACKET_OK);
        MUST(reason != NUMI_PACKET_OK || memcmp(&packet, &again, sizeof packet) == 0);
        free(cut);
    }
    free(bytes);
}

/* Folded: 0xFFFF where the checksum among the words is right. */
static uint32_t sum_words(const uint8_t *data, uint32_t size) {
    uint32_t sum = 0;
    for (uint32_t at = 0; at + 1 < size; at += 2)
        sum += numi_be16(data + at);
    sum += size % 2 ? (uint32_t)data[size - 1] << 8 : 0;
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return sum;
}

static void judge_built(const uint8_t *payload, uint32_t size) {
    struct input input = {payload, size};
    uint32_t source = (uint32_t)input_number(&input, 4), group = (uint32_t)input_number(&input, 4);
    uint16_t from = (uint16_t)input_number(&input, 2), to = (uint16_t)input_number(&input, 2);
    uint32_t whole = NUMI_PACKET_UDP4_HEADER_SIZE + size;
    uint8_t *frame = malloc(whole);
    MUST(frame != NULL);
    memcpy(frame + NUMI_PACKET_UDP4_HEADER_SIZE, payload, size);
    MUST(numi_packet_build_udp4(frame, size, source, group, from, to, (uint16_t)size) == whole);
    struct numi_packet packet;
    MUST(numi_packet_parse(frame, whole, NUMI_LINK_ETHERNET, &packet) == NUMI_PACKET_OK);
    MUST(packet.payload_offset == NUMI_PACKET_UDP4_HEADER_SIZE && packet.payload_size == size);
    MUST(memcmp(frame + packet.payload_offset, payload, size) == 0);
    MUST(numi_be32(packet.source) == source && numi_be32(packet.destination) == group);
    MUST(packet.source_port == from && packet.destination_port == to);
    MUST(packet.ip_version == 4 && packet.tag_count == 0 && packet.vlan == 0);
    MUST(sum_words(frame + IP_AT, UDP_AT - IP_AT) == 0xFFFF);
    MUST(numi_be16(frame + UDP_AT + 6) != 0); /* 0 would say that there is no checksum */
    uint8_t *shorter = exactly(frame, whole - 1);
    MUST(numi_packet_parse(shorter, whole - 1, NUMI_LINK_ETHERNET, &packet) ==
         NUMI_PACKET_TRUNCATED);
    free(shorter);
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    uint32_t link = links[input_byte(&input) % 4];
    judge_parsed(input.at, input.left, link);
    if (input.left <= PAYLOAD_MAX)
        judge_built(input.at, (uint32_t)input.left);
    return 0;
}
