/* From an order's id to its number.
 *
 *      base                          base + 2^bits
 *       |<------- the window -------->|
 *   ----+-----------------------------+------------> ids
 *    old ids                           odd ids: far ahead
 *    in the table                      in the table
 *
 * Ids come nearly dense and rise: an add writes the slot beside the last one, and a delete mostly
 * meets a recent id, whose slot is still cached. As ids rise the window moves on, 64 ids at a time,
 * and the orders that rest longer than it is wide change to the table (feed/table.h). The window is
 * as wide as eight ids for each order that rests, so that memory follows what rests and not the
 * day's count of ids. Ids that leap ahead of the window or
 * lie before it are in the table from the start; when a thousand in a row rise from elsewhere, the
 * window moves there (numi_order_index_grow, off the hot path).
 *
 * The caller holds the orders: to tell two ids of one hash apart the index reads theirs. */
#ifndef NUMI_FEED_ORDER_INDEX_H
#define NUMI_FEED_ORDER_INDEX_H

#include "feed/order.h"
#include "feed/table.h"

enum numi_order_index_limit {
    NUMI_WINDOW_BITS_MIN = 16, /* of a window that is not told to be smaller */
    NUMI_WINDOW_IDS = 8,       /* a resting order */
    NUMI_WINDOW_BLOCK = 64,    /* ids that leave the window at once */
    NUMI_WINDOW_LEAP = 4096,   /* a greater step ahead of the window is odd */
    NUMI_WINDOW_STREAK = 1024, /* so many odd ids in a row, rising together, move it */
};

struct numi_order_index {
    uint32_t *window; /* numbers by id and mask; 0: none */
    uint64_t window_mask;
    uint64_t window_max; /* ids; what the window may grow to */
    uint64_t base;       /* a multiple of the block */
    struct numi_table table;
    uint64_t odd_count; /* orders in the table whose id may lie in the window */
    uint64_t last_odd;
    uint64_t streak;
    struct numi_region memory; /* of the window */
    struct numi_order *orders;
};

int numi_order_index_open(struct numi_order_index *index, uint32_t window_bits, uint64_t seed,
                          struct numi_order *orders);
void numi_order_index_close(struct numi_order_index *index);

/* The same content in memory of its own, over other orders. */
int numi_order_index_copy(struct numi_order_index *to, const struct numi_order_index *from,
                          struct numi_order *orders);

/* Room for `more` orders beside the `live` ones, and what else waits for a quiet moment: a new
 * seed, another place for the window. */
int numi_order_index_grow(struct numi_order_index *index, uint64_t live, uint64_t more);
void numi_order_index_clear(struct numi_order_index *index);

/* Bytes of memory. */
uint64_t numi_order_index_memory(const struct numi_order_index *index);

static inline bool numi_in_window(const struct numi_order_index *index, uint64_t id) {
    return id - index->base <= index->window_mask;
}

static inline uint32_t numi_order_index_find_in_table(const struct numi_order_index *index,
                                                      uint64_t id) {
    uint32_t number, hash = numi_table_hash(&index->table, id);
    uint64_t at = numi_table_place(&index->table, hash);
    do
        number = numi_table_next(&index->table, hash, &at);
    while (number != 0 && index->orders[number].id != id);
    return number;
}

/* The number of an id, 0 without. */
static inline uint32_t numi_order_index_find(const struct numi_order_index *index, uint64_t id) {
    if (NUMI_LIKELY(numi_in_window(index, id))) {
        uint32_t number = index->window[id & index->window_mask];
        if (NUMI_LIKELY(number != 0 || index->odd_count == 0))
            return number;
    }
    return numi_order_index_find_in_table(index, id);
}

static inline void numi_order_index_remove(struct numi_order_index *index, uint64_t id,
                                           uint32_t number) {
    uint32_t *slot = &index->window[id & index->window_mask];
    if (NUMI_LIKELY(numi_in_window(index, id) && *slot == number)) {
        *slot = 0;
        return;
    }
    numi_table_remove(&index->table, numi_table_hash(&index->table, id), number);
    index->odd_count -= index->orders[number].is_odd;
}

/* For an id that is not in the window. */
void numi_order_index_insert_odd(struct numi_order_index *index, uint64_t id, uint32_t number);

/* The id is none that the index has, and it has room. */
static inline void numi_order_index_insert(struct numi_order_index *index, uint64_t id,
                                           uint32_t number) {
    if (NUMI_LIKELY(numi_in_window(index, id))) {
        index->window[id & index->window_mask] = number;
        index->streak = 0;
        return;
    }
    numi_order_index_insert_odd(index, id, number);
}

/* Whether the next insert finds room, whatever its id: a move of the window included. */
static inline bool numi_order_index_has_room(const struct numi_order_index *index) {
    return numi_table_has_room(&index->table, NUMI_WINDOW_LEAP + NUMI_WINDOW_BLOCK);
}

/* Where the number of an id stands, or most likely does; without a branch, since no predictor knows
 * how old the next order is. An entry's lower half comes first. */
static inline const uint32_t *numi_order_index_slot(const struct numi_order_index *index,
                                                    uint64_t id) {
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "entries are read by halves");
    uint64_t place = numi_table_place(&index->table, numi_table_hash(&index->table, id));
    const uint32_t *in_table = (const uint32_t *)&index->table.entries[place];
    const uint32_t *in_window = &index->window[id & index->window_mask];
    return numi_in_window(index, id) ? in_window : in_table;
}

#endif
