/* A tape's bytes, for its writer and its reader; docs/tape.md tells them in full.
 *
 *   segment: | block | block | ...            block: | tape_block | record | record | ...
 *
 * Little-endian. Records begin at multiples of 8 from their block's first one; the bytes between
 * are zeros. */
#ifndef NUMI_DISK_TAPE_FORMAT_H
#define NUMI_DISK_TAPE_FORMAT_H

#include "base/crc32c.h"
#include "disk/tape.h"

enum {
    TAPE_ALIGNMENT = 8,
    TAPE_PAD = 255,        /* in the ring only: go on at its beginning */
    TAPE_FROM_OPEN = 1,    /* flag of a begin: nothing came before it */
    TAPE_NAME_DIGITS = 10, /* of a segment's name: its number, then TAPE_SUFFIX */
};

#define TAPE_MAGIC  0x5041544Eu /* "NTAP" */
#define TAPE_SUFFIX ".tape"

/* `serial` counts the blocks of a tape, `record` its records before this block, those that each
 * segment begins with not among them. */
struct tape_block {
    uint32_t magic;
    uint16_t version;
    uint16_t flags; /* 0 */
    uint32_t size;  /* of the records, with the zeros behind them */
    uint32_t count; /* of the records */
    uint64_t serial;
    uint64_t record;
    uint32_t records_crc; /* of `size` bytes */
    uint32_t head_crc;    /* of the fields above */
};

struct tape_head {
    uint32_t size; /* of the record, with this head, without the zeros behind it */
    uint8_t kind;  /* enum numi_tape_kind */
    uint8_t line;
    uint16_t port;
};

struct tape_begin { /* the configuration follows */
    struct tape_head head;
    uint64_t identity;
    uint64_t segment;
    uint32_t flags; /* TAPE_FROM_OPEN */
    uint32_t reserved;
};

struct tape_frame { /* headers and payload follow */
    struct tape_head head;
    int64_t rx_ns;
    int64_t taken_ns;
    uint32_t error_ns;
    uint8_t source;
    uint8_t domain;
    uint16_t header_size;
    uint32_t wire_size;
    uint8_t flags;
    uint8_t reserved[3];
};

struct tape_step {
    struct tape_head head;
    int64_t now_ns;
    uint32_t budget;
    uint32_t count;
};

struct tape_counters { /* rows of struct numi_tape_counter follow */
    struct tape_head head;
    int64_t now_ns;
};

struct tape_lost {
    struct tape_head head;
    struct numi_tape_lost lost;
};

static_assert(sizeof(struct tape_block) == 40, "part of the format");
static_assert(sizeof(struct tape_head) == 8, "part of the format");
static_assert(sizeof(struct tape_begin) == 32, "part of the format");
static_assert(sizeof(struct tape_frame) == 40, "part of the format");
static_assert(sizeof(struct tape_step) == 24, "part of the format");
static_assert(sizeof(struct tape_counters) == 16, "part of the format");
static_assert(sizeof(struct numi_tape_counter) == 32, "part of the format");
static_assert(sizeof(struct numi_tape_fit) == 64, "part of the format");
static_assert(sizeof(struct tape_lost) == 40, "part of the format");

static inline uint64_t tape_round(uint64_t size) {
    return numi_round_up(size, TAPE_ALIGNMENT);
}

static inline uint32_t tape_head_crc(const struct tape_block *block) {
    return numi_crc32c(0, block, offsetof(struct tape_block, head_crc));
}

#endif
