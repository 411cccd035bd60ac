/* What the tests of the books share: events written one after the other and applied together, and
 * what must be so. */
#ifndef NUMI_TESTS_BOOK_EVENTS_H
#define NUMI_TESTS_BOOK_EVENTS_H

#include "check.h"

#include "base/error.h"
#include "feed/book.h"

enum { BID = NUMI_SIDE_BID, ASK = NUMI_SIDE_ASK, EVENT_MAX = 1 << 18 };

/* ---- Events, written one after the other, and applied together. */

static struct numi_event events[EVENT_MAX];
static uint64_t event_count;

static inline void put(struct numi_event event) {
    NEED(event_count < EVENT_MAX);
    event.sequence = event_count + 1;
    events[event_count++] = event;
}

static inline void put_add(uint64_t id, uint8_t side, int64_t price, uint64_t quantity) {
    put((struct numi_event){
        .kind = 'A', .order = id, .side = side, .price = price, .quantity = quantity});
}

static inline void put_delete(uint64_t id) {
    put((struct numi_event){.kind = 'D', .order = id, .side = NUMI_SIDE_NONE});
}

static inline void put_replace(uint64_t id, uint64_t new_id, int64_t price, uint64_t quantity) {
    put((struct numi_event){.kind = 'U',
                            .order = id,
                            .aux = new_id,
                            .price = price,
                            .quantity = quantity,
                            .side = NUMI_SIDE_NONE});
}

static inline void expect_sound(const struct numi_books *books) {
    int code = numi_books_check(books);
    EXPECT_TEXT(code == NUMI_OK ? "" : numi_error_detail(), "");
}

/* What was written, in steps; every one must be applied, or refused for a reason. */
static inline void run(struct numi_books *books) {
    EXPECT_EQ(numi_books_step(books, events, event_count, NULL), event_count);
    event_count = 0;
    expect_sound(books);
}

/* Likewise; the code that it ends with. */
static inline int64_t attempt(struct numi_books *books) {
    int64_t code = numi_books_step(books, events, event_count, NULL);
    event_count = 0;
    expect_sound(books);
    return code;
}

static inline struct numi_books *open_books(uint32_t order_max, uint32_t window_bits) {
    struct numi_books_options options;
    struct numi_books *books;
    numi_books_defaults(&options);
    options.order_max = order_max;
    options.window_bits = window_bits;
    NEED(numi_books_open(&books, &options) == NUMI_OK);
    event_count = 0;
    return books;
}

static inline struct numi_books *open_usual(void) {
    return open_books(1 << 20, 10);
}

/* ---- What must be so. */

struct digest {
    uint8_t bytes[16];
};

static inline struct digest hash_of(const struct numi_books *books) {
    struct digest digest = {{0}};
    uint64_t count = numi_books_instruments(books);
    uint64_t *wire_ids = malloc(count * sizeof *wire_ids);
    NEED(wire_ids != NULL);
    for (uint64_t i = 0; i < count; i++)
        wire_ids[i] = i;
    EXPECT_EQ(numi_books_hash(books, wire_ids, count, digest.bytes), NUMI_OK);
    free(wire_ids);
    return digest;
}

static inline bool is_same(struct digest one, struct digest other) {
    return memcmp(one.bytes, other.bytes, sizeof one.bytes) == 0;
}

static inline void expect_live(const struct numi_books *books, uint64_t orders, uint64_t levels) {
    EXPECT_EQ(numi_books_counts(books)->live_orders, orders);
    EXPECT_EQ(numi_books_counts(books)->live_levels, levels);
}

static inline void expect_no_rejects(const struct numi_books *books) {
    struct numi_book_reject reject;
    EXPECT_EQ(numi_books_rejects(books, &reject, 1), 0);
}

static inline void expect_level(const struct numi_books *books, uint8_t side, int64_t price,
                                uint64_t quantity, uint64_t order_count) {
    struct numi_book_level level = {0};
    EXPECT_EQ(numi_books_level(books, 0, side, price, &level), order_count > 0);
    EXPECT_EQ(level.price, order_count > 0 ? price : 0);
    EXPECT_EQ(level.quantity, quantity);
    EXPECT_EQ(level.order_count, order_count);
}

/* The last message was refused for it. */
static inline void expect_refused(const struct numi_books *books, uint32_t reason, uint64_t times) {
    struct numi_book_reject rejects[NUMI_BOOK_REJECT_MAX];
    int count = numi_books_rejects(books, rejects, NUMI_BOOK_REJECT_MAX);
    EXPECT(count > 0 && rejects[count - 1].reason == reason);
    EXPECT_EQ(numi_books_counts(books)->rejects[reason], times);
}

/* ---- Books with something in them. */

static inline void fill(struct numi_books *books, uint32_t count, bool a_level_each) {
    for (uint32_t i = 0; i < count; i++)
        put_add(i, i % 2 ? ASK : BID, a_level_each ? (i % 2 ? 9000 + i : 1000 + i) : 500, 3);
    run(books);
    expect_live(books, count, a_level_each ? count : count < 2 ? 1 : 2);
}

/* Adds into many books and levels, from ids of any kind. */
static inline void put_flood(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        put_add(i % 3 ? i : check_random(), i % 2, (int64_t)check_below(1000), 1 + i);
        events[event_count - 1].instrument = (uint32_t)(check_below(40) * check_below(40));
    }
}

#endif
