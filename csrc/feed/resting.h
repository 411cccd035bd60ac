/* The resting orders, by id and by number.
 *
 *      base                          base + 2^bits
 *       |<------- the window -------->|
 *   ----+-----------------------------+------------> ids
 *    before: aged                      ahead: leapt
 *
 * Ids come nearly dense and rise, so the window holds an order for each of its ids: the id is the
 * order's place, an add writes the record beside the last one, and a delete, which mostly means a
 * recent order, finds it in one step. As ids rise the window moves on, 64 ids at a time. The orders
 * that rest longer than it is wide, and those whose ids lie elsewhere from the start, stand outside
 * of it and are found by hash tables (feed/table.h): one of the ids before the window, and one of
 * the ids that were ahead of it when they came, some of which it may have reached since. When a
 * thousand ids in a row rise from elsewhere, the window moves there (numi_resting_grow, off the hot
 * path).
 *
 * Numbers:   0 none | 64 ... the window ... | outside ...
 *
 * An order changes its number when it leaves the window, and when the window widens; its level then
 * is told. */
#ifndef NUMI_FEED_RESTING_H
#define NUMI_FEED_RESTING_H

#include "feed/level.h"
#include "feed/order.h"
#include "feed/slab.h"
#include "feed/table.h"

enum numi_resting_limit {
    NUMI_WINDOW_FIRST = 64,    /* the number of its first place */
    NUMI_WINDOW_BITS_MIN = 12, /* of a window that is not told to be smaller */
    NUMI_WINDOW_IDS = 16,      /* a resting order */
    NUMI_WINDOW_BLOCK = 64,    /* ids that leave the window at once */
    NUMI_WINDOW_LEAP = 4096,   /* a greater step ahead of the window is a leap */
    NUMI_WINDOW_STREAK = 1024, /* so many ids outside in a row, rising together, move it */
    NUMI_WINDOW_SENDS = NUMI_WINDOW_LEAP + NUMI_WINDOW_BLOCK, /* outside, by one insert at most */
};

enum numi_resting_table { NUMI_RESTING_BEFORE, NUMI_RESTING_AHEAD, NUMI_RESTING_TABLES };

struct numi_resting {
    struct numi_order *at;         /* by number */
    struct numi_order_link *links; /* likewise; of orders in long queues */
    struct numi_level *levels;
    uint64_t base; /* a multiple of the block */
    uint64_t window_mask;
    uint64_t young_base; /* behind the first block: that one is about to leave */
    uint64_t young_mask; /* ids behind it, less one */
    uint64_t leaving;    /* of the first block, a bit each: may rest, the others do not */
    uint64_t window_max;
    uint32_t first_outside; /* number */
    struct numi_slab outside;
    struct numi_table tables[NUMI_RESTING_TABLES]; /* from ids to numbers outside */
    uint32_t *id_highs;                            /* of numbers outside, from the first */
    uint64_t last_outside;                         /* id */
    uint64_t streak;
    struct numi_region window_memory, window_links, outside_memory, outside_links, id_memory;
};

/* Addresses for `order_max` orders and a window of at most 2^window_bits. */
int numi_resting_open(struct numi_resting *orders, uint32_t window_bits, uint64_t order_max,
                      uint64_t seed, struct numi_level *levels);
void numi_resting_close(struct numi_resting *orders);

/* The same orders in memory of their own, which was opened likewise, of other levels. */
int numi_resting_copy(struct numi_resting *to, const struct numi_resting *from);

/* Room for `more` orders beside the `live` ones, and what else waits for a quiet moment: a new
 * seed, a wider window, another place for it. */
int numi_resting_grow(struct numi_resting *orders, uint64_t live, uint64_t more);
void numi_resting_clear(struct numi_resting *orders);

/* Bytes of memory. */
uint64_t numi_resting_memory(const struct numi_resting *orders);

static inline bool numi_in_window(const struct numi_resting *orders, uint64_t id) {
    return id - orders->base <= orders->window_mask;
}

/* Likewise, or will be when it comes. */
static inline bool numi_nears_window(const struct numi_resting *orders, uint64_t id) {
    return id - orders->base <= orders->window_mask + NUMI_WINDOW_LEAP;
}

/* The number of an id in the window. */
static inline uint32_t numi_window_number(const struct numi_resting *orders, uint64_t id) {
    return NUMI_WINDOW_FIRST + (uint32_t)(id & orders->window_mask);
}

static inline bool numi_is_outside(const struct numi_resting *orders, uint32_t number) {
    return number >= orders->first_outside;
}

static inline uint64_t numi_order_id(const struct numi_resting *orders, uint32_t number) {
    if (numi_is_outside(orders, number))
        return (uint64_t)orders->id_highs[number - orders->first_outside] << 32 |
               orders->at[number].id_low;
    return orders->base + ((number - NUMI_WINDOW_FIRST - orders->base) & orders->window_mask);
}

/* The number of an id outside the window, 0 without. */
uint32_t numi_resting_find_outside(const struct numi_resting *orders, uint64_t id);

/* The number of an id, 0 without. */
static inline uint32_t numi_resting_find(const struct numi_resting *orders, uint64_t id) {
    if (NUMI_LIKELY(numi_in_window(orders, id))) {
        uint32_t number = numi_window_number(orders, id);
        if (NUMI_LIKELY(orders->at[number].quantity != 0))
            return number;
        if (orders->tables[NUMI_RESTING_AHEAD].count == 0)
            return 0;
    }
    return numi_resting_find_outside(orders, id);
}

void numi_resting_remove_outside(struct numi_resting *orders, uint64_t id, uint32_t number);

/* The order's level has let go of it. */
static inline void numi_resting_remove(struct numi_resting *orders, uint64_t id, uint32_t number) {
    orders->at[number].quantity = 0;
    if (NUMI_UNLIKELY(numi_is_outside(orders, number)))
        numi_resting_remove_outside(orders, id, number);
}

/* Where an insert has nothing to do but to write. */
static inline bool numi_is_young(const struct numi_resting *orders, uint64_t id) {
    return id - orders->young_base <= orders->young_mask;
}

/* Young, and not in a table either: none has leapt. */
static inline bool numi_resting_is_plain(const struct numi_resting *orders, uint64_t id) {
    return numi_is_young(orders, id) & (orders->tables[NUMI_RESTING_AHEAD].count == 0);
}

/* For an id that is not young; the window moves on where it is the next. */
uint32_t numi_resting_insert_old(struct numi_resting *orders, uint64_t id);

/* A number for an id that has none; there is room. Others may change theirs. */
static inline uint32_t numi_resting_insert(struct numi_resting *orders, uint64_t id) {
    if (NUMI_LIKELY(numi_is_young(orders, id)))
        return numi_window_number(orders, id);
    return numi_resting_insert_old(orders, id);
}

bool numi_resting_has_room_outside(const struct numi_resting *orders);

/* Whether an insert finds room. */
static inline bool numi_resting_has_room(const struct numi_resting *orders, uint64_t id) {
    return NUMI_LIKELY(numi_is_young(orders, id)) || numi_resting_has_room_outside(orders);
}

/* The table that has an id outside the window, mostly. */
static inline const struct numi_table *numi_resting_table(const struct numi_resting *orders,
                                                          uint64_t id) {
    return &orders->tables[id >= orders->base];
}

#endif
