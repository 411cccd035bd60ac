#include "wire/soup.h"

#include <string.h>

#include "wire/bytes.h"

enum {
    NUMBER_SIZE = NUMI_SOUP_NUMBER_SIZE,
    SESSION_SIZE = 10,
    USERNAME_SIZE = 6,
    PASSWORD_SIZE = 10,
    ACCEPTED_SIZE = SESSION_SIZE + NUMBER_SIZE,
    LOGIN_SIZE = USERNAME_SIZE + PASSWORD_SIZE + SESSION_SIZE + NUMBER_SIZE,
    ANY_SIZE = -1,
    NO_SUCH_TYPE = -2,
};

/* The payload's size for a type. */
static int payload_size_of(uint8_t type) {
    switch (type) {
    case NUMI_SOUP_DEBUG:
    case NUMI_SOUP_SEQUENCED:
    case NUMI_SOUP_UNSEQUENCED:
        return ANY_SIZE;
    case NUMI_SOUP_LOGIN_ACCEPTED:
        return ACCEPTED_SIZE;
    case NUMI_SOUP_LOGIN_REJECTED:
        return 1;
    case NUMI_SOUP_LOGIN_REQUEST:
        return LOGIN_SIZE;
    case NUMI_SOUP_SERVER_HEARTBEAT:
    case NUMI_SOUP_END_OF_SESSION:
    case NUMI_SOUP_CLIENT_HEARTBEAT:
    case NUMI_SOUP_LOGOUT:
        return 0;
    default:
        return NO_SUCH_TYPE;
    }
}

uint32_t numi_soup_frame(const uint8_t *stream, uint64_t size) {
    if (size < 2)
        return 0;
    uint32_t whole = 2u + numi_be16(stream);
    return whole <= size ? whole : 0;
}

int numi_soup_parse_number(const uint8_t *text, uint64_t *number) {
    uint32_t first = 0, last = NUMBER_SIZE;
    while (first < last && text[first] == ' ')
        first++;
    while (last > first && text[last - 1] == ' ')
        last--;
    *number = 0;
    for (uint32_t at = first; at < last; at++) {
        uint64_t digit = (uint64_t)text[at] - '0';
        if (digit > 9 || __builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, digit, number))
            return NUMI_SOUP_BAD_NUMBER;
    }
    return first == last ? NUMI_SOUP_BAD_NUMBER : NUMI_SOUP_OK;
}

static int parse_fields(const uint8_t *payload, struct numi_soup_packet *packet) {
    if (packet->type == NUMI_SOUP_LOGIN_ACCEPTED) {
        memcpy(packet->session, payload, SESSION_SIZE);
        return numi_soup_parse_number(payload + SESSION_SIZE, &packet->sequence);
    }
    if (packet->type == NUMI_SOUP_LOGIN_REJECTED)
        packet->reject_reason = (char)payload[0];
    if (packet->type == NUMI_SOUP_LOGIN_REQUEST) {
        memcpy(packet->username, payload, USERNAME_SIZE);
        memcpy(packet->password, payload + USERNAME_SIZE, PASSWORD_SIZE);
        payload += USERNAME_SIZE + PASSWORD_SIZE;
        memcpy(packet->session, payload, SESSION_SIZE);
        return numi_soup_parse_number(payload + SESSION_SIZE, &packet->sequence);
    }
    return NUMI_SOUP_OK;
}

int numi_soup_parse(const uint8_t *bytes, uint64_t size, struct numi_soup_packet *packet) {
    memset(packet, 0, sizeof *packet);
    memset(packet->username, ' ', USERNAME_SIZE);
    memset(packet->password, ' ', PASSWORD_SIZE);
    memset(packet->session, ' ', SESSION_SIZE);
    packet->reject_reason = ' ';
    if (size < NUMI_SOUP_HEAD_SIZE || numi_soup_frame(bytes, size) != size)
        return NUMI_SOUP_BAD_LENGTH;
    packet->type = bytes[2];
    packet->payload_offset = NUMI_SOUP_HEAD_SIZE;
    packet->payload_size = (uint32_t)size - NUMI_SOUP_HEAD_SIZE;
    int wanted = payload_size_of(packet->type);
    if (wanted == NO_SUCH_TYPE)
        return NUMI_SOUP_UNKNOWN_TYPE;
    if (wanted != ANY_SIZE && packet->payload_size != (uint32_t)wanted)
        return NUMI_SOUP_BAD_LENGTH;
    return parse_fields(bytes + NUMI_SOUP_HEAD_SIZE, packet);
}

/* Right-aligned, as the specification pads numbers. */
static void write_number(uint8_t *text, uint64_t number) {
    memset(text, ' ', NUMBER_SIZE);
    uint32_t at = NUMBER_SIZE;
    do {
        text[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
}

static void write_fields(uint8_t *at, const struct numi_soup_packet *packet) {
    if (packet->type == NUMI_SOUP_LOGIN_REJECTED)
        at[0] = (uint8_t)packet->reject_reason;
    if (packet->type == NUMI_SOUP_LOGIN_REQUEST) {
        memcpy(at, packet->username, USERNAME_SIZE);
        memcpy(at + USERNAME_SIZE, packet->password, PASSWORD_SIZE);
        at += USERNAME_SIZE + PASSWORD_SIZE;
    }
    if (packet->type == NUMI_SOUP_LOGIN_REQUEST || packet->type == NUMI_SOUP_LOGIN_ACCEPTED) {
        memcpy(at, packet->session, SESSION_SIZE);
        write_number(at + SESSION_SIZE, packet->sequence);
    }
}

uint32_t numi_soup_write(uint8_t *bytes, const struct numi_soup_packet *packet,
                         const uint8_t *payload) {
    int wanted = payload_size_of(packet->type);
    uint32_t size = wanted == ANY_SIZE ? packet->payload_size : (uint32_t)wanted;
    if (wanted == NO_SUCH_TYPE || size > NUMI_SOUP_PAYLOAD_SIZE_MAX)
        return 0;
    numi_put_be16(bytes, (uint16_t)(size + 1));
    bytes[2] = packet->type;
    if (wanted != ANY_SIZE)
        write_fields(bytes + NUMI_SOUP_HEAD_SIZE, packet);
    else if (size > 0)
        memcpy(bytes + NUMI_SOUP_HEAD_SIZE, payload, size);
    return NUMI_SOUP_HEAD_SIZE + size;
}

const char *numi_soup_reason_name(uint32_t reason) {
    static const char *const names[NUMI_SOUP_REASON_COUNT] = {"ok", "bad_length", "unknown_type",
                                                              "bad_number"};
    return reason < NUMI_SOUP_REASON_COUNT ? names[reason] : "unknown";
}
