/* A ladder: the levels of one side of a book, by price.
 *
 *             base                               base + 256 ticks
 *   ----------|----------------------------------|------------> keys
 *    far: a   | near: a bit a tick, and a number |
 *    sorted   | of its level          ^ best     |
 *    array    |                                  |
 *
 * Nearly all levels lie near the touch, at whole ticks: there a bit says whether a price has one,
 * and a number which; opening, closing and the next best price are a few instructions in one cache
 * line. What lies farther off, or between ticks, is far: keys and numbers, sorted, the best at the
 * end. When the touch leaves the bits they are laid out anew around it.
 *
 * A tick is a power of ten, the largest that seven of eight prices at the touch are multiples of. A
 * guess, when the first level opens; looked at again when many have been far.
 *
 * Ladders take their memory from a region: a block for what is near, once, and a place for what is
 * far; a place that is full moves to one of twice the room, and what it leaves is used again. */
#ifndef NUMI_FEED_LADDER_H
#define NUMI_FEED_LADDER_H

#include "base/region.h"
#include "feed/level.h"

enum numi_ladder_limit {
    NUMI_LADDER_UNIT = 64, /* places are numbered in units of a cache line */
    NUMI_LADDER_WORDS = 4,
    NUMI_LADDER_NEAR = 64 * NUMI_LADDER_WORDS, /* slots; this one is none */
    NUMI_LADDER_BLOCK = 17,                    /* units */
    NUMI_LADDER_CLASSES = 26,                  /* of places: each twice as large as the last */
    NUMI_LADDER_TICKS = 8,
    NUMI_LADDER_SHIFT = 55, /* of a tick's inverse */
};

#define NUMI_LADDER_UNSEEN                                                                         \
    UINT32_MAX /* there is a best level, whose number nobody asked for yet                         \
                */

struct numi_rung {
    int64_t key;
    uint32_t level; /* number */
    uint32_t unused;
};

struct numi_ladder {
    int64_t best_key; /* 0 without */
    int64_t base;     /* key of the first slot */
    uint64_t near[NUMI_LADDER_WORDS];
    uint32_t best;      /* number of the best level, 0 without, or not looked at yet */
    uint32_t block;     /* in units, 0 without */
    uint32_t far_count; /* levels */
    uint8_t tick;       /* of numi_ticks */
    bool is_between;    /* something far lies above the base: off the ticks */
    uint8_t state;      /* of a bid's: what the whole book is, NUMI_BOOK_CROSSED or _LOCKED */
    uint8_t unused;
};

static_assert(sizeof(struct numi_ladder) == 64, "one cache line");

struct numi_ladder_block {
    uint32_t far_place; /* in units, 0 without */
    uint32_t far_class;
    uint32_t far_opens; /* since ticks were last looked at */
    uint32_t far_opens_max;
    uint32_t unused[12];
    uint32_t levels[NUMI_LADDER_NEAR]; /* by slot, where the bit is set */
};

static_assert(sizeof(struct numi_ladder_block) == NUMI_LADDER_BLOCK * NUMI_LADDER_UNIT, "units");

struct numi_ladders {
    struct numi_region memory;
    uint64_t used; /* units */
    uint64_t block_count;
    uint32_t free[NUMI_LADDER_CLASSES]; /* the first free place of each class, which has the next */
};

struct numi_tick {
    uint64_t inverse; /* 2^55 / tick, rounded up */
    uint64_t span;    /* of all slots */
};

extern const struct numi_tick numi_ticks[NUMI_LADDER_TICKS];

static inline int64_t numi_tick_size(uint8_t tick) {
    return (int64_t)(numi_ticks[tick].span / NUMI_LADDER_NEAR);
}

static inline struct numi_ladder_block *numi_ladder_block(const struct numi_ladders *ladders,
                                                          const struct numi_ladder *ladder) {
    return (struct numi_ladder_block *)(ladders->memory.base +
                                        (uint64_t)ladder->block * NUMI_LADDER_UNIT);
}

/* A key's slot, or none. A division that leaves nothing: the product's upper bits are the quotient,
 * its lower bits less than the inverse. */
static inline uint32_t numi_ladder_slot(const struct numi_ladder *ladder, int64_t key) {
    const struct numi_tick *tick = &numi_ticks[ladder->tick];
    uint64_t offset = (uint64_t)key - (uint64_t)ladder->base, product = offset * tick->inverse;
    uint64_t rest = product & ((1ull << NUMI_LADDER_SHIFT) - 1);
    bool is_near = (offset < tick->span) & (rest < tick->inverse);
    return is_near ? (uint32_t)(product >> NUMI_LADDER_SHIFT) : NUMI_LADDER_NEAR;
}

/* 1 where a slot has a level, 0 where not. */
static inline uint32_t numi_ladder_bit(const struct numi_ladder *ladder, uint32_t slot) {
    return ladder->near[slot / 64] >> slot % 64 & 1;
}

/* Likewise, where it is not near. */
uint32_t numi_ladder_find_far(const struct numi_ladders *ladders, const struct numi_ladder *ladder,
                              int64_t key);

/* Number of the level of a key, 0 without. */
static inline uint32_t numi_ladder_find(const struct numi_ladders *ladders,
                                        const struct numi_ladder *ladder, int64_t key) {
    uint32_t slot = numi_ladder_slot(ladder, key);
    if (NUMI_UNLIKELY(slot == NUMI_LADDER_NEAR))
        return numi_ladder_find_far(ladders, ladder, key);
    /* Not `?:`, of which gcc makes a branch. */
    return numi_ladder_block(ladders, ladder)->levels[slot] & -numi_ladder_bit(ladder, slot);
}

/* Number of the best level, 0 without. */
static inline uint32_t numi_ladder_best(const struct numi_ladders *ladders,
                                        struct numi_ladder *ladder) {
    if (NUMI_UNLIKELY(ladder->best == NUMI_LADDER_UNSEEN))
        ladder->best = numi_ladder_find(ladders, ladder, ladder->best_key);
    return ladder->best;
}

/* Where the number of a slot's level stands, if it has one. */
static inline const uint32_t *numi_ladder_place(const struct numi_ladders *ladders,
                                                const struct numi_ladder *ladder, uint32_t slot) {
    return &numi_ladder_block(ladders, ladder)->levels[slot % NUMI_LADDER_NEAR];
}

/* Likewise, where the slot is none or the ladder is empty. */
bool numi_ladder_has_room_far(const struct numi_ladders *ladders, const struct numi_ladder *ladder);

/* Whether an insert finds room in the memory that is there. */
static inline bool numi_ladder_has_room(const struct numi_ladders *ladders,
                                        const struct numi_ladder *ladder, uint32_t slot) {
    return NUMI_LIKELY(slot < NUMI_LADDER_NEAR && ladder->block != 0) ||
           numi_ladder_has_room_far(ladders, ladder);
}

/* A first level, or one that is far. */
void numi_ladder_insert_far(struct numi_ladders *ladders, struct numi_ladder *ladder, uint8_t side,
                            int64_t key, uint32_t level);

/* A key that the ladder of a side has not, and its slot; it has room. True where it is the best
 * now. */
static inline bool numi_ladder_insert(struct numi_ladders *ladders, struct numi_ladder *ladder,
                                      uint32_t slot, uint8_t side, int64_t key, uint32_t level) {
    if (NUMI_LIKELY(slot < NUMI_LADDER_NEAR && ladder->best != 0)) {
        ladder->near[slot / 64] |= 1ull << slot % 64;
        numi_ladder_block(ladders, ladder)->levels[slot] = level;
    } else
        numi_ladder_insert_far(ladders, ladder, side, key, level);
    if (ladder->best != 0 && (key < ladder->best_key || NUMI_PLANTED(STALE_BEST)))
        return false;
    ladder->best = level;
    ladder->best_key = key;
    return true;
}

void numi_ladder_remove_far(const struct numi_ladders *ladders, struct numi_ladder *ladder,
                            int64_t key);

/* After the best has gone. */
void numi_ladder_find_best(struct numi_ladders *ladders, struct numi_ladder *ladder, uint8_t side);

/* A key that it has. True where it was the best. */
static inline bool numi_ladder_remove(struct numi_ladders *ladders, struct numi_ladder *ladder,
                                      uint8_t side, int64_t key) {
    uint32_t slot = numi_ladder_slot(ladder, key);
    if (NUMI_LIKELY(slot < NUMI_LADDER_NEAR))
        ladder->near[slot / 64] &= ~(1ull << slot % 64);
    else
        numi_ladder_remove_far(ladders, ladder, key);
    if (key != ladder->best_key)
        return false;
    numi_ladder_find_best(ladders, ladder, side);
    return true;
}

/* Levels. */
uint32_t numi_ladder_count(const struct numi_ladder *ladder);

/* A walk over a ladder from the best level on. */
struct numi_ladder_walk {
    const struct numi_ladder *ladder;
    const struct numi_ladder_block *block;
    const struct numi_rung *far; /* the next one is the last */
    uint32_t far_count;
    uint32_t slot_count; /* whose slots are below this one */
};

struct numi_ladder_walk numi_ladder_walk(const struct numi_ladders *ladders,
                                         const struct numi_ladder *ladder);

/* The next level; of number 0 at the end. */
struct numi_rung numi_ladder_next(struct numi_ladder_walk *walk);

/* Addresses for the ladders of at most `level_max` levels. */
int numi_ladders_open(struct numi_ladders *ladders, uint64_t level_max);

/* Room for so many levels more, and for as many blocks as that takes of `ladder_max` ladders. */
int numi_ladders_grow(struct numi_ladders *ladders, uint64_t level_count, uint64_t ladder_max);

/* Memory for this one to grow, however long it is. */
int numi_ladders_grow_for(struct numi_ladders *ladders, const struct numi_ladder *ladder);
void numi_ladders_clear(struct numi_ladders *ladders);

#endif
