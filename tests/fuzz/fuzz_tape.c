/* The first byte says whether the blocks are mended; the rest is a segment as it stands.
 *
 *   bit 0   each block gets the magic, the version, the checksums and, where it is too long, the
 *           size that it should have: else no bent record would ever be looked at
 *
 * Whatever they are, reading ends: each record lies behind the one before, its bytes can be
 * touched, what is handed out is what is counted, and the last answer, end or NUMI_ERR_CORRUPT with
 * an offset, stays when it is asked for again. The capture made of it holds the same frames. */
#include "fuzz_file.h"

#include "base/error.h"
#include "disk/tape_export.h"
#include "disk/tape_format.h"

static const char *path;

static void mend(uint8_t *data, uint64_t size) {
    for (uint64_t at = 0; size - at >= sizeof(struct tape_block);) {
        struct tape_block block;
        memcpy(&block, data + at, sizeof block);
        uint64_t left = (size - at - sizeof block) & ~(uint64_t)(TAPE_ALIGNMENT - 1);
        block.magic = TAPE_MAGIC;
        block.version = NUMI_TAPE_VERSION;
        block.flags = 0;
        block.size &= ~(uint32_t)(TAPE_ALIGNMENT - 1);
        block.size = block.size < left ? block.size : (uint32_t)left;
        block.records_crc = numi_crc32c(0, data + at + sizeof block, block.size);
        block.head_crc = tape_head_crc(&block);
        memcpy(data + at, &block, sizeof block);
        at += sizeof block + block.size;
    }
}

static void judge_record(const struct numi_tape_record *record, uint64_t *end) {
    MUST(record->kind >= NUMI_TAPE_BEGIN && record->kind <= NUMI_TAPE_END);
    MUST(record->offset > *end);
    MUST(record->size <= NUMI_TAPE_BLOCK_SIZE_MAX);
    *end = record->offset + record->size;
    if (record->size > 0)
        touch(record->data, record->size);
    if (record->kind == NUMI_TAPE_FRAME)
        MUST(record->frame.header_size + (uint64_t)record->frame.data_size == record->size);
    if (record->kind == NUMI_TAPE_COUNTERS)
        for (uint32_t i = 0; i < record->count; i++)
            MUST(memchr(record->data + i * sizeof(struct numi_tape_counter), 0,
                        NUMI_TAPE_COUNTER_NAME_ROOM) != NULL);
}

static int read_all(struct numi_tape_reader *reader) {
    const struct numi_tape_counts *counts = numi_tape_reader_counts(reader);
    struct numi_tape_record record;
    uint64_t frames = 0, steps = 0, losses = 0, end = 0;
    int code;
    while ((code = numi_tape_reader_next(reader, &record)) == 1) {
        judge_record(&record, &end);
        frames += record.kind == NUMI_TAPE_FRAME;
        steps += record.kind == NUMI_TAPE_STEP;
        losses += record.kind == NUMI_TAPE_LOST;
    }
    MUST(counts->frames == frames && counts->steps == steps && counts->losses == losses);
    MUST(code == 0 || code == NUMI_ERR_CORRUPT || code == NUMI_ERR_VERSION);
    MUST(code == 0 || strstr(numi_error_detail(), "(offset ") != NULL);
    struct numi_tape_counts before = *counts;
    MUST(numi_tape_reader_next(reader, &record) == code);
    MUST(memcmp(&before, counts, sizeof before) == 0);
    return code;
}

static void export_all(uint64_t frames, int wanted) {
    struct numi_tape_reader *reader;
    struct numi_tape_export *exporter;
    int64_t code;
    MUST(numi_tape_reader_open(&reader, path) == NUMI_OK);
    MUST(numi_tape_export_open(&exporter, reader, "/dev/null") == NUMI_OK);
    while ((code = numi_tape_export_step(exporter, 7)) > 0)
        ;
    MUST(code == wanted);
    MUST(numi_tape_export_counts(exporter)->frames == frames);
    MUST(numi_tape_export_close(exporter) == NUMI_OK);
    numi_tape_reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct numi_tape_reader *reader;
    if (size == 0)
        return 0;
    uint8_t *bytes = exactly(data + 1, size - 1);
    if (data[0] & 1)
        mend(bytes, size - 1);
    path = file_of(bytes, size - 1);
    free(bytes);
    int code = numi_tape_reader_open(&reader, path);
    MUST((code == NUMI_OK) == (reader != NULL));
    if (code < 0) {
        MUST(code == NUMI_ERR_CORRUPT || code == NUMI_ERR_VERSION);
        MUST(strstr(numi_error_detail(), "(offset ") != NULL);
        return 0;
    }
    code = read_all(reader);
    uint64_t frames = numi_tape_reader_counts(reader)->frames;
    numi_tape_reader_close(reader);
    export_all(frames, code);
    return 0;
}
