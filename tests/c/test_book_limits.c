/* Books: as many orders as may rest, and as much memory as there is. */
#include "book_events.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>

/* ---- Memory that runs out: after so many mappings more, or for large ones alone. */

static int64_t mappings_left = INT64_MAX;
static size_t mapping_max = SIZE_MAX;

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    typedef void *(*mapping)(void *, size_t, int, int, int, off_t);
    static mapping real;
    if (real == NULL) /* a sanitizer's, where there is one */
        *(void **)&real = dlsym(RTLD_NEXT, "mmap64");
    NEED(real != NULL);
    if (mappings_left > 0 && (size <= mapping_max || protection == PROT_NONE)) {
        mappings_left--;
        return real(address, size, protection, flags, file, offset);
    }
    errno = ENOMEM;
    return MAP_FAILED;
}

/* ---- As many orders as may rest. */

/* Refused, and nothing has changed: not even that a message was seen. */
static void expect_full(struct numi_books *books) {
    struct numi_books_counts before = *numi_books_counts(books);
    struct digest digest = hash_of(books);
    uint64_t memory = numi_books_memory(books);
    put_add(UINT64_MAX, BID, 7, 1);
    EXPECT_EQ(numi_books_apply(books, events, 1, NULL), 0);
    EXPECT_EQ(numi_books_reserve(books, 0, 1), NUMI_ERR_NO_MEMORY);
    EXPECT_CONTAINS(numi_error_detail(), "order_max");
    EXPECT_EQ(attempt(books), NUMI_ERR_NO_MEMORY);
    EXPECT(memcmp(&before, numi_books_counts(books), sizeof before) == 0);
    EXPECT(is_same(hash_of(books), digest));
    EXPECT(numi_books_memory(books) < memory + (1 << 20));
}

TEST(as_many_orders_as_may_rest) {
    static const uint32_t order_maxes[] = {1, 2, 5, 40, 511, 512, 513, 3000};
    for (size_t i = 0; i < 2 * sizeof order_maxes / sizeof order_maxes[0]; i++) {
        uint32_t order_max = order_maxes[i / 2];
        struct numi_books *books = open_books(order_max, 7);
        fill(books, order_max, i % 2 != 0);
        expect_full(books);
        put_delete(0);
        put_add(1 << 20, BID, 7, 1);
        run(books);
        EXPECT_EQ(numi_books_counts(books)->live_orders, order_max);
        expect_level(books, BID, 7, 1, 1);
        expect_full(books);
        expect_no_rejects(books);
        numi_books_close(books);
    }
}

/* The events before the one that does not fit are applied, and the counts say so. */
TEST(what_was_applied_before_the_limit_stays) {
    struct numi_books *books = open_books(10, 7);
    for (uint64_t id = 0; id < 12; id++)
        put_add(id, BID, (int64_t)id, 1);
    EXPECT_EQ(attempt(books), NUMI_ERR_NO_MEMORY);
    EXPECT_EQ(numi_books_counts(books)->messages, 10);
    expect_live(books, 10, 10);
    numi_books_close(books);
}

/* What a message is refused for does not take room. */
TEST(at_the_limit_messages_are_still_refused_for_their_reasons) {
    struct numi_books *books = open_books(5, 7);
    fill(books, 5, true);
    put_add(3, BID, 7, 1);
    run(books);
    expect_refused(books, NUMI_BOOK_DUPLICATE_ORDER, 1);
    put_add(9, BID, 7, 0);
    run(books);
    expect_refused(books, NUMI_BOOK_ZERO_QUANTITY, 1);
    put_replace(9, 10, 7, 1);
    run(books);
    expect_refused(books, NUMI_BOOK_UNKNOWN_ORDER, 1);
    put_delete(9);
    run(books);
    expect_refused(books, NUMI_BOOK_UNKNOWN_ORDER, 2);
    put_add(3, BID, 7, 1); /* into a book that there is no room for yet */
    events[0].instrument = 100000;
    run(books);
    expect_refused(books, NUMI_BOOK_DUPLICATE_ORDER, 2);
    expect_full(books);
    numi_books_close(books);
}

TEST(at_the_limit_orders_are_still_replaced) {
    static const uint32_t order_maxes[] = {1, 2, 5, 12, 13, 40, 1000, 3000};
    for (size_t i = 0; i < 2 * sizeof order_maxes / sizeof order_maxes[0]; i++) {
        uint32_t order_max = order_maxes[i / 2];
        struct numi_books *books = open_books(order_max, 7);
        fill(books, order_max, i % 2 != 0);
        for (uint32_t round = 0; round < 3; round++)
            for (uint32_t id = 0; id < order_max; id++)
                put_replace(id + round * 10000, id + (round + 1) * 10000,
                            (id % 2 ? 9000 : 1000) + id + round * 1000, 3 + round);
        run(books);
        expect_live(books, order_max, order_max);
        expect_no_rejects(books);
        expect_full(books);
        numi_books_close(books);
    }
}

/* Each ladder is full, and none has memory to widen: a level that closes makes room for the one
 * that opens. */
TEST(at_the_limit_orders_are_still_replaced_where_ladders_are_full) {
    enum { IN_LADDER = 12 };
    for (uint32_t instruments = 250; instruments < 260; instruments++) {
        struct numi_books *books = open_books(instruments * IN_LADDER, 7);
        for (uint32_t id = 0; id < instruments * IN_LADDER; id++) {
            put_add(id, BID, 10 * id, 1);
            events[event_count - 1].instrument = id / IN_LADDER;
        }
        run(books);
        put_replace(5, 5, 7, 1);
        put_replace(IN_LADDER, 1 << 20, 7, 1);
        events[1].instrument = 1;
        run(books);
        expect_no_rejects(books);
        expect_live(books, instruments * IN_LADDER, instruments * IN_LADDER);
        numi_books_close(books);
    }
}

/* ---- Memory in turn. */

/* Applies, and reserves as little as there is, until all is applied; how often it had to. */
static uint64_t apply_in_turn(struct numi_books *books, uint64_t more) {
    uint64_t done = 0, turns = 0;
    for (;;) {
        uint64_t before = numi_books_counts(books)->messages;
        done += (uint64_t)numi_books_apply(books, events + done, event_count - done, NULL);
        EXPECT(numi_books_counts(books)->messages - before <= event_count);
        if (done == event_count)
            return turns;
        NEED(turns++ < EVENT_MAX);
        if (turns % 64 == 1)
            expect_sound(books);
        NEED(numi_books_reserve(books, 0, more) == NUMI_OK);
    }
}

TEST(what_does_not_fit_waits_for_memory) {
    static const uint64_t mores[] = {1, 3, 1000};
    for (size_t i = 0; i < sizeof mores / sizeof mores[0]; i++) {
        struct numi_books *in_turn = open_usual(), *in_steps = open_usual();
        put_flood(20000);
        EXPECT(apply_in_turn(in_turn, mores[i]) > 2);
        expect_sound(in_turn);
        run(in_steps);
        EXPECT(is_same(hash_of(in_turn), hash_of(in_steps)));
        EXPECT(memcmp(numi_books_counts(in_turn), numi_books_counts(in_steps),
                      sizeof(struct numi_books_counts)) == 0);
        expect_no_rejects(in_steps);
        numi_books_close(in_turn);
        numi_books_close(in_steps);
    }
}

/* Room is missing in the index, which has nothing to do with how many orders may rest. */
TEST(at_the_limit_orders_are_still_replaced_by_odd_ids) {
    static const uint32_t order_maxes[] = {1600, 2400, 5000, 20000};
    for (size_t i = 0; i < sizeof order_maxes / sizeof order_maxes[0]; i++) {
        struct numi_books *books = open_books(order_maxes[i], 20);
        for (uint64_t id = 0; id < order_maxes[i]; id++)
            put_add(id, BID, 500, 1);
        apply_in_turn(books, 1);
        event_count = 0;
        for (uint64_t id = 0; id < order_maxes[i]; id++)
            put_replace(id, ~id << 20, 500, 1);
        run(books);
        expect_live(books, order_maxes[i], 1);
        expect_no_rejects(books);
        numi_books_close(books);
    }
}

TEST(what_was_reserved_is_applied_without_stopping) {
    struct numi_books *books = open_usual();
    NEED(numi_books_reserve(books, 2000, 30000) == NUMI_OK);
    uint64_t memory = numi_books_memory(books);
    EXPECT(numi_books_instruments(books) >= 2000);
    put_flood(30000);
    EXPECT_EQ(apply_in_turn(books, 1), 0);
    EXPECT_EQ(numi_books_memory(books), memory);
    expect_sound(books);
    numi_books_close(books);
}

TEST(reserving_out_of_range) {
    struct numi_books *books = open_usual();
    EXPECT_EQ(numi_books_reserve(books, NUMI_BOOK_INSTRUMENT_MAX + 1, 0), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_books_reserve(books, UINT64_MAX, 0), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_books_reserve(books, 0, NUMI_BOOK_ORDER_MAX + 1), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_books_reserve(books, 0, UINT64_MAX), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_books_reserve(books, 0, 0), NUMI_OK);
    EXPECT_EQ(numi_books_reserve(books, 100, 100), NUMI_OK);
    expect_sound(books);
    numi_books_close(books);
}

/* Not for more than may rest. */
TEST(reserving_what_no_order_may_use) {
    struct numi_books *books = open_books(1000, 10);
    fill(books, 500, true);
    mapping_max = 64 << 20;
    EXPECT_EQ(numi_books_reserve(books, 0, NUMI_BOOK_ORDER_MAX), NUMI_OK);
    mapping_max = SIZE_MAX;
    EXPECT(numi_books_memory(books) < 4 << 20);
    expect_sound(books);
    numi_books_close(books);
}

/* Opens, steps and copies over and over, each time with one mapping more before memory runs out:
 * whatever lacks, the books stay whole, and go on once it is there. */
TEST(books_live_on_where_the_system_has_no_memory) {
    struct numi_books *whole = open_usual();
    put_flood(6000);
    uint64_t count = event_count, failures = 0;
    run(whole);
    struct digest wanted = hash_of(whole);
    numi_books_close(whole);
    for (int64_t mappings = 0;; mappings++) {
        struct numi_books *books = NULL, *copy = NULL;
        struct numi_books_options options = {.order_max = 1 << 20, .window_bits = 16};
        mappings_left = mappings;
        int64_t code = numi_books_open(&books, &options);
        if (code == NUMI_OK)
            code = numi_books_step(books, events, count, NULL);
        if (code >= 0)
            code = numi_books_copy(&copy, books);
        mappings_left = INT64_MAX;
        EXPECT(code >= 0 || code == NUMI_ERR_NO_MEMORY);
        failures += code < 0;
        if (books != NULL) {
            expect_sound(books);
            uint64_t done = numi_books_counts(books)->messages;
            EXPECT_EQ(numi_books_step(books, events + done, count - done, NULL), count - done);
            EXPECT(is_same(hash_of(books), wanted));
        }
        EXPECT(copy == NULL || is_same(hash_of(copy), wanted));
        numi_books_close(books);
        numi_books_close(copy);
        if (code >= 0)
            break;
    }
    EXPECT(failures > 20);
}

/* The last instrument takes a GiB. Who leaves out its message goes on with the others. */
TEST(the_last_instrument_without_memory_for_it) {
    struct numi_books *books = open_usual();
    fill(books, 100, true);
    struct digest before = hash_of(books);
    mapping_max = 64 << 20;
    put_add(1000, ASK, 9, 1);
    events[0].instrument = NUMI_BOOK_INSTRUMENT_MAX - 1;
    EXPECT_EQ(numi_books_apply(books, events, 1, NULL), 0);
    EXPECT_EQ(numi_books_reserve(books, 0, 1), NUMI_ERR_NO_MEMORY);
    EXPECT_EQ(attempt(books), NUMI_ERR_NO_MEMORY);
    EXPECT(is_same(hash_of(books), before));
    for (uint64_t id = 1000; id < 9000; id++)
        put_add(id, ASK, (int64_t)id, 1);
    EXPECT_EQ(attempt(books), 8000);
    mapping_max = SIZE_MAX;
    expect_level(books, ASK, 8999, 1, 1);
    numi_books_close(books);
}

CHECK_MAIN
