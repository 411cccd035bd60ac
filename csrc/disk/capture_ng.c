/* pcapng: a chain of blocks, each with its kind and its length, the length once more behind it.
 *
 *   | kind 4 | length 4 | body, a multiple of 4 | length 4 |
 *
 * A section block begins a section: its magic says the byte order of all that follows, interfaces
 * are counted afresh. A block is looked at whole or not at all, so that a failure leaves it where
 * it is. */
#include "disk/capture_private.h"

struct block {
    uint32_t kind;
    uint32_t size; /* of the body */
    const uint8_t *body;
    uint64_t offset;
};

struct option {
    uint16_t code;
    uint16_t size;
    const uint8_t *value;
};

static uint32_t padded(uint32_t size) {
    return (size + 3) & ~3u;
}

static int block_too_short(const struct numi_capture *capture, const struct block *block) {
    return NUMI_CAPTURE_CORRUPT(capture, block->offset,
                                "a block of kind 0x%x too short for its fields", block->kind);
}

/* --- blocks */

static int read_order(struct numi_capture *capture, const uint8_t *at) {
    capture->is_swapped = false;
    uint32_t magic = numi_capture_get32(capture, at + 8);
    capture->is_swapped = magic != NG_ORDER;
    if (magic != NG_ORDER && __builtin_bswap32(magic) != NG_ORDER)
        return NUMI_CAPTURE_CORRUPT(capture, numi_stream_offset(capture->stream),
                                    "a section whose byte order is 0x%08x", magic);
    return NUMI_OK;
}

static int need_block(struct numi_capture *capture, uint32_t size, struct block *block) {
    const uint8_t *at;
    int64_t got = numi_stream_need(capture->stream, size, &at);
    if (got < size)
        return got < 0 ? (int)got : numi_capture_end_within(capture);
    uint32_t again = numi_capture_get32(capture, at + size - 4);
    uint64_t offset = numi_stream_offset(capture->stream);
    if (again != size)
        return NUMI_CAPTURE_CORRUPT(capture, offset, "a block of %u bytes that ends in %u", size,
                                    again);
    *block =
        (struct block){numi_capture_get32(capture, at), size - NG_BLOCK_SIZE_MIN, at + 8, offset};
    return 1;
}

/* 1 and the next block, 0 at the end. */
static int read_block(struct numi_capture *capture, struct block *block) {
    const uint8_t *at;
    int64_t got = numi_stream_need(capture->stream, NG_BLOCK_SIZE_MIN, &at);
    if (got < NG_BLOCK_SIZE_MIN)
        return got < 0    ? (int)got
               : got == 0 ? numi_capture_end(capture)
                          : numi_capture_end_within(capture);
    if (numi_capture_get32(capture, at) == NG_SECTION) {
        int code = read_order(capture, at);
        if (code < 0)
            return code;
    }
    uint32_t size = numi_capture_get32(capture, at + 4);
    if (size < NG_BLOCK_SIZE_MIN || size % 4 != 0 || size > NUMI_CAPTURE_BLOCK_SIZE_MAX)
        return NUMI_CAPTURE_CORRUPT(capture, numi_stream_offset(capture->stream),
                                    "a block of %u bytes: allowed are multiples of 4 from %d to %d",
                                    size, NG_BLOCK_SIZE_MIN, NUMI_CAPTURE_BLOCK_SIZE_MAX);
    return need_block(capture, size, block);
}

/* --- options */

/* 1 and the next option, 0 after the last, -1 where one runs over its block. */
static int next_option(const struct numi_capture *capture, const struct block *block, uint32_t *at,
                       struct option *option) {
    if (*at > block->size || block->size - *at < NG_OPTION_SIZE)
        return 0;
    const uint8_t *head = block->body + *at;
    *option = (struct option){numi_capture_get16(capture, head),
                              numi_capture_get16(capture, head + 2), head + NG_OPTION_SIZE};
    if (option->code == NG_END_OF_OPTIONS)
        return 0;
    if (block->size - *at - NG_OPTION_SIZE < option->size)
        return -1;
    *at += NG_OPTION_SIZE + padded(option->size);
    return 1;
}

static void keep_comment(struct numi_capture *capture, const struct option *option) {
    capture->counts.comments++;
    if (capture->comment_count == NUMI_CAPTURE_COMMENT_MAX ||
        option->size > NUMI_CAPTURE_COMMENT_ROOM - capture->comment_end) {
        capture->counts.comments_lost++;
        return;
    }
    memcpy(capture->comment_room + capture->comment_end, option->value, option->size);
    capture->comments[capture->comment_count++] =
        (struct numi_capture_text){capture->comment_end, option->size};
    capture->comment_end += option->size;
}

/* The comments among the options from `at` on. A list that runs over its block ends there. */
static void read_comments(struct numi_capture *capture, const struct block *block, uint32_t at) {
    struct option option;
    while (next_option(capture, block, &at, &option) > 0)
        if (option.code == NG_COMMENT)
            keep_comment(capture, &option);
}

/* --- sections and interfaces */

static int read_section(struct numi_capture *capture, const struct block *block) {
    if (block->size < 8)
        return block_too_short(capture, block);
    uint32_t major = numi_capture_get16(capture, block->body + 4);
    uint32_t minor = numi_capture_get16(capture, block->body + 6);
    if (major != 1 || (minor != 0 && minor != 2))
        return NUMI_CAPTURE_CORRUPT(capture, block->offset, "pcapng version %u.%u: read is 1.0",
                                    major, minor);
    capture->counts.sections++;
    capture->section_first = capture->interface_count;
    read_comments(capture, block, 16);
    return NUMI_OK;
}

static void copy_text(char text[NUMI_CAPTURE_NAME_ROOM], const struct option *option) {
    size_t size = option->size < NUMI_CAPTURE_NAME_ROOM ? option->size : NUMI_CAPTURE_NAME_ROOM - 1;
    memcpy(text, option->value, size);
    text[size] = 0;
}

/* False for a size that the option cannot have. */
static bool apply_interface_option(const struct numi_capture *capture,
                                   struct numi_capture_interface *interface,
                                   const struct option *option) {
    switch (option->code) {
    case NG_IF_NAME:
        copy_text(interface->name, option);
        return true;
    case NG_IF_DESCRIPTION:
        copy_text(interface->description, option);
        return true;
    case NG_IF_TSRESOL:
        interface->resolution = option->size == 1 ? option->value[0] : 0;
        return option->size == 1;
    case NG_IF_TSOFFSET:
        if (option->size != 8)
            return false;
        interface->offset_s = (int64_t)numi_capture_get64(capture, option->value);
        return true;
    default:
        return true;
    }
}

/* Options decide what times mean: a list in disorder is no interface. */
static int read_interface_options(const struct numi_capture *capture, const struct block *block,
                                  struct numi_capture_interface *interface) {
    struct option option;
    uint32_t at = 8;
    for (;;) {
        int got = next_option(capture, block, &at, &option);
        if (got == 0)
            return NUMI_OK;
        if (got < 0 || !apply_interface_option(capture, interface, &option))
            return NUMI_CAPTURE_CORRUPT(capture, block->offset,
                                        "an interface whose option %u has %u bytes", option.code,
                                        option.size);
    }
}

static int read_interface(struct numi_capture *capture, const struct block *block) {
    if (block->size < 8)
        return block_too_short(capture, block);
    struct numi_capture_interface read = {
        .link = numi_capture_get16(capture, block->body),
        .snap_size = numi_capture_get32(capture, block->body + 4),
        .resolution = 6,
    };
    int code = read_interface_options(capture, block, &read);
    if (code < 0)
        return code;
    struct numi_capture_interface *interface = numi_capture_add_interface(capture, &code);
    if (interface == NULL)
        return code;
    read.number = interface->number;
    read.section = interface->section;
    *interface = read;
    read_comments(capture, block, 8);
    return NUMI_OK;
}

/* By its number within the section; NULL and an error where it was never described. */
static struct numi_capture_interface *
interface_of(struct numi_capture *capture, const struct block *block, uint32_t number, int *code) {
    if (number < capture->interface_count - capture->section_first)
        return &capture->interfaces[capture->section_first + number];
    *code =
        NUMI_CAPTURE_CORRUPT(capture, block->offset, "interface %u was never described", number);
    return NULL;
}

static int64_t time_of(struct numi_capture *capture, const struct block *block,
                       const struct numi_capture_interface *interface, uint8_t *has_time) {
    uint64_t units = (uint64_t)numi_capture_get32(capture, block->body + 4) << 32 |
                     numi_capture_get32(capture, block->body + 8);
    int64_t ns;
    *has_time = numi_capture_units_to_ns(units, interface->resolution, interface->offset_s, &ns);
    capture->counts.times_out_of_range += !*has_time;
    return *has_time ? ns : 0;
}

/* --- packets */

/* What the three kinds of packet block say differently. */
struct shape {
    uint32_t fixed_size; /* before the bytes */
    uint32_t number;
    uint32_t wire_size;
    uint32_t size; /* kept */
};

static int hand_out(struct numi_capture *capture, const struct block *block,
                    const struct numi_capture_interface *interface, const struct shape *shape,
                    struct numi_capture_packet *packet) {
    if (shape->size > NUMI_CAPTURE_PACKET_SIZE_MAX || shape->size > block->size - shape->fixed_size)
        return NUMI_CAPTURE_CORRUPT(capture, block->offset,
                                    "a packet of %u bytes in a block of %u: at most %d",
                                    shape->size, block->size, NUMI_CAPTURE_PACKET_SIZE_MAX);
    *packet = (struct numi_capture_packet){
        .data = block->body + shape->fixed_size,
        .offset = block->offset,
        .size = shape->size,
        .wire_size = shape->wire_size,
        .interface_index = capture->section_first + shape->number,
        .link = interface->link,
    };
    if (block->kind != NG_SIMPLE) {
        packet->ns = time_of(capture, block, interface, &packet->has_time);
        read_comments(capture, block, shape->fixed_size + padded(shape->size));
    }
    return numi_capture_hand_out(capture, packet, block->size + NG_BLOCK_SIZE_MIN);
}

static int read_simple(struct numi_capture *capture, const struct block *block,
                       struct numi_capture_packet *packet) {
    if (block->size < 4)
        return block_too_short(capture, block);
    int code = NUMI_OK;
    const struct numi_capture_interface *interface = interface_of(capture, block, 0, &code);
    if (interface == NULL)
        return code;
    uint32_t wire_size = numi_capture_get32(capture, block->body);
    bool cut = interface->snap_size > 0 && interface->snap_size < wire_size;
    struct shape shape = {4, 0, wire_size, cut ? interface->snap_size : wire_size};
    return hand_out(capture, block, interface, &shape, packet);
}

static int read_packet(struct numi_capture *capture, const struct block *block,
                       struct numi_capture_packet *packet) {
    if (block->kind == NG_SIMPLE)
        return read_simple(capture, block, packet);
    if (block->size < 20)
        return block_too_short(capture, block);
    uint32_t number = block->kind == NG_ENHANCED ? numi_capture_get32(capture, block->body)
                                                 : numi_capture_get16(capture, block->body);
    int code = NUMI_OK;
    const struct numi_capture_interface *interface = interface_of(capture, block, number, &code);
    if (interface == NULL)
        return code;
    struct shape shape = {20, number, numi_capture_get32(capture, block->body + 16),
                          numi_capture_get32(capture, block->body + 12)};
    return hand_out(capture, block, interface, &shape, packet);
}

/* --- statistics and names */

static int read_statistics(struct numi_capture *capture, const struct block *block) {
    if (block->size < 12)
        return block_too_short(capture, block);
    int code = NUMI_OK;
    uint32_t number = numi_capture_get32(capture, block->body);
    struct numi_capture_interface *interface = interface_of(capture, block, number, &code);
    if (interface == NULL)
        return code;
    struct numi_capture_statistics *statistics = &interface->statistics;
    uint64_t *const counters[NG_COUNTER_COUNT] = {&statistics->received, &statistics->dropped,
                                                  &statistics->accepted, &statistics->os_dropped,
                                                  &statistics->delivered};
    statistics->ns = time_of(capture, block, interface, &statistics->has_time);
    struct option option;
    uint32_t at = 12;
    while (next_option(capture, block, &at, &option) > 0) {
        uint32_t index = option.code - (uint32_t)NG_COUNTER_FIRST;
        if (index >= NG_COUNTER_COUNT || option.size != 8)
            continue;
        *counters[index] = numi_capture_get64(capture, option.value);
        statistics->present |= 1u << index;
    }
    capture->counts.statistics++;
    read_comments(capture, block, 12);
    return NUMI_OK;
}

/* Records of | kind 2 | size 2 | address, names |, the last of kind 0; then options. */
static int read_names(struct numi_capture *capture, const struct block *block) {
    uint32_t at = 0;
    while (at <= block->size && block->size - at >= 4) {
        uint32_t kind = numi_capture_get16(capture, block->body + at);
        uint32_t size = numi_capture_get16(capture, block->body + at + 2);
        bool is_whole = block->size - at - 4 >= size;
        at += 4 + padded(size);
        if (kind == 0)
            break;
        capture->counts.names += is_whole && (kind == 1 || kind == 2);
    }
    read_comments(capture, block, at);
    return NUMI_OK;
}

/* A block that holds no packet. */
static int read_other(struct numi_capture *capture, const struct block *block) {
    switch (block->kind) {
    case NG_SECTION:
        return read_section(capture, block);
    case NG_INTERFACE:
        return read_interface(capture, block);
    case NG_STATISTICS:
        return read_statistics(capture, block);
    case NG_NAMES:
        return read_names(capture, block);
    default:
        capture->counts.unknown_blocks++;
        return NUMI_OK;
    }
}

int numi_capture_next_ng(struct numi_capture *capture, struct numi_capture_packet *packet) {
    for (;;) {
        struct block block = {0};
        int got = read_block(capture, &block);
        if (got <= 0)
            return got;
        if (block.kind == NG_ENHANCED || block.kind == NG_SIMPLE || block.kind == NG_OLD_PACKET)
            return read_packet(capture, &block, packet);
        got = read_other(capture, &block);
        if (got < 0)
            return got;
        numi_stream_advance(capture->stream, block.size + NG_BLOCK_SIZE_MIN);
    }
}
