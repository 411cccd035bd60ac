#include "feed/copies.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"

enum {
    LAG_DIGITS = 2,
    LAG_SECONDS = 60,
};

uint64_t numi_digest_any(const uint8_t *message, uint32_t size) {
    return XXH3_64bits(message, size);
}

static_assert(sizeof((struct numi_copies){0}.last) ==
                  NUMI_DISAGREEMENT_MAX * sizeof(struct numi_disagreement),
              "a place for each");

static bool has_crc(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("sse4.2");
#else
    return false;
#endif
}

int numi_copies_open(struct numi_copies *copies, uint32_t count, uint32_t line_count) {
    *copies = (struct numi_copies){.count = count,
                                   .mask = count - 1ull,
                                   .line_bits = (1u << line_count) - 1,
                                   .has_crc = has_crc()};
    if (count == 0)
        return NUMI_OK;
    copies->records = calloc(count, sizeof *copies->records);
    int code = copies->records == NULL
                   ? numi_error_set(NUMI_ERR_NO_MEMORY, "digests of %u messages", count)
                   : NUMI_OK;
    for (uint32_t line = 0; line < 2 && code == NUMI_OK; line++)
        code = numi_histogram_open(&copies->lag[line], LAG_SECONDS * 1000000000ll, LAG_DIGITS);
    if (code != NUMI_OK)
        numi_copies_close(copies);
    return code;
}

void numi_copies_close(struct numi_copies *copies) {
    free(copies->records);
    for (uint32_t line = 0; line < 2; line++)
        numi_histogram_close(&copies->lag[line]);
    *copies = (struct numi_copies){0};
}

/* ---- What is known when a record is out. */

/* Whether a line brought what the others did not; where there is one alone, nothing is rescued. */
static void count_line(struct numi_copies *copies, uint32_t lines, uint32_t line) {
    uint32_t bit = 1u << line, others = copies->line_bits & ~bit;
    copies->lines[line].missing += (copies->line_bits & ~lines & bit) != 0;
    copies->lines[line].rescued += (lines & bit) != 0 && others != 0 && (lines & others) == 0;
}

void numi_copies_put_out(struct numi_copies *copies, const struct numi_copy *record) {
    if (record->lines == 0)
        return;
    count_line(copies, record->lines, NUMI_LINE_A);
    count_line(copies, record->lines, NUMI_LINE_B);
    copies->lines[NUMI_LINE_RECOVERY].rescued += record->lines == 1u << NUMI_LINE_RECOVERY;
}

void numi_copies_end(struct numi_copies *copies) {
    for (uint32_t i = 0; i < copies->count; i++)
        numi_copies_put_out(copies, &copies->records[i]);
    if (copies->count > 0)
        memset(copies->records, 0, copies->count * sizeof *copies->records);
}

void numi_copies_note(struct numi_copies *copies, const struct numi_copy *record, uint32_t line,
                      int64_t now_ns) {
    copies->last[copies->disagreements++ % NUMI_DISAGREEMENT_MAX] = (struct numi_disagreement){
        .sequence = record->sequence,
        .at_ns = now_ns,
        .line = line,
        .first_line = record->first_line,
    };
    copies->lines[line].disagreements++;
}
