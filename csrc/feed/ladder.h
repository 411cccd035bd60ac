/* A ladder: the levels of one side of a book, sorted by price, the best at the end.
 *
 *   [ 4 x least | rung rung rung ... best | room ]    rung: key i64, number of the level u32
 *
 * A bid's key is its price, an ask's the price's complement, so that higher is better for both. The
 * four least keys before the first let a search look at four at a time without a look at the count.
 * Before it searches it looks where the rung would be if prices were spread evenly, as those near
 * the touch mostly are. Ladders lie in a region; one that is full moves to a place of twice the
 * room, and what it leaves is used again. */
#ifndef NUMI_FEED_LADDER_H
#define NUMI_FEED_LADDER_H

#include <string.h>

#include "base/region.h"
#include "wire/event.h"

enum numi_ladder_limit {
    NUMI_LADDER_UNIT = 64, /* places are numbered in units of a cache line */
    NUMI_LADDER_STRIDE = 4,
    NUMI_LADDER_FIRST_ROOM = 12, /* with the least keys four cache lines */
    NUMI_LADDER_CLASSES = 26,    /* of room: each has twice the lines of the one before */
};

struct numi_rung {
    int64_t key;
    uint32_t level;
    uint32_t unused;
};

struct numi_ladder {
    int64_t best_key;
    uint32_t best; /* number of the best level, 0 without */
    uint32_t count;
    uint32_t place; /* in units, 0 without */
    uint32_t class; /* of room */
    float density;  /* rungs a unit of price, by the last search: where to look first */
    uint32_t state; /* of a bid's: what the whole book is, NUMI_BOOK_CROSSED or _LOCKED */
};

struct numi_ladders {
    struct numi_region memory;
    uint64_t used;     /* units */
    uint32_t free[26]; /* the first free place of each class; a place holds the next */
};

static inline uint64_t numi_ladder_units(uint32_t class) {
    return 4ull << class;
}

static inline uint32_t numi_ladder_room(uint32_t class) {
    return (uint32_t)(numi_ladder_units(class) * 4) - NUMI_LADDER_STRIDE;
}

static inline struct numi_rung *numi_ladder_rungs(const struct numi_ladders *ladders,
                                                  const struct numi_ladder *ladder) {
    return (struct numi_rung *)(ladders->memory.base +
                                (uint64_t)(ladder->place + 1) * NUMI_LADDER_UNIT);
}

static inline int64_t numi_key_of(uint8_t side, int64_t price) {
    return side == NUMI_SIDE_BID ? price : ~price;
}

static inline int64_t numi_price_of(uint8_t side, int64_t key) {
    return numi_key_of(side, key);
}

/* The number of keys below `key`, in a ladder of more than a few. */
uint32_t numi_ladder_search_far(const struct numi_rung *rungs, uint32_t count, int64_t key);

/* The number of keys below `key`: where it stands, or would. Four at a time from the best end,
 * where it mostly is. */
static inline uint32_t numi_ladder_search(const struct numi_rung *rungs, uint32_t count,
                                          int64_t key) {
    enum { STRIDES_MAX = 6 };
    int64_t at = count;
    for (uint32_t stride = 0; stride < STRIDES_MAX; stride++) {
        uint32_t not_below = 0;
        for (int64_t i = 1; i <= NUMI_LADDER_STRIDE; i++)
            not_below += rungs[at - i].key >= key;
        at -= not_below;
        if (not_below < NUMI_LADDER_STRIDE)
            return (uint32_t)at;
    }
    return numi_ladder_search_far(rungs, (uint32_t)at, key);
}

/* Where a key's rung most likely is; always within the ladder, or its least keys. */
static inline const struct numi_rung *numi_ladder_guess(const struct numi_ladders *ladders,
                                                        const struct numi_ladder *ladder,
                                                        int64_t key) {
    uint64_t distance = (uint64_t)ladder->best_key - (uint64_t)key;
    float behind = (float)(int64_t)distance * ladder->density + 0.5f;
    bool is_within = behind >= 0 && behind < (float)ladder->count;
    return numi_ladder_rungs(ladders, ladder) + ladder->count - 1 -
           (is_within ? (int64_t)behind : 0);
}

/* Number of the level of a key, 0 without, where a guess does not find it. */
uint32_t numi_ladder_find_far(const struct numi_ladders *ladders, struct numi_ladder *ladder,
                              int64_t key);

/* Number of the level of a key, 0 without. */
static inline uint32_t numi_ladder_find(const struct numi_ladders *ladders,
                                        struct numi_ladder *ladder, int64_t key) {
    const struct numi_rung *rung = numi_ladder_guess(ladders, ladder, key);
    if (NUMI_LIKELY(rung->key == key && ladder->count != 0))
        return rung->level;
    return numi_ladder_find_far(ladders, ladder, key);
}

/* Whether an insert finds room in the memory that is there. */
bool numi_ladder_can_widen(const struct numi_ladders *ladders, const struct numi_ladder *ladder);

static inline bool numi_ladder_has_room(const struct numi_ladders *ladders,
                                        const struct numi_ladder *ladder) {
    bool is_full = ladder->place == 0 || ladder->count == numi_ladder_room(ladder->class);
    return NUMI_LIKELY(!is_full) || numi_ladder_can_widen(ladders, ladder);
}

/* A key that the ladder has not; it has room. True where it is the best now. */
bool numi_ladder_insert(struct numi_ladders *ladders, struct numi_ladder *ladder, int64_t key,
                        uint32_t level);

/* A key that it has. True where it was the best. */
bool numi_ladder_remove(const struct numi_ladders *ladders, struct numi_ladder *ladder,
                        int64_t key);

/* Addresses for the ladders of at most `level_max` levels. */
int numi_ladders_open(struct numi_ladders *ladders, uint64_t level_max);

/* Room for so many levels more, in at most so many ladders that have none yet. */
int numi_ladders_grow(struct numi_ladders *ladders, uint64_t level_count, uint64_t ladder_count);

/* Memory for this one to widen, however long it is. */
int numi_ladders_grow_for(struct numi_ladders *ladders, const struct numi_ladder *ladder);
void numi_ladders_clear(struct numi_ladders *ladders);

#endif
