/* Copies: which lines brought a message, when, and whether they said the same.
 *
 * Of each of the last messages that were taken there is a record: a digest of its bytes, and the
 * time and the line of its first copy. A later copy is held against it. A record lies at its
 * sequence modulo their number; the message that is taken next there puts it out, and then it is
 * known which lines never brought it. */
#ifndef NUMI_FEED_COPIES_H
#define NUMI_FEED_COPIES_H

#include "base/histogram.h"
#include "base/types.h"

enum numi_copies_limit {
    NUMI_DISAGREEMENT_MAX = 16,
    NUMI_LAG_EACH = 8, /* of so many messages one goes into the histogram */
};

enum numi_merge_line { NUMI_LINE_A, NUMI_LINE_B, NUMI_LINE_RECOVERY, NUMI_LINE_COUNT };

/* Two copies of a message that differ. */
struct numi_disagreement {
    uint64_t sequence;
    int64_t at_ns;
    uint32_t line; /* of the copy that came later, and counts for nothing */
    uint32_t first_line;
};

/* What a line brought. `missing` and `rescued` are known of messages whose record is out. */
struct numi_line_counts {
    uint64_t packets;  /* with messages */
    uint64_t messages; /* in them */
    uint64_t first;    /* messages of which its copy was taken */
    uint64_t second;   /* that another line had brought before, as far as records go back */
    uint64_t repeated; /* that it had brought itself before, likewise */
    uint64_t late;     /* packets behind one of the same line with greater sequences */
    uint64_t missing;  /* messages that it never brought */
    uint64_t rescued;  /* that it alone brought */
    uint64_t disagreements;
};

struct numi_copy {
    uint64_t sequence;
    uint64_t digest;
    int64_t first_ns;
    uint32_t lines; /* that brought it, a bit each; 0: no record */
    uint32_t first_line;
};

struct numi_copies {
    struct numi_copy *records;
    uint64_t mask;
    uint32_t count;     /* of records, 0: none are kept */
    uint32_t line_bits; /* of all lines but recovery */
    uint32_t has_crc;   /* the CPU has an instruction for CRC32C */
    uint32_t unused;
    struct numi_line_counts lines[3]; /* by enum numi_merge_line */
    struct numi_histogram lag[2];     /* of second copies, ns behind the first; by line */
    struct numi_disagreement last[16];
    uint64_t disagreements; /* the last of them at (disagreements - 1) % 16 */
};

#ifndef NUMI_CDEF

#include <string.h>

/* `count` a power of two, or 0: nothing is compared; 1 or 2 lines. NUMI_ERR_NO_MEMORY. */
int numi_copies_open(struct numi_copies *copies, uint32_t count, uint32_t line_count);
void numi_copies_close(struct numi_copies *copies);

/* All records are out: the session is over. */
void numi_copies_end(struct numi_copies *copies);

/* ---- Copies, inlined into the way of every packet. */

static inline uint64_t numi_word_at(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Sixteen bytes, folded. */
static inline uint64_t numi_fold(const uint8_t *at, uint64_t one, uint64_t other) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(numi_word_at(at) ^ one) * (numi_word_at(at + 8) ^ other);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#if defined(__x86_64__)
/* By name, since the baseline has it not: has_crc says whether the CPU does. */
static inline uint64_t numi_crc_on(uint64_t crc, const uint8_t *at) {
    __asm__("crc32q %1, %0" : "+r"(crc) : "r"(numi_word_at(at)));
    return crc;
}
#else
static inline uint64_t numi_crc_on(uint64_t crc, const uint8_t *at) {
    return crc ^ numi_word_at(at);
}
#endif

/* Of other sizes. */
uint64_t numi_digest_any(const uint8_t *message, uint32_t size);

/* Nearly all messages of market data have 17 to 48 bytes, and there is one to digest in each
 * packet: three pieces of 16 bytes that may overlap, and no branch on the size. Six instructions
 * for a CRC32C of them, which finds all that one line is likely to do to a message, or three
 * multiplications. */
static inline uint64_t numi_digest(const uint8_t *message, uint32_t size, bool has_crc) {
    if (NUMI_UNLIKELY(size - 17 > 48 - 17))
        return numi_digest_any(message, size);
    uint32_t last = size - 16, middle = last < 16 ? last : 16;
    if (NUMI_LIKELY(has_crc)) {
        uint64_t crc = numi_crc_on(numi_crc_on(size, message), message + 8);
        crc = numi_crc_on(numi_crc_on(crc, message + middle), message + middle + 8);
        return numi_crc_on(numi_crc_on(crc, message + last), message + last + 8);
    }
    uint64_t sum = numi_fold(message, 0x9E3779B97F4A7C15u, 0xC2B2AE3D27D4EB4Fu);
    sum += numi_fold(message + middle, 0x165667B19E3779F9u, 0xD6E8FEB86659FD93u);
    return sum + numi_fold(message + last, 0xA0761D6478BD642Fu ^ size, 0xE7037ED1A0B428DBu);
}

/* What is known when a record is out. */
void numi_copies_put_out(struct numi_copies *copies, const struct numi_copy *record);

/* A message is taken: its first copy. */
static inline void numi_copies_first(struct numi_copies *copies, uint64_t sequence,
                                     const uint8_t *message, uint32_t size, uint32_t line,
                                     int64_t now_ns) {
    struct numi_copy *record = &copies->records[sequence & copies->mask];
    if (NUMI_UNLIKELY((record->lines & copies->line_bits) != copies->line_bits &&
                      record->lines != 0))
        numi_copies_put_out(copies, record);
    record->sequence = sequence;
    record->digest = numi_digest(message, size, copies->has_crc);
    record->first_ns = now_ns;
    record->lines = 1u << line;
    record->first_line = line;
}

__attribute__((cold)) void numi_copies_note(struct numi_copies *copies,
                                            const struct numi_copy *record, uint32_t line,
                                            int64_t now_ns);

/* A further copy: held against the first, as far as that is known. */
static inline void numi_copies_again(struct numi_copies *copies, uint64_t sequence,
                                     const uint8_t *message, uint32_t size, uint32_t line,
                                     int64_t now_ns) {
    struct numi_line_counts *counts = &copies->lines[line];
    struct numi_copy *record = &copies->records[sequence & copies->mask];
    if (NUMI_UNLIKELY(record->lines == 0 || record->sequence != sequence))
        return;
    uint32_t before = record->lines;
    record->lines = before | 1u << line;
    if (NUMI_LIKELY(record->lines != before)) {
        counts->second++;
        if (sequence % NUMI_LAG_EACH == 0 && (line | record->first_line) <= NUMI_LINE_B)
            numi_histogram_record(&copies->lag[line], now_ns - record->first_ns);
    } else
        counts->repeated++;
    if (NUMI_UNLIKELY(record->digest != numi_digest(message, size, copies->has_crc)))
        numi_copies_note(copies, record, line, now_ns);
}

#endif
#endif
