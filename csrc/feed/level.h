/* A level: one price of one side of one book, and its queue, in one cache line.
 *
 *   short   [ total | key | book side | orders | state | 1st 2nd 3rd ... 8th ]
 *   long    [ total | key | book side | orders | state | front | back ]
 *
 * The queue of a level with few orders is their numbers, in the line: whoever leaves touches no
 * neighbour. A longer one is linked through the orders. Number 0 is none. */
#ifndef NUMI_FEED_LEVEL_H
#define NUMI_FEED_LEVEL_H

#include "base/check.h"
#include "feed/order.h"

enum numi_level_limit {
    NUMI_LEVEL_SHORT = 8, /* orders that a level's own line holds */
    NUMI_LEVEL_AGAIN = 4, /* so few, and a long queue is a short one again */
};

struct numi_level {
    uint64_t quantity; /* of all its orders */
    int64_t key;
    uint32_t book_side; /* instrument * 2 + side */
    uint32_t count;     /* of its orders; 0: this number is free */
    uint32_t is_long;
    uint32_t next_free; /* of a free number */
    union {
        uint32_t queue[8]; /* short: from the front, zeros behind */
        struct {
            uint32_t front; /* long */
            uint32_t back;
        };
    };
} NUMI_ALIGNED(64);

static_assert(sizeof(struct numi_level) == 64, "one cache line");

static inline uint8_t numi_level_side(const struct numi_level *level) {
    return level->book_side & 1;
}

static inline uint32_t numi_level_instrument(const struct numi_level *level) {
    return level->book_side >> 1;
}

void numi_level_lengthen(struct numi_level *level, struct numi_order *orders);
void numi_level_shorten(struct numi_level *level, const struct numi_order *orders);

static inline void numi_level_push(struct numi_level *level, struct numi_order *orders,
                                   uint32_t number) {
    if (NUMI_UNLIKELY(level->count == NUMI_LEVEL_SHORT && !level->is_long))
        numi_level_lengthen(level, orders);
    if (!level->is_long) {
        level->queue[level->count++] = number;
        return;
    }
    orders[number].previous = level->back;
    orders[number].next = 0;
    orders[level->back].next = number;
    level->back = number;
    level->count++;
}

/* All behind it move up; without a branch, since where it stands is anybody's guess. */
static inline void numi_level_leave_short(struct numi_level *level, uint32_t number) {
    uint32_t behind = 0;
    for (int i = 0; i < NUMI_LEVEL_SHORT - 1; i++) {
        behind |= level->queue[i] == number;
        level->queue[i] = behind ? level->queue[i + 1] : level->queue[i];
    }
    level->queue[NUMI_LEVEL_SHORT - 1] = 0;
}

static inline void numi_level_leave(struct numi_level *level, struct numi_order *orders,
                                    uint32_t number) {
    level->count--;
    if (!level->is_long) {
        numi_level_leave_short(level, number);
        return;
    }
    uint32_t previous = orders[number].previous, next = orders[number].next;
    if (!NUMI_PLANTED(LOST_LINK) || next == 0)
        *(previous != 0 ? &orders[previous].next : &level->front) = next;
    *(next != 0 ? &orders[next].previous : &level->back) = previous;
    if (NUMI_UNLIKELY(level->count == NUMI_LEVEL_AGAIN))
        numi_level_shorten(level, orders);
}

/* The order behind one in its queue; the front for none. 0 at the end. */
static inline uint32_t numi_level_next(const struct numi_level *level,
                                       const struct numi_order *orders, uint64_t place,
                                       uint32_t number) {
    if (level->is_long)
        return number == 0 ? level->front : orders[number].next;
    return place < NUMI_LEVEL_SHORT ? level->queue[place] : 0;
}

#endif
