/* What the files of the books share: book.c applies events, book_memory.c opens, grows and copies,
 * book_read.c answers questions. */
#ifndef NUMI_FEED_BOOK_PRIVATE_H
#define NUMI_FEED_BOOK_PRIVATE_H

#include "base/region.h"
#include "feed/book.h"
#include "feed/ladder.h"
#include "feed/level.h"
#include "feed/resting.h"
#include "feed/slab.h"

/* Bits, since looking ahead sorts by them without a branch. */
enum numi_book_action {
    NUMI_BOOK_IGNORE = 0,
    NUMI_BOOK_ADD = 1,
    NUMI_BOOK_TAKE = 2, /* names an order */
    NUMI_BOOK_DELETE = 2 | 4,
    NUMI_BOOK_REPLACE = 2 | 8,
    NUMI_BOOK_GAP = 16,
};

struct numi_book {
    struct numi_ladder sides[2]; /* by enum numi_side */
} NUMI_ALIGNED(64);

struct numi_books {
    struct numi_resting orders;
    struct numi_level *levels; /* by number; number 0 stays empty */
    struct numi_slab level_slab;
    struct numi_book *books;
    uint64_t book_room;
    struct numi_ladders ladders;
    uint64_t reject_count;
    const struct numi_ladder *stopped_at; /* the ladder that the last apply could not widen */
    uint64_t stopped_for;                 /* the instrument that it had no book for, plus one */
    bool lacks_order;                     /* it had no room for an order */
    uint64_t cache_size;
    bool looked_ahead;
    uint8_t actions[256]; /* enum numi_book_action, by kind */
    struct numi_books_counts counts;
    struct numi_books_options options;
    struct numi_region level_memory, book_memory;
    struct numi_book_reject rejects[NUMI_BOOK_REJECT_MAX];
};

/* By instrument * 2 + side; there is room for the instrument. */
static inline struct numi_ladder *numi_ladder_of(const struct numi_books *books,
                                                 uint32_t book_side) {
    return &books->books[book_side >> 1].sides[book_side & 1];
}

/* The best prices of a book into a row, and its flags. */
void numi_book_fill_best(const struct numi_books *books, struct numi_book *book,
                         struct numi_book_best *best);

#endif
