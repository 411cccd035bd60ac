/* What the files of the books share: book.c applies events, book_memory.c opens, grows and copies,
 * book_read.c answers questions. */
#ifndef NUMI_FEED_BOOK_PRIVATE_H
#define NUMI_FEED_BOOK_PRIVATE_H

#include "base/region.h"
#include "feed/book.h"
#include "feed/ladder.h"
#include "feed/level.h"
#include "feed/order.h"
#include "feed/order_index.h"

enum numi_book_action {
    NUMI_BOOK_IGNORE,
    NUMI_BOOK_ADD,
    NUMI_BOOK_TAKE,
    NUMI_BOOK_DELETE,
    NUMI_BOOK_REPLACE,
    NUMI_BOOK_GAP,
};

struct numi_book {
    struct numi_ladder sides[2]; /* by enum numi_side */
} NUMI_ALIGNED(64);

static_assert(sizeof(struct numi_book) == 64, "one cache line");

/* Numbers of records of one kind, from 1 on: those below `used` have been lent, some are free
 * again. The last one given back is lent first: it is cached still. */
struct numi_slab {
    uint32_t free; /* the first free one, 0 without */
    uint32_t used;
    uint32_t room;
};

struct numi_books {
    struct numi_order *orders; /* by number */
    struct numi_level *levels; /* likewise */
    struct numi_slab order_slab, level_slab;
    struct numi_book *books;
    uint64_t book_room;
    struct numi_ladders ladders;
    struct numi_order_index index;
    uint64_t quantity_bound; /* no level's total is greater; stays at the greatest integer */
    uint64_t reject_count;
    const struct numi_ladder *stopped_at; /* the ladder that the last apply could not widen */
    uint64_t stopped_for;                 /* the instrument that it had no book for, plus one */
    bool lacks_order;                     /* it had no number for an order */
    uint64_t cache_size;
    bool looked_ahead;
    uint8_t actions[256]; /* enum numi_book_action, by kind */
    struct numi_books_counts counts;
    struct numi_books_options options;
    struct numi_region order_memory, level_memory, book_memory;
    struct numi_book_reject rejects[NUMI_BOOK_REJECT_MAX];
};

/* By instrument * 2 + side; there is room for the instrument. */
static inline struct numi_ladder *numi_ladder_of(const struct numi_books *books,
                                                 uint32_t book_side) {
    return &books->books[book_side >> 1].sides[book_side & 1];
}

/* The best prices of a book into a row, and its flags. */
void numi_book_fill_best(const struct numi_books *books, const struct numi_book *book,
                         struct numi_book_best *best);

#endif
