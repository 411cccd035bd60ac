#include "wire/packet.h"

#include <string.h>

#include "wire/bytes.h"

enum {
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86DD,
    PROTOCOL_UDP = 17,
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    UDP_HEADER = 8,
    ETHERNET_HEADER = 14,
    TYPE_AT_ETHERNET = 12, /* where the type, or the first tag, stands */
    TYPE_AT_SLL = 14,
    IPV4_PIECE = 0x3FFF, /* more fragments, or an offset */
    IPV6_PIECE = 0xFFF9,
};

/* What is being taken apart, and how far we are. */
struct cursor {
    const uint8_t *data;
    uint64_t size; /* bytes captured */
    uint64_t at;   /* the header that comes next */
    uint64_t end;  /* where the IP packet says it ends */
};

static bool has(const struct cursor *cursor, uint64_t size) {
    return cursor->size >= cursor->at && cursor->size - cursor->at >= size;
}

static bool is_tag(uint16_t type) {
    return type == 0x8100 || type == 0x88A8 || type == 0x9100;
}

static int parse_tags(struct cursor *cursor, uint64_t type_at, struct numi_packet *packet,
                      uint16_t *type) {
    cursor->at = type_at;
    if (!has(cursor, 2))
        return NUMI_PACKET_TRUNCATED;
    while (is_tag(numi_be16(cursor->data + cursor->at)) &&
           packet->tag_count < NUMI_PACKET_TAGS_MAX) {
        if (!has(cursor, 6))
            return NUMI_PACKET_TRUNCATED;
        packet->vlan = numi_be16(cursor->data + cursor->at + 2);
        packet->tag_count++;
        cursor->at += 4;
    }
    *type = numi_be16(cursor->data + cursor->at);
    cursor->at += 2;
    return NUMI_PACKET_OK;
}

static int parse_link(struct cursor *cursor, uint32_t link, struct numi_packet *packet) {
    uint16_t type = 0;
    int reason = NUMI_PACKET_OK;
    if (link == NUMI_LINK_RAW) {
        if (!has(cursor, 1))
            return NUMI_PACKET_TRUNCATED;
        type = cursor->data[0] >> 4 == 4 ? TYPE_IPV4 : cursor->data[0] >> 4 == 6 ? TYPE_IPV6 : 0;
    } else if (link == NUMI_LINK_ETHERNET || link == NUMI_LINK_LINUX_SLL) {
        reason = parse_tags(cursor, link == NUMI_LINK_ETHERNET ? TYPE_AT_ETHERNET : TYPE_AT_SLL,
                            packet, &type);
    }
    if (reason != NUMI_PACKET_OK)
        return reason;
    packet->ip_version = type == TYPE_IPV4 ? 4 : type == TYPE_IPV6 ? 6 : 0;
    return packet->ip_version == 0 ? NUMI_PACKET_NOT_IP : NUMI_PACKET_OK;
}

static int parse_ipv4(struct cursor *cursor, struct numi_packet *packet) {
    if (!has(cursor, IPV4_HEADER))
        return NUMI_PACKET_TRUNCATED;
    const uint8_t *header = cursor->data + cursor->at;
    if (header[0] >> 4 != 4)
        return NUMI_PACKET_NOT_IP;
    uint64_t header_size = (uint64_t)(header[0] & 15) * 4;
    if (header_size < IPV4_HEADER)
        return NUMI_PACKET_BAD_LENGTH;
    if (!has(cursor, header_size))
        return NUMI_PACKET_TRUNCATED;
    if (header[9] != PROTOCOL_UDP)
        return NUMI_PACKET_NOT_UDP;
    if (numi_be16(header + 6) & IPV4_PIECE)
        return NUMI_PACKET_FRAGMENT;
    uint64_t total = numi_be16(header + 2);
    if (total < header_size)
        return NUMI_PACKET_BAD_LENGTH;
    if (!has(cursor, total))
        return NUMI_PACKET_TRUNCATED;
    memcpy(packet->source, header + 12, 4);
    memcpy(packet->destination, header + 16, 4);
    cursor->end = cursor->at + total;
    cursor->at += header_size;
    return NUMI_PACKET_OK;
}

static bool is_extension(uint8_t kind) {
    enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, DESTINATION = 60 };
    return kind == HOP_BY_HOP || kind == ROUTING || kind == FRAGMENT || kind == DESTINATION;
}

/* One extension header: moves past it and names the next. */
static int parse_extension(struct cursor *cursor, uint8_t *kind) {
    enum { FRAGMENT = 44, LEAST = 8 };
    if (cursor->at + LEAST > cursor->end)
        return NUMI_PACKET_BAD_LENGTH;
    if (!has(cursor, LEAST))
        return NUMI_PACKET_TRUNCATED;
    const uint8_t *header = cursor->data + cursor->at;
    uint64_t size = *kind == FRAGMENT ? LEAST : LEAST * ((uint64_t)header[1] + 1);
    if (cursor->at + size > cursor->end)
        return NUMI_PACKET_BAD_LENGTH;
    if (!has(cursor, size))
        return NUMI_PACKET_TRUNCATED;
    if (*kind == FRAGMENT && numi_be16(header + 2) & IPV6_PIECE)
        return is_extension(header[0]) || header[0] == PROTOCOL_UDP ? NUMI_PACKET_FRAGMENT
                                                                    : NUMI_PACKET_NOT_UDP;
    *kind = header[0];
    cursor->at += size;
    return NUMI_PACKET_OK;
}

static int parse_ipv6(struct cursor *cursor, struct numi_packet *packet) {
    if (!has(cursor, IPV6_HEADER))
        return NUMI_PACKET_TRUNCATED;
    const uint8_t *header = cursor->data + cursor->at;
    if (header[0] >> 4 != 6)
        return NUMI_PACKET_NOT_IP;
    cursor->end = cursor->at + IPV6_HEADER + numi_be16(header + 4);
    cursor->at += IPV6_HEADER;
    uint8_t kind = header[6];
    while (is_extension(kind)) {
        int reason = parse_extension(cursor, &kind);
        if (reason != NUMI_PACKET_OK)
            return reason;
    }
    if (kind != PROTOCOL_UDP)
        return NUMI_PACKET_NOT_UDP;
    if (cursor->size < cursor->end)
        return NUMI_PACKET_TRUNCATED;
    memcpy(packet->source, header + 8, 16);
    memcpy(packet->destination, header + 24, 16);
    return NUMI_PACKET_OK;
}

static int parse_udp(const struct cursor *cursor, struct numi_packet *packet) {
    uint64_t room = cursor->end - cursor->at;
    if (room < UDP_HEADER)
        return NUMI_PACKET_BAD_LENGTH;
    const uint8_t *header = cursor->data + cursor->at;
    uint64_t size = numi_be16(header + 4);
    if (size < UDP_HEADER || size > room)
        return NUMI_PACKET_BAD_LENGTH;
    packet->source_port = numi_be16(header);
    packet->destination_port = numi_be16(header + 2);
    packet->payload_offset = (uint32_t)(cursor->at + UDP_HEADER);
    packet->payload_size = (uint32_t)(size - UDP_HEADER);
    return NUMI_PACKET_OK;
}

int numi_packet_parse(const uint8_t *data, uint64_t size, uint32_t link,
                      struct numi_packet *packet) {
    memset(packet, 0, sizeof *packet);
    struct cursor cursor = {.data = data, .size = size};
    int reason = parse_link(&cursor, link, packet);
    if (reason == NUMI_PACKET_OK)
        reason =
            packet->ip_version == 4 ? parse_ipv4(&cursor, packet) : parse_ipv6(&cursor, packet);
    return reason == NUMI_PACKET_OK ? parse_udp(&cursor, packet) : reason;
}

/* The one's complement sum of 16-bit words, not yet folded. */
static uint32_t add_words(uint32_t sum, const uint8_t *data, uint32_t size) {
    for (; size >= 2; size -= 2, data += 2)
        sum += numi_be16(data);
    return size ? sum + ((uint32_t)data[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum) {
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

static void build_ethernet(uint8_t *frame, uint32_t destination) {
    const bool multicast = destination >> 28 == 0xE;
    memset(frame, 0, ETHERNET_HEADER);
    frame[6] = 0x02; /* locally administered, as the source of what no adapter sent */
    if (multicast) {
        frame[0] = 0x01;
        frame[2] = 0x5E;
        numi_put_be16(frame + 4, (uint16_t)destination);
        frame[3] = destination >> 16 & 0x7F;
    } else {
        frame[0] = 0x02;
    }
    numi_put_be16(frame + TYPE_AT_ETHERNET, TYPE_IPV4);
}

uint32_t numi_packet_build_udp4(uint8_t *frame, uint32_t size, uint32_t source,
                                uint32_t destination, uint16_t source_port,
                                uint16_t destination_port, uint16_t identification) {
    uint8_t *ip = frame + ETHERNET_HEADER, *udp = ip + IPV4_HEADER;
    uint16_t udp_size = (uint16_t)(UDP_HEADER + size);
    build_ethernet(frame, destination);
    memset(ip, 0, IPV4_HEADER);
    ip[0] = 0x45;
    numi_put_be16(ip + 2, (uint16_t)(IPV4_HEADER + udp_size));
    numi_put_be16(ip + 4, identification);
    ip[8] = 16; /* hops: enough for a site */
    ip[9] = PROTOCOL_UDP;
    numi_put_be32(ip + 12, source);
    numi_put_be32(ip + 16, destination);
    numi_put_be16(ip + 10, fold(add_words(0, ip, IPV4_HEADER)));
    numi_put_be16(udp, source_port);
    numi_put_be16(udp + 2, destination_port);
    numi_put_be16(udp + 4, udp_size);
    numi_put_be16(udp + 6, 0);
    uint32_t sum = add_words(PROTOCOL_UDP + udp_size, ip + 12, 8);
    uint16_t checksum = fold(add_words(sum, udp, udp_size));
    numi_put_be16(udp + 6, checksum == 0 ? 0xFFFF : checksum);
    return NUMI_PACKET_UDP4_HEADER_SIZE + size;
}

const char *numi_packet_reason_name(uint32_t reason) {
    static const char *const names[NUMI_PACKET_REASON_COUNT] = {
        "ok", "truncated", "not_ip", "not_udp", "fragment", "bad_length"};
    return reason < NUMI_PACKET_REASON_COUNT ? names[reason] : "unknown";
}
