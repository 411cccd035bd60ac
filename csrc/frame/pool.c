#include "frame/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_options(uint32_t frame_count, uint32_t frame_size) {
    if (frame_count < 1 || frame_count > NUMI_POOL_FRAME_COUNT_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "pool of %u frames: allowed 1 to %d", frame_count,
                              NUMI_POOL_FRAME_COUNT_MAX);
    if (frame_size < NUMI_POOL_FRAME_SIZE_MIN || frame_size > NUMI_POOL_FRAME_SIZE_MAX ||
        !numi_is_power_of_two(frame_size))
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "pool frames of %u bytes: allowed a power of two from %d to %d",
                              frame_size, NUMI_POOL_FRAME_SIZE_MIN, NUMI_POOL_FRAME_SIZE_MAX);
    return NUMI_OK;
}

static uint8_t *lay_out(struct numi_pool *pool) {
    uint8_t *at = pool->memory.base;
    pool->slots = at;
    at += (uint64_t)pool->frame_count << pool->slot_shift;
    pool->frames = (struct numi_frame *)at;
    at += (uint64_t)pool->frame_count * sizeof(struct numi_frame);
    pool->free_indices = (uint32_t *)at;
    return at + (uint64_t)pool->frame_count * sizeof(uint32_t);
}

static void poison(const struct numi_pool *pool, uint32_t index) {
    memset(numi_pool_slot(pool, index), NUMI_POOL_POISON, (size_t)1 << pool->slot_shift);
}

int numi_pool_open(struct numi_pool *pool, uint32_t frame_count, uint32_t frame_size,
                   uint32_t pages, int32_t node) {
    memset(pool, 0, sizeof *pool);
    int code = check_options(frame_count, frame_size);
    if (code != NUMI_OK)
        return code;
    pool->frame_count = frame_count;
    pool->slot_shift = (uint32_t)__builtin_ctz(frame_size);
    uint64_t size =
        (uint64_t)frame_count * (frame_size + sizeof(struct numi_frame) + sizeof(uint32_t));
    code = numi_memory_open(&pool->memory, size, pages, node);
    if (code != NUMI_OK)
        return code;
    NUMI_REQUIRE(lay_out(pool) <= pool->memory.base + pool->memory.size);
    /* The lowest slot lies on top of the stack and is taken first. */
    for (uint32_t index = 0; index < frame_count; index++) {
        pool->frames[index].index = index;
        pool->free_indices[frame_count - 1 - index] = index;
        if (NUMI_CHECKS)
            poison(pool, index);
    }
    pool->available = frame_count;
    return NUMI_OK;
}

void numi_pool_close(struct numi_pool *pool) {
    numi_memory_close(&pool->memory);
    pool->frame_count = pool->available = pool->held = pool->lent = 0;
}

int numi_pool_take_batch(struct numi_pool *pool, uint32_t *indices, uint32_t count) {
    uint32_t taken = count < pool->available ? count : pool->available;
    for (uint32_t i = 0; i < taken; i++)
        indices[i] = numi_pool_take(pool)->index;
    pool->misses += count - taken;
    return (int)taken;
}

int numi_pool_give_batch(struct numi_pool *pool, const uint32_t *indices, uint32_t count) {
    int accepted = 0;
    for (uint32_t i = 0; i < count; i++)
        accepted += numi_pool_give(pool, indices[i]) == NUMI_OK;
    return accepted;
}

static int move(struct numi_pool *pool, uint32_t index, uint8_t from, uint8_t to, int lent_change) {
    if (index >= pool->frame_count)
        return numi_error_set(NUMI_ERR_FOREIGN, "frame %u of a pool of %u", index,
                              pool->frame_count);
    bool none_left = from == NUMI_FRAME_HELD ? pool->held == 0 : pool->lent == 0;
    if (none_left || (NUMI_CHECKS && pool->frames[index].state != from))
        return numi_error_set(NUMI_ERR_DOUBLE_GIVE, "frame %u is not %s", index,
                              from == NUMI_FRAME_HELD ? "held" : "lent");
    if (NUMI_CHECKS)
        pool->frames[index].state = to;
    pool->lent += (uint32_t)lent_change;
    pool->held -= (uint32_t)lent_change;
    return NUMI_OK;
}

int numi_pool_lend(struct numi_pool *pool, uint32_t index) {
    return move(pool, index, NUMI_FRAME_HELD, NUMI_FRAME_LENT, 1);
}

int numi_pool_reclaim(struct numi_pool *pool, uint32_t index) {
    return move(pool, index, NUMI_FRAME_LENT, NUMI_FRAME_HELD, -1);
}

void numi_pool_ledger(const struct numi_pool *pool, struct numi_pool_ledger *ledger) {
    *ledger = (struct numi_pool_ledger){
        .size = pool->frame_count,
        .available = pool->available,
        .held = pool->held,
        .lent = pool->lent,
        .misses = pool->misses,
        .return_drops = pool->return_drops,
    };
}

void numi_pool_check_taken(struct numi_pool *pool, uint32_t index) {
    struct numi_frame *frame = &pool->frames[index];
    NUMI_REQUIRE(frame->state == NUMI_FRAME_AVAILABLE);
    const uint8_t *slot = numi_pool_slot(pool, index);
    for (uint32_t at = 0; at < 1u << pool->slot_shift; at++) {
        if (slot[at] == NUMI_POOL_POISON)
            continue;
        fprintf(stderr,
                "numi-bypass: byte %u of frame %u was written after the frame was given back\n", at,
                index);
        abort();
    }
    frame->state = NUMI_FRAME_HELD;
}

bool numi_pool_check_given(struct numi_pool *pool, uint32_t index) {
    struct numi_frame *frame = &pool->frames[index];
    if (frame->state != NUMI_FRAME_HELD)
        return false;
    frame->state = NUMI_FRAME_AVAILABLE;
    poison(pool, index);
    return true;
}
