#include "bench/tape.h"

#include <string.h>

#include "base/guard.h"

enum { FRAMES_A_STEP = 32 };

static void prepare(struct numi_pool *pool, uint32_t header_size, uint32_t size) {
    for (uint32_t taken = 0; taken < pool->frame_count; taken++) {
        struct numi_frame *frame = numi_pool_take(pool);
        frame->header_size = (uint16_t)header_size;
        frame->data_offset = header_size;
        frame->data_size = size - header_size;
        frame->wire_size = size;
        memset(numi_pool_slot(pool, frame->index), (int)taken, size);
    }
}

/* Ticks of one block; `next` is the pool's next frame. */
static uint64_t record_block(struct numi_tape *tape, const struct numi_pool *pool, uint32_t *next) {
    uint64_t begin = numi_ticks_fenced();
    numi_guard_enter();
    for (uint32_t i = 0; i < NUMI_BENCH_TAPE_BLOCK; i++) {
        const struct numi_frame *frame = &pool->frames[*next];
        numi_tape_record_frame(tape, frame, numi_pool_data(pool, frame));
        *next = *next + 1 < pool->frame_count ? *next + 1 : 0;
        if (i % FRAMES_A_STEP == FRAMES_A_STEP - 1)
            numi_tape_record_step(tape, i, FRAMES_A_STEP, FRAMES_A_STEP);
    }
    numi_guard_exit();
    return numi_ticks_fenced() - begin;
}

int numi_bench_tape(struct numi_tape *tape, struct numi_pool *pool, uint32_t blocks,
                    uint32_t header_size, uint32_t size, struct numi_histogram *record_ticks,
                    struct numi_histogram *write_ticks) {
    uint32_t next = 0;
    int64_t code = 0;
    if (header_size > size || size > 1u << pool->slot_shift || pool->available < pool->frame_count)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "bench: %u bytes, %u of them headers: allowed what a frame of an "
                              "unused pool holds",
                              size, header_size);
    prepare(pool, header_size, size);
    for (uint32_t block = 0; block < blocks && code >= 0; block++) {
        numi_histogram_record(record_ticks, (int64_t)record_block(tape, pool, &next));
        uint64_t begin = numi_ticks_fenced();
        code = numi_tape_flush(tape);
        numi_histogram_record(write_ticks, (int64_t)(numi_ticks_fenced() - begin));
    }
    for (uint32_t index = 0; index < pool->frame_count; index++)
        numi_pool_give(pool, index);
    return code < 0 ? (int)code : NUMI_OK;
}
