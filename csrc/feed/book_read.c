#include <stdlib.h>

/* The hash is compiled in: no library at run time. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"
#include "feed/book_private.h"

const char *numi_book_reason_name(uint32_t reason) {
#define NUMI_BOOK_REASON_TEXT(name, text) #text,
    static const char *const names[NUMI_BOOK_REASON_COUNT] = {
        NUMI_BOOK_REASON_LIST(NUMI_BOOK_REASON_TEXT)};
#undef NUMI_BOOK_REASON_TEXT
    return reason < NUMI_BOOK_REASON_COUNT ? names[reason] : "unknown";
}

const struct numi_books_counts *numi_books_counts(const struct numi_books *books) {
    return &books->counts;
}

uint64_t numi_books_instruments(const struct numi_books *books) {
    return books->book_room;
}

int numi_books_rejects(const struct numi_books *books, struct numi_book_reject *rejects,
                       uint32_t reject_max) {
    uint64_t kept =
        books->reject_count < NUMI_BOOK_REJECT_MAX ? books->reject_count : NUMI_BOOK_REJECT_MAX;
    uint64_t count = kept < reject_max ? kept : reject_max;
    for (uint64_t i = 0; i < count; i++)
        rejects[i] = books->rejects[(books->reject_count - kept + i) % NUMI_BOOK_REJECT_MAX];
    return (int)count;
}

/* ---- Levels and queues. */

void numi_books_best(const struct numi_books *books, uint32_t instrument,
                     struct numi_book_best *best) {
    *best = (struct numi_book_best){.instrument = instrument};
    if (instrument < books->book_room)
        numi_book_fill_best(books, &books->books[instrument], best);
}

static const struct numi_ladder *ladder_of(const struct numi_books *books, uint32_t instrument,
                                           uint8_t side) {
    static const struct numi_ladder none;
    bool is_there = instrument < books->book_room && side <= NUMI_SIDE_ASK;
    return is_there ? &books->books[instrument].sides[side] : &none;
}

static struct numi_book_level row_of(const struct numi_level *level) {
    return (struct numi_book_level){
        .price = numi_price_of(numi_level_side(level), level->key),
        .quantity = level->quantity,
        .order_count = level->count,
    };
}

uint32_t numi_books_top(const struct numi_books *books, uint32_t instrument, uint8_t side,
                        struct numi_book_level *levels, uint32_t level_max) {
    const struct numi_ladder *ladder = ladder_of(books, instrument, side);
    struct numi_ladder_walk walk = numi_ladder_walk(&books->ladders, ladder);
    uint32_t count = 0, number;
    while (count < level_max && (number = numi_ladder_next(&walk).level) != 0)
        levels[count++] = row_of(&books->levels[number]);
    return count;
}

uint32_t numi_books_depth(const struct numi_books *books, uint32_t instrument, uint8_t side) {
    return numi_ladder_count(ladder_of(books, instrument, side));
}

/* NULL where no order rests. */
static const struct numi_level *level_at(const struct numi_books *books, uint32_t instrument,
                                         uint8_t side, int64_t price) {
    const struct numi_ladder *ladder = ladder_of(books, instrument, side);
    uint32_t number = numi_ladder_find(&books->ladders, ladder, numi_key_of(side, price));
    return number == 0 ? NULL : &books->levels[number];
}

int numi_books_level(const struct numi_books *books, uint32_t instrument, uint8_t side,
                     int64_t price, struct numi_book_level *out) {
    const struct numi_level *level = level_at(books, instrument, side, price);
    if (level == NULL)
        return 0;
    *out = row_of(level);
    return 1;
}

static struct numi_book_order order_row(const struct numi_resting *orders,
                                        const struct numi_level *level, uint32_t number,
                                        uint64_t position) {
    return (struct numi_book_order){
        .order = numi_order_id(orders, number),
        .quantity = orders->at[number].quantity,
        .price = numi_price_of(numi_level_side(level), level->key),
        .position = position,
        .instrument = numi_level_instrument(level),
        .side = numi_level_side(level),
    };
}

uint64_t numi_books_queue(const struct numi_books *books, uint32_t instrument, uint8_t side,
                          int64_t price, struct numi_book_order *orders, uint64_t order_max) {
    const struct numi_level *level = level_at(books, instrument, side, price);
    if (level == NULL)
        return 0;
    uint32_t number = 0;
    for (uint64_t i = 0; i < level->count && i < order_max; i++) {
        number = numi_level_next(level, books->orders.links, i, number);
        orders[i] = order_row(&books->orders, level, number, i);
    }
    return level->count;
}

int numi_books_order(const struct numi_books *books, uint64_t id, struct numi_book_order *out) {
    uint32_t number = numi_resting_find(&books->orders, id);
    if (number == 0)
        return 0;
    const struct numi_level *level = &books->levels[books->orders.at[number].level];
    uint64_t position = 0;
    uint32_t at = numi_level_next(level, books->orders.links, 0, 0);
    while (at != number)
        at = numi_level_next(level, books->orders.links, ++position, at);
    *out = order_row(&books->orders, level, number, position);
    return 1;
}

/* ---- The state hash. */

struct wired {
    uint64_t wire_id;
    uint64_t instrument;
};

enum { HASHED_AT_ONCE = 64 };

/* What other languages hash. */
struct __attribute__((packed)) hashed {
    uint64_t wire_id;
    uint8_t side;
    int64_t price;
    uint64_t order;
    uint64_t quantity;
};

static_assert(sizeof(struct hashed) == 33, "no padding");

struct hasher {
    XXH3_state_t state; /* asks for 64-byte alignment */
    const struct numi_books *books;
    uint32_t count; /* of the records that wait */
    struct hashed records[HASHED_AT_ONCE];
};

static void hash_records(struct hasher *hasher) {
    XXH3_128bits_update(&hasher->state, hasher->records, hasher->count * sizeof hasher->records[0]);
    hasher->count = 0;
}

static void hash_order(struct hasher *hasher, uint64_t wire_id, const struct numi_level *level,
                       uint32_t number) {
    const struct numi_resting *orders = &hasher->books->orders;
    uint8_t side = numi_level_side(level);
    hasher->records[hasher->count++] =
        (struct hashed){wire_id, side, numi_price_of(side, level->key),
                        numi_order_id(orders, number), orders->at[number].quantity};
    if (hasher->count == HASHED_AT_ONCE)
        hash_records(hasher);
}

static void hash_side(struct hasher *hasher, uint64_t wire_id, const struct numi_ladder *ladder) {
    const struct numi_books *books = hasher->books;
    struct numi_ladder_walk walk = numi_ladder_walk(&books->ladders, ladder);
    for (uint32_t found; (found = numi_ladder_next(&walk).level) != 0;) {
        const struct numi_level *level = &books->levels[found];
        uint32_t number = 0;
        for (uint64_t i = 0; i < level->count; i++) {
            number = numi_level_next(level, books->orders.links, i, number);
            hash_order(hasher, wire_id, level, number);
        }
    }
}

static int by_wire_id(const void *one, const void *other) {
    uint64_t a = ((const struct wired *)one)->wire_id, b = ((const struct wired *)other)->wire_id;
    return (a > b) - (a < b);
}

static bool is_empty(const struct numi_book *book) {
    return book->sides[0].best == 0 && book->sides[1].best == 0;
}

/* Instruments with orders, by wire id. */
static int64_t sort_instruments(const struct numi_books *books, const uint64_t *wire_ids,
                                uint64_t instrument_count, struct wired *wired) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < books->book_room; i++) {
        if (is_empty(&books->books[i]))
            continue;
        if (i >= instrument_count)
            return numi_error_set(NUMI_ERR_ARGUMENT,
                                  "instrument %llu has orders and no wire id: %llu are named",
                                  (unsigned long long)i, (unsigned long long)instrument_count);
        wired[count++] = (struct wired){wire_ids[i], i};
    }
    qsort(wired, count, sizeof *wired, by_wire_id);
    return (int64_t)count;
}

int numi_books_hash(const struct numi_books *books, const uint64_t *wire_ids,
                    uint64_t instrument_count, uint8_t *digest) {
    struct wired *wired = malloc(books->book_room * sizeof *wired);
    if (wired == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "state hash of %llu instruments",
                              (unsigned long long)books->book_room);
    struct hasher hasher;
    hasher.books = books;
    hasher.count = 0;
    XXH3_INITSTATE(&hasher.state);
    XXH3_128bits_reset(&hasher.state);
    int64_t count = sort_instruments(books, wire_ids, instrument_count, wired);
    for (int64_t i = 0; i < count; i++)
        for (uint8_t side = NUMI_SIDE_BID; side <= NUMI_SIDE_ASK; side++)
            hash_side(&hasher, wired[i].wire_id, &books->books[wired[i].instrument].sides[side]);
    free(wired);
    if (count < 0)
        return (int)count;
    hash_records(&hasher);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&hasher.state));
    memcpy(digest, canonical.digest, sizeof canonical.digest);
    return NUMI_OK;
}

/* ---- Everything against itself. */

#define WRONG(...) numi_error_set(NUMI_ERR_CORRUPT, "books: " __VA_ARGS__)

static bool is_number(const struct numi_resting *orders, uint32_t number) {
    if (numi_is_outside(orders, number))
        return number < orders->outside.used;
    return number - NUMI_WINDOW_FIRST <= orders->window_mask;
}

static int check_order(const struct numi_books *books, uint32_t number, uint32_t level_number) {
    if (!is_number(&books->orders, number))
        return WRONG("level %u has an order of number %u", level_number, number);
    const struct numi_order *order = &books->orders.at[number];
    unsigned long long id = numi_order_id(&books->orders, number);
    if (order->quantity == 0 || order->level != level_number)
        return WRONG("order %llu in level %u says level %u, quantity %llu", id, level_number,
                     order->level, (unsigned long long)order->quantity);
    if (order->id_low != (uint32_t)id || numi_resting_find(&books->orders, id) != number)
        return WRONG("order %llu is not found", id);
    return NUMI_OK;
}

static int check_links(const struct numi_books *books, const struct numi_level *level,
                       uint32_t number, uint32_t previous) {
    const struct numi_order_link *link = &books->orders.links[number];
    bool is_last = number == level->back;
    if (link->previous != previous || (link->next == 0) != is_last)
        return WRONG("order number %u is linked to %u and %u", number, link->previous, link->next);
    return NUMI_OK;
}

static int check_queue(const struct numi_books *books, uint32_t level_number) {
    const struct numi_level *level = &books->levels[level_number];
    uint32_t number = 0, previous;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < level->count; i++) {
        previous = number;
        number = numi_level_next(level, books->orders.links, i, previous);
        int code = check_order(books, number, level_number);
        if (code == NUMI_OK && level->is_long)
            code = check_links(books, level, number, previous);
        if (code != NUMI_OK)
            return code;
        sum += books->orders.at[number].quantity;
    }
    bool fits = level->is_long ? level->count > NUMI_LEVEL_AGAIN && number == level->back
                               : level->count <= NUMI_LEVEL_SHORT;
    if (level->count == 0 || !fits || sum != level->quantity)
        return WRONG("level %u of %u orders holds %llu, they hold %llu", level_number, level->count,
                     (unsigned long long)level->quantity, (unsigned long long)sum);
    return NUMI_OK;
}

static int check_level(const struct numi_books *books, uint32_t book_side,
                       const struct numi_rung *rung) {
    const struct numi_level *level = &books->levels[rung->level];
    if (level->book_side != book_side || level->key != rung->key)
        return WRONG("level %u is in the ladder of another", rung->level);
    const struct numi_ladder *ladder = numi_ladder_of(books, book_side);
    if (numi_ladder_find(&books->ladders, ladder, rung->key) != rung->level)
        return WRONG("level %u is not found", rung->level);
    return check_queue(books, rung->level);
}

static int check_side(const struct numi_books *books, uint32_t book_side, uint64_t *orders,
                      uint64_t *levels) {
    struct numi_ladder *ladder = numi_ladder_of(books, book_side);
    struct numi_ladder_walk walk = numi_ladder_walk(&books->ladders, ladder);
    struct numi_rung rung = numi_ladder_next(&walk), next;
    if (rung.level != numi_ladder_best(&books->ladders, ladder) || rung.key != ladder->best_key)
        return WRONG("instrument %u: a stale best price", book_side >> 1);
    uint32_t count = 0;
    for (; rung.level != 0; rung = next, count++) {
        int code = check_level(books, book_side, &rung);
        next = numi_ladder_next(&walk);
        if (code == NUMI_OK && next.level != 0 && next.key >= rung.key)
            code = WRONG("instrument %u: prices out of order", book_side >> 1);
        if (code != NUMI_OK)
            return code;
        *orders += books->levels[rung.level].count;
    }
    *levels += count;
    return count == numi_ladder_count(ladder) ? NUMI_OK : WRONG("levels are counted wrong");
}

int numi_books_check(const struct numi_books *books) {
    uint64_t orders = 0, levels = 0;
    for (uint32_t book_side = 0; book_side < 2 * books->book_room; book_side++) {
        int code = check_side(books, book_side, &orders, &levels);
        if (code != NUMI_OK)
            return code;
    }
    if (orders != books->counts.live_orders || levels != books->counts.live_levels)
        return WRONG("%llu orders on %llu levels, counted %llu and %llu",
                     (unsigned long long)orders, (unsigned long long)levels,
                     (unsigned long long)books->counts.live_orders,
                     (unsigned long long)books->counts.live_levels);
    return NUMI_OK;
}
