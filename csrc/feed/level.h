/* A level: one price of one side of one book, and its queue, in one cache line.
 *
 *   short   [ total | key | book side | orders | state | 1st 2nd 3rd ... 8th ]
 *   long    [ total | key | book side | orders | state | front | back ]
 *
 * The queue of a level with few orders is their numbers, in the line: whoever leaves touches no
 * neighbour. A longer one is linked. Number 0 is none. */
#ifndef NUMI_FEED_LEVEL_H
#define NUMI_FEED_LEVEL_H

#include <string.h>

#include "base/check.h"
#include "feed/order.h"
#include "wire/event.h"

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

static_assert(NUMI_SIDE_BID == 0 && NUMI_SIDE_ASK == 1, "bits");
static_assert(sizeof(struct numi_level) == 64, "one cache line");

/* A bid's key is its price, an ask's the price's complement: higher is better for both. */
static inline int64_t numi_key_of(uint8_t side, int64_t price) {
    return price ^ -(int64_t)side; /* not `?:`, of which gcc makes a branch */
}

static inline int64_t numi_price_of(uint8_t side, int64_t key) {
    return numi_key_of(side, key);
}

static inline uint8_t numi_level_side(const struct numi_level *level) {
    return level->book_side & 1;
}

static inline uint32_t numi_level_instrument(const struct numi_level *level) {
    return level->book_side >> 1;
}

void numi_level_lengthen(struct numi_level *level, struct numi_order_link *links);
void numi_level_shorten(struct numi_level *level, const struct numi_order_link *links);

/* An order of its queue has another number. */
void numi_level_rename(struct numi_level *level, struct numi_order_link *links, uint32_t from,
                       uint32_t to);

static inline void numi_level_push(struct numi_level *level, struct numi_order_link *links,
                                   uint32_t number) {
    if (!level->is_long && NUMI_LIKELY(level->count < NUMI_LEVEL_SHORT)) {
        level->queue[level->count++] = number;
        return;
    }
    if (NUMI_UNLIKELY(!level->is_long))
        numi_level_lengthen(level, links);
    links[number] = (struct numi_order_link){.previous = level->back};
    links[level->back].next = number;
    level->back = number;
    level->count++;
}

typedef uint32_t numi_quad __attribute__((vector_size(16)));

/* All ones from the first lane on that is so. */
static inline numi_quad numi_quad_onwards(numi_quad lanes) {
    const numi_quad none = {0};
    lanes |= __builtin_shufflevector(lanes, none, 4, 0, 1, 2);
    return lanes | __builtin_shufflevector(lanes, none, 4, 4, 0, 1);
}

/* All behind it move up; without a branch, since where it stands is anybody's guess. */
static inline void numi_level_leave_short(struct numi_level *level, uint32_t number) {
    static_assert(NUMI_LEVEL_SHORT == 8, "two of four");
    numi_quad front, behind, back, none = {0}, wanted = none + number;
    memcpy(&front, level->queue, sizeof front);
    memcpy(&behind, level->queue + 1, sizeof behind);
    memcpy(&back, level->queue + 4, sizeof back);
    numi_quad front_moves = numi_quad_onwards((numi_quad)(front == wanted));
    numi_quad back_moves = numi_quad_onwards((numi_quad)(back == wanted));
    back_moves |= __builtin_shufflevector(front_moves, none, 3, 3, 3, 3);
    front ^= (front ^ behind) & front_moves;
    back ^= (back ^ __builtin_shufflevector(back, none, 1, 2, 3, 4)) & back_moves;
    memcpy(level->queue, &front, sizeof front);
    memcpy(level->queue + 4, &back, sizeof back);
}

static inline void numi_level_leave(struct numi_level *level, struct numi_order_link *links,
                                    uint32_t number) {
    level->count--;
    if (!level->is_long) {
        numi_level_leave_short(level, number);
        return;
    }
    struct numi_order_link link = links[number];
    uint32_t *to_it = numi_select(link.previous != 0, &links[link.previous].next, &level->front);
    uint32_t *back_to_it = numi_select(link.next != 0, &links[link.next].previous, &level->back);
    if (!NUMI_PLANTED(LOST_LINK) || link.next == 0)
        *to_it = link.next;
    *back_to_it = link.previous;
    if (NUMI_UNLIKELY(level->count == NUMI_LEVEL_AGAIN))
        numi_level_shorten(level, links);
}

/* The order behind one in its queue; the front for none. 0 at the end. */
static inline uint32_t numi_level_next(const struct numi_level *level,
                                       const struct numi_order_link *links, uint64_t place,
                                       uint32_t number) {
    if (level->is_long)
        return number == 0 ? level->front : links[number].next;
    return place < NUMI_LEVEL_SHORT ? level->queue[place] : 0;
}

#endif
