#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "feed/book_private.h"

void numi_books_defaults(struct numi_books_options *options) {
    enum { WINDOW_BITS = 24 };
    *options =
        (struct numi_books_options){.order_max = NUMI_BOOK_ORDER_USUAL, .window_bits = WINDOW_BITS};
}

static int check_options(const struct numi_books_options *options) {
    enum { BITS_MIN = 6, BITS_MAX = 30 };
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
    /* One more than the greatest number, since 0 is none. */
    uint64_t number_max = books->options.order_max + 1ull, book_max = NUMI_BOOK_INSTRUMENT_MAX;
    int code = numi_region_open(&books->order_memory, number_max * sizeof(struct numi_order));
    if (code == NUMI_OK)
        code = numi_region_open(&books->level_memory, number_max * sizeof(struct numi_level));
    if (code == NUMI_OK)
        code = numi_region_open(&books->book_memory, book_max * sizeof(struct numi_book));
    if (code == NUMI_OK)
        code = numi_ladders_open(&books->ladders, number_max);
    books->orders = (struct numi_order *)books->order_memory.base;
    books->levels = (struct numi_level *)books->level_memory.base;
    books->books = (struct numi_book *)books->book_memory.base;
    return code;
}

/* Without an index. */
static int open_empty(struct numi_books **out, const struct numi_books_options *options) {
    struct numi_books *books = calloc(1, sizeof *books);
    *out = books;
    if (books == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "books");
    books->options = *options;
    books->cache_size = options->cache_size != 0 ? options->cache_size : size_of_cache();
    books->order_slab.used = books->level_slab.used = 1;
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
        code = numi_order_index_open(&books->index, options->window_bits, options->seed,
                                     books->orders);
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
    numi_order_index_close(&books->index);
    numi_region_close(&books->ladders.memory);
    numi_region_close(&books->book_memory);
    numi_region_close(&books->level_memory);
    numi_region_close(&books->order_memory);
    free(books);
}

/* ---- Growing. */

/* For as many more as the limit allows. */
static int grow_slab(struct numi_slab *slab, struct numi_region *memory, uint64_t wanted,
                     uint64_t number_max, uint64_t record_size) {
    wanted = wanted < number_max ? wanted : number_max;
    int code = numi_region_grow(memory, wanted * record_size);
    uint64_t room = memory->size / record_size;
    slab->room = (uint32_t)(room < number_max ? room : number_max);
    return code;
}

/* A level holds an order at least, so there are never more of them. */
static int grow_slabs(struct numi_books *books, uint64_t more) {
    const struct numi_books_counts *counts = &books->counts;
    uint64_t number_max = books->options.order_max + 1ull;
    if (counts->live_orders + 1 == number_max && more > 0)
        return numi_error_set(NUMI_ERR_NO_MEMORY,
                              "books: %llu orders rest: order_max allows no more",
                              (unsigned long long)counts->live_orders);
    int code = grow_slab(&books->order_slab, &books->order_memory, counts->live_orders + 1 + more,
                         number_max, sizeof(struct numi_order));
    if (code == NUMI_OK)
        /* One more than orders: a replace may open a level without closing one. */
        code = grow_slab(&books->level_slab, &books->level_memory, counts->live_levels + 2 + more,
                         number_max, sizeof(struct numi_level));
    return code;
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
        code = grow_slabs(books, order_count);
    uint64_t left = books->options.order_max - books->counts.live_orders;
    order_count = order_count < left ? order_count : left; /* more may not rest */
    if (code == NUMI_OK)
        code = numi_order_index_grow(&books->index, books->counts.live_orders, order_count);
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
    numi_order_index_clear(&books->index);
    numi_ladders_clear(&books->ladders);
    memset(books->books, 0, books->book_room * sizeof *books->books);
    books->order_slab.free = books->level_slab.free = 0;
    books->order_slab.used = books->level_slab.used = 1;
    books->counts.live_orders = books->counts.live_levels = 0;
    books->quantity_bound = 0;
    books->stopped_at = NULL;
}

/* ---- Copying. */

/* One region's content into the other, which then has as much. */
static int copy_region(struct numi_region *to, const struct numi_region *from) {
    int code = numi_region_grow(to, from->size);
    if (code == NUMI_OK)
        memcpy(to->base, from->base, from->size);
    return code;
}

static int copy_memory(struct numi_books *books, const struct numi_books *from) {
    int code = copy_region(&books->order_memory, &from->order_memory);
    if (code == NUMI_OK)
        code = copy_region(&books->book_memory, &from->book_memory);
    if (code == NUMI_OK)
        code = copy_region(&books->ladders.memory, &from->ladders.memory);
    if (code == NUMI_OK)
        code = copy_region(&books->level_memory, &from->level_memory);
    if (code == NUMI_OK)
        code = numi_order_index_copy(&books->index, &from->index, books->orders);
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
    books->books = own.books;
    books->levels = own.levels;
    books->index = own.index;
    books->ladders.memory = own.ladders.memory;
    books->order_memory = own.order_memory;
    books->level_memory = own.level_memory;
    books->book_memory = own.book_memory;
    books->stopped_at = NULL;
    *out = books;
    return NUMI_OK;
}

uint64_t numi_books_memory(const struct numi_books *books) {
    return books->order_memory.size + books->level_memory.size + books->book_memory.size +
           books->ladders.memory.size + numi_order_index_memory(&books->index);
}

int numi_books_looks_ahead(const struct numi_books *books) {
    return books->looked_ahead;
}
