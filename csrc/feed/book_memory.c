#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "feed/book_private.h"

void numi_books_defaults(struct numi_books_options *options) {
    enum { WINDOW_BITS = 22 };
    *options =
        (struct numi_books_options){.order_max = NUMI_BOOK_ORDER_USUAL, .window_bits = WINDOW_BITS};
}

static int check_options(const struct numi_books_options *options) {
    enum { BITS_MIN = 7, BITS_MAX = 30 };
    if (options->window_bits < BITS_MIN || options->window_bits > BITS_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "books: window_bits=%u: allowed %d to %d",
                              options->window_bits, BITS_MIN, BITS_MAX);
    if (options->order_max == 0 || options->order_max > NUMI_BOOK_ORDER_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "books: order_max=%u: allowed 1 to %d",
                              options->order_max, NUMI_BOOK_ORDER_MAX);
    if (options->ahead > NUMI_BOOK_AHEAD_ALWAYS)
        return numi_error_set(NUMI_ERR_ARGUMENT, "books: ahead=%u: allowed 0 to %d", options->ahead,
                              NUMI_BOOK_AHEAD_ALWAYS);
    return NUMI_OK;
}

static uint64_t size_of_cache(void) {
    enum { USUAL = 1 << 20 };
    long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return size > 0 ? (uint64_t)size : USUAL;
}

static void settle_actions(struct numi_books *books) {
    static const struct {
        uint8_t kind, action;
    } known[] = {
        {NUMI_EVENT_GAP, NUMI_BOOK_GAP}, {'A', NUMI_BOOK_ADD},     {'F', NUMI_BOOK_ADD},
        {'E', NUMI_BOOK_TAKE},           {'C', NUMI_BOOK_TAKE},    {'X', NUMI_BOOK_TAKE},
        {'D', NUMI_BOOK_DELETE},         {'U', NUMI_BOOK_REPLACE},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        books->actions[known[i].kind] = known[i].action;
    if (books->options.consume_trades)
        books->actions['P'] = NUMI_BOOK_TAKE;
}

/* ---- Opening. */

static int open_regions(struct numi_books *books) {
    const struct numi_books_options *options = &books->options;
    uint64_t level_max = options->order_max + 1ull, book_max = NUMI_BOOK_INSTRUMENT_MAX;
    /* One more than orders: a replace may open a level before it closes one. */
    int code = numi_region_open(&books->level_memory, (level_max + 1) * sizeof *books->levels);
    if (code == NUMI_OK)
        code = numi_region_open(&books->book_memory, book_max * sizeof(struct numi_book));
    if (code == NUMI_OK)
        code = numi_ladders_open(&books->ladders, level_max);
    books->books = (struct numi_book *)books->book_memory.base;
    books->levels = (struct numi_level *)books->level_memory.base;
    if (code == NUMI_OK)
        code = numi_resting_open(&books->orders, options->window_bits, options->order_max,
                                 options->seed, books->levels);
    return code;
}

/* Without memory. */
static int open_empty(struct numi_books **out, const struct numi_books_options *options) {
    struct numi_books *books = calloc(1, sizeof *books);
    *out = books;
    if (books == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "books");
    books->options = *options;
    books->cache_size = options->cache_size != 0 ? options->cache_size : size_of_cache();
    books->level_slab.used = 1;
    settle_actions(books);
    return open_regions(books);
}

int numi_books_open(struct numi_books **out, const struct numi_books_options *options) {
    enum { FIRST_INSTRUMENTS = 64, FIRST_ORDERS = 512 };
    struct numi_books_options defaults;
    struct numi_books *books = NULL;
    *out = NULL;
    numi_books_defaults(&defaults);
    options = options == NULL ? &defaults : options;
    int code = check_options(options);
    if (code == NUMI_OK)
        code = open_empty(&books, options);
    if (code == NUMI_OK)
        code = numi_books_reserve(books, FIRST_INSTRUMENTS, FIRST_ORDERS);
    if (code != NUMI_OK)
        numi_books_close(books);
    else
        *out = books;
    return code;
}

void numi_books_close(struct numi_books *books) {
    if (books == NULL)
        return;
    numi_resting_close(&books->orders);
    numi_region_close(&books->ladders.memory);
    numi_region_close(&books->book_memory);
    numi_region_close(&books->level_memory);
    free(books);
}

/* ---- Growing. */

static int grow_levels(struct numi_books *books, uint64_t more) {
    uint64_t size = sizeof *books->levels, limit = books->level_memory.limit / size;
    uint64_t wanted = books->counts.live_levels + 1 + more;
    int code = numi_region_grow(&books->level_memory, (wanted < limit ? wanted : limit) * size);
    books->level_slab.room = (uint32_t)(books->level_memory.size / size);
    return code;
}

static int check_limit(const struct numi_books *books, uint64_t more) {
    if (books->counts.live_orders < books->options.order_max || more == 0)
        return NUMI_OK;
    return numi_error_set(NUMI_ERR_NO_MEMORY, "books: %llu orders rest: order_max allows no more",
                          (unsigned long long)books->counts.live_orders);
}

static int grow_books(struct numi_books *books, uint64_t instrument_count) {
    if (instrument_count > NUMI_BOOK_INSTRUMENT_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "books of %llu instruments: allowed 0 to %d",
                              (unsigned long long)instrument_count, NUMI_BOOK_INSTRUMENT_MAX);
    int code = numi_region_grow(&books->book_memory, instrument_count * sizeof(struct numi_book));
    books->book_room = books->book_memory.size / sizeof(struct numi_book);
    return code;
}

int numi_books_reserve(struct numi_books *books, uint64_t instrument_count, uint64_t order_count) {
    if (order_count > NUMI_BOOK_ORDER_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "books: %llu orders: allowed 0 to %d",
                              (unsigned long long)order_count, NUMI_BOOK_ORDER_MAX);
    if (instrument_count < books->stopped_for)
        instrument_count = books->stopped_for;
    int code = grow_books(books, instrument_count);
    if (code == NUMI_OK)
        code = check_limit(books, order_count);
    if (code == NUMI_OK)
        code = grow_levels(books, order_count + 1);
    uint64_t left = books->options.order_max - books->counts.live_orders;
    order_count = order_count < left ? order_count : left; /* more may not rest */
    if (code == NUMI_OK)
        code = numi_resting_grow(&books->orders, books->counts.live_orders, order_count);
    if (code == NUMI_OK)
        code = numi_ladders_grow(&books->ladders, order_count, 2 * books->book_room);
    if (code == NUMI_OK && books->stopped_at != NULL)
        code = numi_ladders_grow_for(&books->ladders, books->stopped_at);
    if (code != NUMI_OK)
        return code;
    books->stopped_at = NULL;
    books->stopped_for = 0;
    return NUMI_OK;
}

void numi_books_clear(struct numi_books *books) {
    numi_resting_clear(&books->orders);
    books->level_slab.free = 0;
    books->level_slab.used = 1;
    numi_ladders_clear(&books->ladders);
    memset(books->books, 0, books->book_room * sizeof *books->books);
    books->counts.live_orders = books->counts.live_levels = 0;
    books->stopped_at = NULL;
}

/* ---- Copying. */

static int copy_memory(struct numi_books *books, const struct numi_books *from) {
    int code = numi_resting_copy(&books->orders, &from->orders);
    if (code == NUMI_OK)
        code = numi_region_copy(&books->book_memory, &from->book_memory);
    if (code == NUMI_OK)
        code = numi_region_copy(&books->ladders.memory, &from->ladders.memory);
    if (code == NUMI_OK)
        code = numi_region_copy(&books->level_memory, &from->level_memory);
    return code;
}

int numi_books_copy(struct numi_books **out, const struct numi_books *from) {
    struct numi_books *books = NULL;
    *out = NULL;
    int code = open_empty(&books, &from->options);
    if (code == NUMI_OK)
        code = copy_memory(books, from);
    if (code != NUMI_OK) {
        numi_books_close(books);
        return code;
    }
    struct numi_books own = *books;
    *books = *from;
    books->orders = own.orders;
    books->level_memory = own.level_memory;
    books->books = own.books;
    books->levels = own.levels;
    books->ladders.memory = own.ladders.memory;
    books->book_memory = own.book_memory;
    books->stopped_at = NULL;
    *out = books;
    return NUMI_OK;
}

uint64_t numi_books_memory(const struct numi_books *books) {
    return numi_resting_memory(&books->orders) + books->level_memory.size +
           books->book_memory.size + books->ladders.memory.size;
}

int numi_books_looks_ahead(const struct numi_books *books) {
    return books->looked_ahead;
}
