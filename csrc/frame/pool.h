/* The pool: frames in one region of huge pages, taken and given back in O(1), none ever allocated
 * later.
 *
 *   region:  | slot 0 | slot 1 | ... | slot n-1 | descriptors | stack of free indices |
 *
 * Every frame is available (in the pool), held (ours) or lent (the kernel's or the NIC's, as the
 * UMEM of AF_XDP): size = available + held + lent, always. The stack is last in, first out, so the
 * next frame is the one still in cache.
 *
 * One thread takes and gives. A frame that another thread has done with comes back through a ring.
 *
 * Bad gives: an index outside the pool, or one more give than takes, is refused in every build and
 * counted in return_drops. Check builds keep a state for each frame: there every double give is
 * refused, given-back bytes are poisoned, and a write to a given-back frame aborts when it is next
 * taken. */
#ifndef NUMI_FRAME_POOL_H
#define NUMI_FRAME_POOL_H

#include "base/ledger.h"
#include "base/memory.h"
#include "frame/frame.h"

enum numi_pool_limit {
    NUMI_POOL_FRAME_COUNT_MAX = 1 << 24,
    NUMI_POOL_FRAME_SIZE_MIN = 128,
    NUMI_POOL_FRAME_SIZE_MAX = 1 << 16,
    NUMI_POOL_POISON = 0xDB,
};

struct numi_pool {
    uint32_t *free_indices; /* the first `available` are free */
    struct numi_frame *frames;
    uint8_t *slots;
    uint32_t available;
    uint32_t held; /* counted for itself, not derived: else the ledger could not fail */
    uint32_t lent;
    uint32_t frame_count;
    uint32_t slot_shift; /* log2 of frame_size */
    uint64_t misses;
    uint64_t return_drops;
    struct numi_memory memory;
};

/* Maps and touches a region for `frame_count` frames of `frame_size` bytes (a power of two).
 * `pages` and `node` as in base/memory.h; memory.fallback says what was not got. NUMI_ERR_ARGUMENT,
 * NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_pool_open(struct numi_pool *pool, uint32_t frame_count, uint32_t frame_size,
                            uint32_t pages, int32_t node);

/* Unmaps the region: every frame and every pointer into it is gone. */
NUMI_API void numi_pool_close(struct numi_pool *pool);

/* Up to `count` frames, their indices into `indices`. Returns how many; fewer is one miss for each
 * that lacked. A frame is the caller's until given or lent. */
NUMI_API int numi_pool_take_batch(struct numi_pool *pool, uint32_t *indices, uint32_t count);

/* Gives `count` frames back. Returns how many were accepted; each other is counted in return_drops.
 */
NUMI_API int numi_pool_give_batch(struct numi_pool *pool, const uint32_t *indices, uint32_t count);

/* A held frame goes to the kernel or the NIC, and comes home. NUMI_ERR_FOREIGN; in check builds
 * also NUMI_ERR_DOUBLE_GIVE for a frame that is not held (lend) or not lent (reclaim); in all
 * builds where no frame is. */
NUMI_API int numi_pool_lend(struct numi_pool *pool, uint32_t index);
NUMI_API int numi_pool_reclaim(struct numi_pool *pool, uint32_t index);

NUMI_API void numi_pool_ledger(const struct numi_pool *pool, struct numi_pool_ledger *ledger);

#ifndef NUMI_CDEF

#include "base/check.h"
#include "base/error.h"

/* The dear part of check builds, out of line. */
void numi_pool_check_taken(struct numi_pool *pool, uint32_t index);
bool numi_pool_check_given(struct numi_pool *pool, uint32_t index);

/* The first byte of a slot; valid until the pool is closed. */
static inline uint8_t *numi_pool_slot(const struct numi_pool *pool, uint32_t index) {
    return pool->slots + ((uint64_t)index << pool->slot_shift);
}

/* The payload of a frame. */
static inline uint8_t *numi_pool_data(const struct numi_pool *pool,
                                      const struct numi_frame *frame) {
    return numi_pool_slot(pool, frame->index) + frame->data_offset;
}

/* A frame, or NULL and a miss where none is left. */
static inline struct numi_frame *numi_pool_take(struct numi_pool *pool) {
    if (NUMI_UNLIKELY(pool->available == 0)) {
        pool->misses++;
        return NULL;
    }
    uint32_t index = pool->free_indices[--pool->available];
    pool->held++;
    if (NUMI_CHECKS)
        numi_pool_check_taken(pool, index);
    return &pool->frames[index];
}

/* NUMI_OK, or NUMI_ERR_FOREIGN / NUMI_ERR_DOUBLE_GIVE and a return drop. */
static inline int numi_pool_give(struct numi_pool *pool, uint32_t index) {
    if (NUMI_UNLIKELY(index >= pool->frame_count)) {
        pool->return_drops++;
        return NUMI_ERR_FOREIGN;
    }
    if (NUMI_UNLIKELY(pool->held == 0) || (NUMI_CHECKS && !numi_pool_check_given(pool, index))) {
        pool->return_drops++;
        return NUMI_ERR_DOUBLE_GIVE;
    }
    pool->free_indices[pool->available++] = index;
    pool->held--;
    return NUMI_OK;
}

#endif
#endif
