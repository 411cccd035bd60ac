#include "disk/capture.h"

#include <stdlib.h>

#include "base/clock.h"
#include "disk/capture_private.h"
#include "wire/bytes.h"
#include "wire/itch.h"

const char *numi_capture_format_name(uint32_t format) {
    static const char *const names[NUMI_CAPTURE_FORMAT_COUNT] = {"pcap", "pcap-ns", "pcapng",
                                                                 "itch"};
    return format < NUMI_CAPTURE_FORMAT_COUNT ? names[format] : "unknown";
}

/* --- time */

/* A division by ten at a time: rounding down twice is rounding down once. */
static numi_i128 divided_by_power_of_ten(uint64_t units, uint32_t power) {
    for (; power > 0 && units > 0; power--)
        units /= 10;
    return units;
}

/* The product has at most 94 bits. */
bool numi_capture_units_to_ns(uint64_t units, uint8_t resolution, int64_t offset_s, int64_t *ns) {
    static const uint32_t powers[] = {1000000000, 100000000, 10000000, 1000000, 100000,
                                      10000,      1000,      100,      10,      1};
    uint32_t power = resolution & 0x7F;
    numi_i128 whole;
    if (resolution & 0x80)
        whole = (numi_i128)units * NS_PER_SECOND >> power;
    else if (power <= 9)
        whole = (numi_i128)units * powers[power];
    else
        whole = divided_by_power_of_ten(units, power - 9);
    whole += (numi_i128)offset_s * NS_PER_SECOND;
    *ns = (int64_t)whole;
    return *ns == whole;
}

/* --- what the formats share */

int numi_capture_end(struct numi_capture *capture) {
    capture->has_ended = true;
    capture->counts.torn = (uint64_t)numi_stream_torn(capture->stream);
    return 0;
}

int numi_capture_end_within(struct numi_capture *capture) {
    capture->counts.truncated = 1;
    capture->counts.truncated_offset = numi_stream_offset(capture->stream);
    return numi_capture_end(capture);
}

static int widen_interfaces(struct numi_capture *capture) {
    const char *path = numi_stream_path(capture->stream);
    if (capture->interface_count == NUMI_CAPTURE_INTERFACE_MAX)
        return numi_error_set(NUMI_ERR_UNSUPPORTED, "%s: more than %d interfaces (offset %llu)",
                              path, NUMI_CAPTURE_INTERFACE_MAX,
                              (unsigned long long)numi_stream_offset(capture->stream));
    uint32_t room = capture->interface_room > 0 ? 2 * capture->interface_room : 4;
    void *wider = realloc(capture->interfaces, room * sizeof *capture->interfaces);
    if (wider == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: %u interfaces", path, room);
    capture->interfaces = wider;
    capture->interface_room = room;
    return NUMI_OK;
}

struct numi_capture_interface *numi_capture_add_interface(struct numi_capture *capture, int *code) {
    if (capture->interface_count == capture->interface_room) {
        *code = widen_interfaces(capture);
        if (*code < 0)
            return NULL;
    }
    struct numi_capture_interface *interface = &capture->interfaces[capture->interface_count];
    memset(interface, 0, sizeof *interface);
    interface->number = capture->interface_count++ - capture->section_first;
    interface->section = capture->counts.sections > 0 ? (uint32_t)capture->counts.sections - 1 : 0;
    return interface;
}

int numi_capture_hand_out(struct numi_capture *capture, const struct numi_capture_packet *packet,
                          uint64_t record_size) {
    capture->handed_out = record_size;
    capture->counts.packets++;
    capture->counts.bytes += packet->size;
    capture->counts.cut += packet->size < packet->wire_size;
    return 1;
}

/* --- pcap */

static bool is_pcap_magic(uint32_t magic) {
    return magic == PCAP_MAGIC_MICRO || magic == PCAP_MAGIC_NANO;
}

static int open_pcap(struct numi_capture *capture) {
    const uint8_t *head;
    int64_t got = numi_stream_need(capture->stream, PCAP_HEAD_SIZE, &head);
    if (got < 0)
        return (int)got;
    capture->is_swapped = !is_pcap_magic(numi_capture_get32(capture, head));
    bool is_nano = numi_capture_get32(capture, head) == PCAP_MAGIC_NANO;
    capture->format = is_nano ? NUMI_CAPTURE_PCAP_NS : NUMI_CAPTURE_PCAP;
    if (got < PCAP_HEAD_SIZE)
        return numi_capture_end_within(capture);
    uint32_t version = numi_capture_get16(capture, head + 4);
    if (version != PCAP_VERSION)
        return NUMI_CAPTURE_CORRUPT(capture, 4, "pcap version %u: read is %d", version,
                                    PCAP_VERSION);
    int code = NUMI_OK;
    struct numi_capture_interface *interface = numi_capture_add_interface(capture, &code);
    if (interface == NULL)
        return code;
    interface->link = numi_capture_get32(capture, head + 20) & 0xFFFF; /* above: flags */
    interface->snap_size = numi_capture_get32(capture, head + 16);
    interface->resolution = is_nano ? 9 : 6;
    numi_stream_advance(capture->stream, PCAP_HEAD_SIZE);
    return NUMI_OK;
}

static int next_pcap(struct numi_capture *capture, struct numi_capture_packet *packet) {
    const uint8_t *record;
    int64_t got = numi_stream_need(capture->stream, PCAP_RECORD_SIZE, &record);
    if (got < PCAP_RECORD_SIZE)
        return got < 0    ? (int)got
               : got == 0 ? numi_capture_end(capture)
                          : numi_capture_end_within(capture);
    uint32_t size = numi_capture_get32(capture, record + 8);
    if (size > NUMI_CAPTURE_PACKET_SIZE_MAX)
        return NUMI_CAPTURE_CORRUPT(capture, numi_stream_offset(capture->stream),
                                    "a packet of %u bytes: at most %d", size,
                                    NUMI_CAPTURE_PACKET_SIZE_MAX);
    got = numi_stream_need(capture->stream, PCAP_RECORD_SIZE + size, &record);
    if (got < (int64_t)PCAP_RECORD_SIZE + size)
        return got < 0 ? (int)got : numi_capture_end_within(capture);
    int64_t fraction = numi_capture_get32(capture, record + 4);
    if (capture->format == NUMI_CAPTURE_PCAP)
        fraction *= 1000;
    *packet = (struct numi_capture_packet){
        .data = record + PCAP_RECORD_SIZE,
        .ns = (int64_t)numi_capture_get32(capture, record) * NS_PER_SECOND + fraction,
        .offset = numi_stream_offset(capture->stream),
        .size = size,
        .wire_size = numi_capture_get32(capture, record + 12),
        .link = capture->interfaces[0].link,
        .has_time = 1,
    };
    return numi_capture_hand_out(capture, packet, PCAP_RECORD_SIZE + size);
}

/* --- bare ITCH */

/* A first message of a known type and its right length. */
static bool is_itch(const uint8_t *head, int64_t size) {
#define IS_FIRST(letter, wire_size, word) || (head[2] == #letter[0] && numi_be16(head) == wire_size)
    return size >= 3 && (false NUMI_ITCH_TYPES(IS_FIRST));
#undef IS_FIRST
}

static int open_itch(struct numi_capture *capture) {
    int code = NUMI_OK;
    struct numi_capture_interface *interface = numi_capture_add_interface(capture, &code);
    if (interface == NULL)
        return code;
    interface->link = NUMI_CAPTURE_LINK_ITCH;
    capture->format = NUMI_CAPTURE_ITCH;
    return NUMI_OK;
}

/* What is there of the messages, if one of them is whole; 0 at the end. */
static int64_t need_message(struct numi_capture *capture, const uint8_t **bytes) {
    int64_t got = numi_stream_need(capture->stream, 2, bytes);
    if (got == 0)
        return numi_capture_end(capture);
    if (got < 0)
        return got;
    int64_t size = got < 2 ? 2 : 2 + numi_be16(*bytes);
    if (got < size)
        got = numi_stream_need(capture->stream, (uint64_t)size, bytes);
    return got < 0 || got >= size ? got : numi_capture_end_within(capture);
}

static int next_run(struct numi_capture *capture, struct numi_capture_packet *packet) {
    const uint8_t *bytes;
    int64_t got = need_message(capture, &bytes);
    if (got <= 0)
        return (int)got;
    uint32_t limit = got < NUMI_CAPTURE_RUN_SIZE_MAX ? (uint32_t)got : NUMI_CAPTURE_RUN_SIZE_MAX;
    uint32_t size = 0, count = 0, end_marks = 0;
    while (limit - size >= 2) {
        uint32_t message_size = numi_be16(bytes + size);
        if (message_size > limit - size - 2)
            break;
        size += 2 + message_size;
        count++;
        end_marks += message_size == 0;
    }
    *packet = (struct numi_capture_packet){
        .data = bytes,
        .offset = numi_stream_offset(capture->stream),
        .size = size,
        .wire_size = size,
        .link = NUMI_CAPTURE_LINK_ITCH,
        .message_count = count,
    };
    capture->counts.messages += count - end_marks;
    capture->counts.end_marks += end_marks;
    return numi_capture_hand_out(capture, packet, size);
}

/* --- opening */

struct refused {
    uint8_t size;
    uint8_t magic[6];
    const char *reason;
};

static const struct refused refused[] = {
    {4, {0x34, 0xCD, 0xB2, 0xA1}, "a modified pcap: rewrite it with editcap -F pcap"},
    {4, {0xA1, 0xB2, 0xCD, 0x34}, "a modified pcap: rewrite it with editcap -F pcap"},
    {4, {0xAB, 0x01, 0x00, 0x1C}, "an Ixia pcap: rewrite it with editcap -F nsecpcap"},
    {4, {0xAC, 0x01, 0x00, 0x1C}, "an Ixia pcap: rewrite it with editcap -F nsecpcap"},
    {5, "snoop", "a snoop file: rewrite it with editcap -F pcapng"},
    {6, {0xFD, '7', 'z', 'X', 'Z', 0}, "inside xz: expand it first"},
    {3, "BZh", "inside bzip2: expand it first"},
    {4, {0x04, 0x22, 0x4D, 0x18}, "inside lz4: expand it first"},
    {4, {'P', 'K', 3, 4}, "inside a zip archive: unpack it first"},
};

static const char *reason_to_refuse(const uint8_t *head, int64_t size) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (size >= refused[i].size && memcmp(head, refused[i].magic, refused[i].size) == 0)
            return refused[i].reason;
    return size == 0 ? "it is empty" : "its first bytes are of no format known here";
}

static int refuse(const struct numi_capture *capture, const uint8_t *head, int64_t size) {
    return NUMI_CAPTURE_CORRUPT(
        capture, 0, "not a capture: %s; read are pcap, pcapng and bare ITCH, plain, gzip or zstd",
        reason_to_refuse(head, size));
}

static int open_format(struct numi_capture *capture) {
    const uint8_t *head;
    int64_t got = numi_stream_need(capture->stream, 4, &head);
    if (got < 0)
        return (int)got;
    uint32_t magic = got >= 4 ? numi_be32(head) : 0;
    if (magic == NG_SECTION) {
        capture->format = NUMI_CAPTURE_PCAPNG;
        return NUMI_OK;
    }
    if (is_pcap_magic(magic) || is_pcap_magic(__builtin_bswap32(magic)))
        return open_pcap(capture);
    if (is_itch(head, got))
        return open_itch(capture);
    got = numi_stream_need(capture->stream, sizeof refused[0].magic, &head);
    return got < 0 ? (int)got : refuse(capture, head, got);
}

int numi_capture_open(struct numi_capture **out, const char *path) {
    *out = NULL;
    struct numi_capture *capture = calloc(1, sizeof *capture);
    if (capture == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%s: no memory to read it", path);
    int code = numi_stream_open(&capture->stream, path);
    if (code == NUMI_OK)
        code = open_format(capture);
    if (code < 0)
        numi_capture_close(capture);
    else
        *out = capture;
    return code;
}

void numi_capture_close(struct numi_capture *capture) {
    if (capture == NULL)
        return;
    numi_stream_close(capture->stream);
    free(capture->interfaces);
    free(capture);
}

/* --- reading */

static void pass_handed_out(struct numi_capture *capture) {
    numi_stream_advance(capture->stream, capture->handed_out);
    capture->handed_out = 0;
}

int numi_capture_next(struct numi_capture *capture, struct numi_capture_packet *packet) {
    pass_handed_out(capture);
    capture->comment_count = capture->comment_end = 0;
    if (capture->has_ended)
        return 0;
    if (capture->format == NUMI_CAPTURE_PCAPNG)
        return numi_capture_next_ng(capture, packet);
    return capture->format == NUMI_CAPTURE_ITCH ? next_run(capture, packet)
                                                : next_pcap(capture, packet);
}

int64_t numi_capture_peek(struct numi_capture *capture, const uint8_t **bytes) {
    if (capture->format != NUMI_CAPTURE_ITCH)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%s: a %s has packets, not a run of messages",
                              numi_stream_path(capture->stream),
                              numi_capture_format_name(capture->format));
    pass_handed_out(capture);
    return capture->has_ended ? 0 : need_message(capture, bytes);
}

void numi_capture_take(struct numi_capture *capture, uint64_t size, uint64_t message_count,
                       uint64_t end_marks) {
    numi_stream_advance(capture->stream, size);
    capture->counts.bytes += size;
    capture->counts.messages += message_count - end_marks;
    capture->counts.end_marks += end_marks;
}

/* --- what is known of it */

uint32_t numi_capture_format(const struct numi_capture *capture) {
    return capture->format;
}

const struct numi_capture_counts *numi_capture_counts(const struct numi_capture *capture) {
    return &capture->counts;
}

uint32_t numi_capture_interface_count(const struct numi_capture *capture) {
    return capture->interface_count;
}

int numi_capture_interface(const struct numi_capture *capture, uint32_t index,
                           struct numi_capture_interface *out) {
    if (index >= capture->interface_count)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%s: interface %u: there are %u by now",
                              numi_stream_path(capture->stream), index, capture->interface_count);
    *out = capture->interfaces[index];
    return NUMI_OK;
}

const uint8_t *numi_capture_comment(const struct numi_capture *capture, uint32_t index,
                                    uint32_t *size) {
    if (index >= capture->comment_count)
        return NULL;
    *size = capture->comments[index].size;
    return capture->comment_room + capture->comments[index].begin;
}

const struct numi_stream *numi_capture_stream(const struct numi_capture *capture) {
    return capture->stream;
}
