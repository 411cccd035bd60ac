/* The generator's own little book: it says which order may be executed and which price is free, and
 * when each order ends.
 *
 *   symbol -> ladder of levels, one a tick, bids below asks        level -> queue of orders
 *   calendar: eight wheels of 256 slots; an order hangs where the highest byte in which its end
 *   differs from the calendar's time says, so that finding the next end costs no comparison
 *
 * An order is one cache line, linked into its level's queue and into the calendar. At one price
 * rest bids or asks, never both, so one ladder does for the two sides. All memory is one region,
 * sized at open. */
#ifndef NUMI_MAKE_ORDERS_H
#define NUMI_MAKE_ORDERS_H

#include "base/memory.h"
#include "wire/event.h"

#ifndef NUMI_CDEF

#define NUMI_ORDERS_NONE UINT32_MAX

enum numi_orders_limit {
    NUMI_ORDERS_WHEEL_COUNT = 8,
    NUMI_ORDERS_SLOT_COUNT = 256,
    NUMI_ORDERS_LEVEL_MAX = 1024,
};

struct numi_orders_order {
    uint64_t id;
    uint64_t end; /* on the calendar's time */
    uint32_t next, previous;
    uint32_t later, earlier; /* in the same slot of the calendar */
    uint32_t symbol;
    uint32_t quantity; /* 0: this place is free */
    uint16_t level;
    uint16_t slot; /* wheel * 256 + slot */
    uint8_t side;  /* enum numi_side */
    uint8_t deep;  /* one of the long-lived orders that fill the book at the start */
    uint8_t unused[18];
};

struct numi_orders_level {
    uint32_t head, tail;
};

struct numi_orders_symbol {
    uint64_t used[NUMI_ORDERS_LEVEL_MAX / 64]; /* a bit a level: somebody rests there */
    int32_t bid, ask;                          /* best levels; -1 and level_count for none */
    int32_t middle;                            /* where the touch wants to be */
    int32_t home;                              /* where it was in the morning */
    int32_t half_spread;
    uint32_t low_tick; /* the price of level 0, in ticks */
    uint32_t halted;
    uint32_t ranked; /* the symbol that stands at this place in popularity */
    char name[8];
};

/* A place of Walker's alias table: a symbol drawn evenly stands for itself up to the threshold, and
 * for another one beyond. Apart from the symbols, so that it stays in cache. */
struct numi_orders_share {
    uint32_t threshold, other;
};

struct numi_orders {
    struct numi_orders_order *orders;
    struct numi_orders_level *levels;
    struct numi_orders_symbol *symbols;
    struct numi_orders_share *shares; /* by symbol */
    uint32_t order_max, order_top;    /* places, and how many were ever used */
    uint32_t symbol_count;
    uint32_t level_count, level_shift;
    uint32_t free_head;
    uint32_t live, deep_live;
    uint64_t now; /* the calendar's time: no order ends before */
    uint64_t slots_used[NUMI_ORDERS_WHEEL_COUNT][NUMI_ORDERS_SLOT_COUNT / 64];
    uint32_t slots[NUMI_ORDERS_WHEEL_COUNT * NUMI_ORDERS_SLOT_COUNT];
    struct numi_memory memory;
};

static_assert(sizeof(struct numi_orders_order) == 64, "one cache line");

/* Empty ladders for `symbol_count` symbols and places for `order_max` orders. NUMI_ERR_NO_MEMORY.
 */
int numi_orders_open(struct numi_orders *orders, uint32_t symbol_count, uint32_t order_max);
void numi_orders_close(struct numi_orders *orders);

/* Where the caller puts id, symbol, side, level, quantity and deep of a new order; NONE if every
 * place is taken. */
uint32_t numi_orders_take(struct numi_orders *orders);

/* Hangs a filled-in order at the end of its queue, to end `life` (at least 1) from now. The level
 * must not be beyond the other side's best. */
void numi_orders_insert(struct numi_orders *orders, uint32_t index, uint64_t life);

/* Takes an order out and frees its place. */
void numi_orders_remove(struct numi_orders *orders, uint32_t index);

/* The order that ends next; NONE in an empty book. Moves the calendar's time. */
uint32_t numi_orders_due(struct numi_orders *orders);

/* The front of the best level of a side; NONE if nobody is there. */
uint32_t numi_orders_front(const struct numi_orders *orders, uint32_t symbol, uint8_t side);

#endif
#endif
