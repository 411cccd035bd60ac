/* Books: every order of every instrument, in price-time priority, kept up to date by events.
 *
 *   event -> order -> level -> ladder -> best
 *
 *   order    16 bytes: quantity, level, half of the id. Recent ones stand in a window, in the place
 *            of their id, since ids come nearly dense; older and odd ones are found by hash tables
 *   level    one cache line: price, total, and its queue: up to eight order numbers in the line
 *            itself, more as a linked list
 *   ladder   one cache line, of one side: 256 bits for the ticks at the touch, the best price; its
 *            block has the number of each tick's level, and a sorted array what lies farther off
 *
 * So a message that names an order touches that and its level, an add a ladder, a number and a
 * level: three cache lines at most, a few more where a level opens or closes, or a queue is long.
 * All is numbers into regions (base/region.h): nothing ever moves, and memory is taken only by
 * numi_books_reserve.
 *
 * What an event does, its kind says: A F add; E C X take from an order; D delete; U replace; P take
 * from an order where consume_trades is set; everything else leaves the books as they are.
 *
 *   - The price is the wire's integer. Higher is better for bids, lower for asks.
 *   - An add introduces its instrument. E C X D U name an order by its id, which is unique over all
 *     instruments.
 *   - A replace goes to the back of the queue at its new price, the same price included. Its new id
 *     may be the old one.
 *   - An order that is taken from keeps its place; one of which nothing is left is gone.
 *   - A message that cannot be applied is counted by reason, kept among the last 64 rejects, and
 *     changes nothing: enum numi_book_reason.
 *   - A book whose bid is above its ask (crossed) or equal to it (locked) is kept as it is; each
 *     time a book becomes so is counted.
 *
 * The worst message is one after which a ladder is laid out anew, in a book with many levels off
 * the ticks: it reads the 64 best and moves 256 at most, and an add far from the touch moves those
 * behind it in the sorted array by one, 16 bytes a level (10 us for 10,000 levels that are far).
 * The worst by chance is the add that moves the window on: up to 4,160 old orders of it change
 * their number (200 us at most, and typically none to three). Everything else is bounded by a few
 * cache lines.
 *
 * Passive: applying reads no clock, makes no system call, allocates nothing. One thread at a time.
 */
#ifndef NUMI_FEED_BOOK_H
#define NUMI_FEED_BOOK_H

#include "wire/event.h"

/* Why a message was not applied. Checked in this order, the first that holds is counted. */
#define NUMI_BOOK_REASON_LIST(X)                                                                   \
    X(OK, ok)                                                                                      \
    X(UNKNOWN_INSTRUMENT, unknown_instrument) /* past NUMI_BOOK_INSTRUMENT_MAX */                  \
    X(BAD_SIDE, bad_side)                     /* an add that is neither bid nor ask */             \
    X(ZERO_QUANTITY, zero_quantity)           /* an add or a replace of nothing */                 \
    X(BAD_PRICE, bad_price)                   /* the least or the greatest integer: no price */    \
    X(UNKNOWN_ORDER, unknown_order)           /* no such order rests */                            \
    X(WRONG_INSTRUMENT, wrong_instrument)     /* the order rests in another instrument's book */   \
    X(EXCESS_QUANTITY, excess_quantity)       /* more than rests */                                \
    X(DUPLICATE_ORDER, duplicate_order)       /* an order of this id rests already */              \
    X(OVERFLOW, overflow)                     /* a level's total would not fit 64 bits */

#define NUMI_BOOK_REASON_ENUM(name, text) NUMI_BOOK_##name,

enum numi_book_reason { NUMI_BOOK_REASON_LIST(NUMI_BOOK_REASON_ENUM) NUMI_BOOK_REASON_COUNT };

enum numi_book_limit {
    NUMI_BOOK_INSTRUMENT_MAX = 1 << 24,
    NUMI_BOOK_ORDER_MAX = 1 << 30,
    NUMI_BOOK_ORDER_USUAL = 1 << 26,
    NUMI_BOOK_REJECT_MAX = 64,
};

enum numi_book_flag {
    NUMI_BOOK_CROSSED = 1, /* bid above ask */
    NUMI_BOOK_LOCKED = 2,  /* bid equal to ask */
    NUMI_BOOK_HAS_BID = 4,
    NUMI_BOOK_HAS_ASK = 8,
};

enum numi_book_ahead {
    NUMI_BOOK_AHEAD_AUTO,  /* look ahead where the books are larger than the cache */
    NUMI_BOOK_AHEAD_NEVER, /* the same results in all three */
    NUMI_BOOK_AHEAD_ALWAYS,
};

struct numi_books_options {
    uint64_t seed;       /* of the hash: against ids made to collide; results do not depend on it */
    uint64_t cache_size; /* bytes beyond which AUTO looks ahead; 0: what this machine has (L2) */
    uint32_t order_max;  /* that may rest at once: addresses are reserved for so many */
    uint32_t window_bits;    /* the window grows to 2^window_bits ids; 7 to 30 */
    uint32_t ahead;          /* enum numi_book_ahead */
    uint32_t consume_trades; /* 1: a P takes from the order it names, as an E does */
};

struct numi_books_counts {
    uint64_t messages;    /* events seen */
    uint64_t applied;     /* that changed a book */
    uint64_t ignored;     /* of kinds that change none */
    uint64_t gaps;        /* events of kind 0 */
    uint64_t rejects[10]; /* by enum numi_book_reason; [0] stays 0 */
    uint64_t crossed;     /* times that a book became crossed */
    uint64_t locked;      /* likewise */
    uint64_t live_orders;
    uint64_t live_levels;
};

/* One of the last messages that were not applied. */
struct numi_book_reject {
    uint64_t sequence;
    uint64_t order;
    uint32_t instrument;
    uint8_t kind;
    uint8_t reason;
    uint16_t reserved;
};

struct numi_book_level {
    int64_t price;
    uint64_t quantity;
    uint64_t order_count;
};

struct numi_book_order {
    uint64_t order; /* its id */
    uint64_t quantity;
    int64_t price;
    uint64_t position; /* in its queue: 0 is served first */
    uint32_t instrument;
    uint8_t side; /* enum numi_side */
    uint8_t reserved[3];
};

/* The best prices of an instrument, after an event. */
struct numi_book_best {
    uint64_t sequence;
    uint64_t exchange_ns;
    int64_t rx_ns;
    int64_t bid; /* 0 without NUMI_BOOK_HAS_BID, and so on */
    int64_t ask;
    uint64_t bid_quantity;
    uint64_t ask_quantity;
    uint32_t instrument;
    uint32_t flags; /* enum numi_book_flag */
};

/* Where changes of best prices go. */
struct numi_book_changes {
    struct numi_book_best *rows;
    uint32_t row_max;
    uint32_t row_count; /* filled so far */
    uint32_t sizes;     /* 1: a change of a best price's quantity is one, too */
    uint32_t reserved;
};

struct numi_books;

/* 2^26 orders, a window of up to 2^22 ids, look-ahead by itself, no trades. */
NUMI_API void numi_books_defaults(struct numi_books_options *options);

/* `options` NULL: the defaults. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_books_open(struct numi_books **out, const struct numi_books_options *options);
NUMI_API void numi_books_close(struct numi_books *books);

/* Memory for instruments 0 to `instrument_count` - 1 and for `order_count` orders more than rest
 * now, their levels and their ladders included: so many adds are then applied without stopping,
 * unless single ladders grow very long. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY: the books stay as
 * they are. */
NUMI_API int numi_books_reserve(struct numi_books *books, uint64_t instrument_count,
                                uint64_t order_count);

/* Applies events in turn. Returns how many: all, or fewer where the next one needs more memory
 * (numi_books_reserve, and go on from there) or `changes` is full. `changes` may be NULL. */
NUMI_API int64_t numi_books_apply(struct numi_books *books, const struct numi_event *events,
                                  uint64_t count, struct numi_book_changes *changes);

/* Applies and reserves in turn until all are applied or `changes` is full: off the hot path. Fails
 * as numi_books_reserve does; what was applied until then, the counts say. */
NUMI_API int64_t numi_books_step(struct numi_books *books, const struct numi_event *events,
                                 uint64_t count, struct numi_book_changes *changes);

/* Removes every order; what was counted stays. */
NUMI_API void numi_books_clear(struct numi_books *books);

/* The same books in memory of their own. NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_books_copy(struct numi_books **out, const struct numi_books *books);

/* Valid until the books are closed; their content until the next call. */
NUMI_API const struct numi_books_counts *numi_books_counts(const struct numi_books *books);

/* The last rejects, oldest first; at most `reject_max`. Returns how many. */
NUMI_API int numi_books_rejects(const struct numi_books *books, struct numi_book_reject *rejects,
                                uint32_t reject_max);

/* Instruments that there is room for. */
NUMI_API uint64_t numi_books_instruments(const struct numi_books *books);

/* An instrument without a book has no prices and no levels. */
NUMI_API void numi_books_best(const struct numi_books *books, uint32_t instrument,
                              struct numi_book_best *best);

/* The best `level_max` levels of a side, the best first. Returns how many. */
NUMI_API uint32_t numi_books_top(const struct numi_books *books, uint32_t instrument, uint8_t side,
                                 struct numi_book_level *levels, uint32_t level_max);

/* How many levels a side has. */
NUMI_API uint32_t numi_books_depth(const struct numi_books *books, uint32_t instrument,
                                   uint8_t side);

/* 1 and the level at a price; 0 where there is none. */
NUMI_API int numi_books_level(const struct numi_books *books, uint32_t instrument, uint8_t side,
                              int64_t price, struct numi_book_level *level);

/* The queue at a price, the first to be served first, at most `order_max`. Returns how many rest
 * there, whatever the room. */
NUMI_API uint64_t numi_books_queue(const struct numi_books *books, uint32_t instrument,
                                   uint8_t side, int64_t price, struct numi_book_order *orders,
                                   uint64_t order_max);

/* 1 and the order of an id, its place in its queue counted out; 0 where none rests. */
NUMI_API int numi_books_order(const struct numi_books *books, uint64_t order,
                              struct numi_book_order *out);

/* The state hash: XXH3-128 with seed 0 over 33-byte little-endian records (wire id u64, side u8,
 * price i64, order u64, quantity u64): instruments by ascending wire id, all bids best to worst,
 * then all asks, orders by time priority. `wire_ids` has one for each of `instrument_count`
 * instruments (a decoder's locates); `digest` gets 16 bytes, big-endian, as XXH128_canonical.
 * NUMI_ERR_ARGUMENT where an instrument with orders has no wire id, NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_books_hash(const struct numi_books *books, const uint64_t *wire_ids,
                             uint64_t instrument_count, uint8_t *digest);

/* Walks everything and holds it against itself: queues, totals, ladders, best prices, index.
 * NUMI_ERR_CORRUPT and what is wrong. For tests: it takes as long as there are orders. */
NUMI_API int numi_books_check(const struct numi_books *books);

/* Bytes of memory taken, and whether the last apply looked ahead. */
NUMI_API uint64_t numi_books_memory(const struct numi_books *books);
NUMI_API int numi_books_looks_ahead(const struct numi_books *books);

NUMI_API const char *numi_book_reason_name(uint32_t reason);

#endif
