/* Books: what they take, refuse and answer. */
#include "book_events.h"

enum { ROW_MAX = 1 << 10 };

/* ---- Opening. */

TEST(options_out_of_range) {
    static const struct numi_books_options wrong[] = {
        {.order_max = 1, .window_bits = 6},
        {.order_max = 1, .window_bits = 31},
        {.order_max = 0, .window_bits = 7},
        {.order_max = NUMI_BOOK_ORDER_MAX + 1, .window_bits = 7},
        {.order_max = UINT32_MAX, .window_bits = 7},
        {.order_max = 1, .window_bits = 7, .ahead = NUMI_BOOK_AHEAD_ALWAYS + 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct numi_books *books = (struct numi_books *)events;
        EXPECT_EQ(numi_books_open(&books, &wrong[i]), NUMI_ERR_ARGUMENT);
        EXPECT(books == NULL);
        EXPECT_CONTAINS(numi_error_detail(), "allowed");
        numi_books_close(books);
    }
}

TEST(options_at_their_ends) {
    static const struct numi_books_options right[] = {
        {.order_max = 1, .window_bits = 7},
        {.order_max = NUMI_BOOK_ORDER_MAX, .window_bits = 30, .seed = UINT64_MAX},
        {.order_max = 7, .window_bits = 7, .ahead = NUMI_BOOK_AHEAD_ALWAYS, .cache_size = 1},
    };
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        struct numi_books *books;
        NEED(numi_books_open(&books, &right[i]) == NUMI_OK);
        event_count = 0;
        put_add(UINT64_MAX, BID, 5, 1);
        put_replace(UINT64_MAX, 0, 6, 2);
        run(books);
        expect_live(books, 1, 1);
        expect_no_rejects(books);
        expect_level(books, BID, 6, 2, 1);
        numi_books_close(books);
    }
}

TEST(without_options_the_defaults) {
    struct numi_books *books;
    NEED(numi_books_open(&books, NULL) == NUMI_OK);
    EXPECT_EQ(numi_books_apply(books, events, 0, NULL), 0);
    EXPECT_EQ(numi_books_step(books, events, 0, NULL), 0);
    EXPECT(!numi_books_looks_ahead(books));
    EXPECT(numi_books_memory(books) < 4 << 20);
    EXPECT(numi_books_instruments(books) >= 64);
    expect_sound(books);
    numi_books_close(books);
    numi_books_close(NULL);
}

/* ---- Changes of best prices. */

static void put_touches(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (i % 4 == 3)
            put_delete(i - 1);
        else
            put_add(i, i % 2, i % 2 ? 1000 - i : i, 1 + i % 5);
        events[event_count - 1].instrument = 0;
    }
}

/* Into rows of `row_max`; returns how many there were in all. */
static uint32_t collect_changes(struct numi_books *books, struct numi_book_best *rows,
                                uint32_t row_max, uint32_t sizes) {
    struct numi_book_best part[ROW_MAX];
    struct numi_book_changes changes = {.rows = part, .row_max = row_max, .sizes = sizes};
    uint32_t row_count = 0;
    for (uint64_t done = 0; done < event_count;) {
        int64_t got = numi_books_step(books, events + done, event_count - done, &changes);
        NEED(got > 0 && changes.row_count <= row_max);
        done += (uint64_t)got;
        EXPECT(done == event_count || changes.row_count == row_max);
        NEED(row_count + changes.row_count <= ROW_MAX);
        memcpy(rows + row_count, part, changes.row_count * sizeof *part);
        row_count += changes.row_count;
        changes.row_count = 0;
    }
    expect_sound(books);
    return row_count;
}

TEST(full_changes_stop_and_go_on) {
    static struct numi_book_best whole[ROW_MAX], parts[ROW_MAX];
    for (uint32_t row_max = 1; row_max < 40; row_max += 3) {
        struct numi_books *one = open_usual(), *other = open_usual();
        put_touches(500);
        uint32_t sizes = row_max % 2, count = collect_changes(one, whole, ROW_MAX, sizes);
        EXPECT_EQ(collect_changes(other, parts, row_max, sizes), count);
        EXPECT(count > 100);
        EXPECT(memcmp(whole, parts, count * sizeof whole[0]) == 0);
        EXPECT(is_same(hash_of(one), hash_of(other)));
        numi_books_close(one);
        numi_books_close(other);
    }
}

TEST(without_rows_nothing_is_applied) {
    struct numi_books *books = open_usual();
    struct numi_book_changes changes = {0};
    put_touches(10);
    EXPECT_EQ(numi_books_apply(books, events, event_count, &changes), 0);
    EXPECT_EQ(numi_books_step(books, events, event_count, &changes), 0);
    EXPECT_EQ(numi_books_counts(books)->messages, 0);
    numi_books_close(books);
}

TEST(a_change_says_what_it_is) {
    struct numi_books *books = open_usual();
    struct numi_book_best rows[8], best;
    put_add(1, BID, 100, 5);
    put_add(2, BID, 100, 6); /* of its size alone */
    put_add(3, BID, 99, 7);  /* behind it */
    put_add(4, ASK, 100, 8);
    put_replace(4, 4, 90, 8);
    events[3].exchange_ns = 77;
    events[3].rx_ns = -7;
    EXPECT_EQ(collect_changes(books, rows, 8, 0), 3);
    EXPECT_EQ(rows[0].flags, NUMI_BOOK_HAS_BID);
    EXPECT_EQ(rows[0].sequence, 1);
    EXPECT_EQ(rows[1].flags, NUMI_BOOK_HAS_BID | NUMI_BOOK_HAS_ASK | NUMI_BOOK_LOCKED);
    EXPECT_EQ(rows[1].sequence, 4);
    EXPECT_EQ(rows[1].exchange_ns, 77);
    EXPECT_EQ(rows[1].rx_ns, -7);
    EXPECT_EQ(rows[1].bid_quantity, 11);
    EXPECT_EQ(rows[2].flags, NUMI_BOOK_HAS_BID | NUMI_BOOK_HAS_ASK | NUMI_BOOK_CROSSED);
    EXPECT_EQ(rows[2].ask, 90);
    numi_books_best(books, 0, &best);
    EXPECT_EQ(best.ask, 90);
    EXPECT_EQ(best.bid, 100);
    EXPECT_EQ(best.sequence, 0);
    numi_books_close(books);
}

/* ---- Instruments. */

TEST(instruments_at_the_limit_and_beyond) {
    static const uint32_t beyond[] = {NUMI_BOOK_INSTRUMENT_MAX, NUMI_BOOK_INSTRUMENT_MAX + 1,
                                      UINT32_MAX / 2, UINT32_MAX / 2 + 1, UINT32_MAX};
    struct numi_books *books = open_usual();
    uint64_t room = numi_books_instruments(books);
    for (uint64_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        struct numi_book_best best;
        struct numi_book_level level;
        put_add(1, BID, 5, 5);
        events[0].instrument = beyond[i];
        run(books);
        expect_refused(books, NUMI_BOOK_UNKNOWN_INSTRUMENT, i + 1);
        numi_books_best(books, beyond[i], &best);
        EXPECT_EQ(best.flags, 0);
        EXPECT_EQ(best.instrument, beyond[i]);
        EXPECT_EQ(numi_books_depth(books, beyond[i], BID), 0);
        EXPECT_EQ(numi_books_level(books, beyond[i], BID, 5, &level), 0);
    }
    EXPECT_EQ(numi_books_instruments(books), room);
    expect_live(books, 0, 0);
    numi_books_close(books);
}

/* A far instrument takes memory for all before it, and each has a book of its own. */
TEST(far_instruments) {
    static const uint32_t instruments[] = {0, 63, 64, 1023, 1024, 1025, 99999, 300000};
    enum { COUNT = sizeof instruments / sizeof instruments[0] };
    struct numi_books *books = open_usual();
    for (uint32_t i = 0; i < COUNT; i++) {
        put_add(i, i % 2, 100 + i, 1 + i);
        events[i].instrument = instruments[i];
    }
    run(books);
    expect_live(books, COUNT, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct numi_book_order order;
        EXPECT_EQ(numi_books_order(books, i, &order), 1);
        EXPECT_EQ(order.instrument, instruments[i]);
        EXPECT_EQ(numi_books_depth(books, instruments[i], i % 2), 1);
        EXPECT_EQ(numi_books_depth(books, instruments[i], (i + 1) % 2), 0);
    }
    for (uint32_t i = 0; i < COUNT; i++) { /* each named in another's book */
        put_delete(i);
        events[i].instrument = instruments[(i + 1) % COUNT];
    }
    run(books);
    expect_refused(books, NUMI_BOOK_WRONG_INSTRUMENT, COUNT);
    expect_live(books, COUNT, COUNT);
    numi_books_close(books);
}

/* ---- Prices. */

TEST(the_least_and_the_greatest_price) {
    static const int64_t ends[] = {INT64_MIN, INT64_MAX};
    struct numi_books *books = open_usual();
    struct numi_book_level level;
    struct numi_book_order order;
    for (uint64_t round = 0; round < 2; round++) { /* empty at first, then with levels beside */
        for (uint64_t i = 0; i < 4; i++) {
            uint8_t side = i % 2;
            put_add(100 + i, side, ends[i / 2], 1);
            run(books);
            expect_refused(books, NUMI_BOOK_BAD_PRICE, round * 4 + i + 1);
            EXPECT_EQ(numi_books_level(books, 0, side, ends[i / 2], &level), 0);
            EXPECT_EQ(numi_books_queue(books, 0, side, ends[i / 2], &order, 1), 0);
        }
        for (uint64_t i = 0; round == 0 && i < 4; i++)
            put_add(i, i % 2, i / 2 ? INT64_MAX - 1 : INT64_MIN + 1, 5);
        run(books);
    }
    expect_live(books, 4, 4);
    for (uint8_t side = BID; side <= ASK; side++) {
        expect_level(books, side, INT64_MIN + 1, 5, 1);
        expect_level(books, side, INT64_MAX - 1, 5, 1);
        expect_level(books, side, 0, 0, 0);
    }
    put_replace(0, 0, INT64_MAX, 1);
    put_replace(1, 1, INT64_MIN, 1);
    run(books);
    expect_refused(books, NUMI_BOOK_BAD_PRICE, 10);
    put_replace(0, 0, INT64_MAX - 1, 1);
    put_replace(1, 1, INT64_MIN + 1, 1);
    run(books);
    expect_level(books, BID, INT64_MAX - 1, 6, 2);
    expect_level(books, BID, INT64_MIN + 1, 0, 0);
    expect_level(books, ASK, INT64_MIN + 1, 1, 1); /* where it was */
    numi_books_close(books);
}

TEST(sides_that_are_none) {
    struct numi_books *books = open_usual();
    struct numi_book_level level;
    struct numi_book_order order;
    fill(books, 10, true);
    for (uint32_t side = 2; side < 256; side++) {
        put_add(100, (uint8_t)side, 1000, 1);
        EXPECT_EQ(numi_books_depth(books, 0, (uint8_t)side), 0);
        EXPECT_EQ(numi_books_top(books, 0, (uint8_t)side, &level, 1), 0);
        EXPECT_EQ(numi_books_level(books, 0, (uint8_t)side, 1000, &level), 0);
        EXPECT_EQ(numi_books_queue(books, 0, (uint8_t)side, 1000, &order, 1), 0);
    }
    run(books);
    expect_refused(books, NUMI_BOOK_BAD_SIDE, 254);
    numi_books_close(books);
}

/* ---- Copies, and a new day. */

TEST(a_copy_is_the_same_and_goes_its_own_way) {
    struct numi_books *books = open_books(1 << 15, 8), *copy;
    put_flood(9000);
    run(books);
    struct digest before = hash_of(books);
    NEED(numi_books_copy(&copy, books) == NUMI_OK);
    expect_sound(copy);
    EXPECT(is_same(hash_of(copy), before));
    EXPECT(memcmp(numi_books_counts(copy), numi_books_counts(books),
                  sizeof(struct numi_books_counts)) == 0);
    for (uint64_t id = 1; id < 5000; id += 3)
        put_delete(id);
    run(books);
    EXPECT(!is_same(hash_of(books), before));
    expect_sound(copy);
    EXPECT(is_same(hash_of(copy), before));
    struct digest after = hash_of(books);
    put_flood(9000);
    run(copy);
    EXPECT(is_same(hash_of(books), after));
    numi_books_close(books);
    expect_sound(copy);
    numi_books_close(copy);
}

TEST(cleared_books_are_those_of_a_new_day) {
    struct numi_books *books = open_books(1 << 15, 8), *fresh = open_books(1 << 15, 8);
    struct digest empty = hash_of(fresh);
    for (int day = 0; day < 3; day++) {
        put_flood(9000 >> day);
        uint64_t count = event_count;
        run(books);
        event_count = count;
        numi_books_clear(fresh);
        run(fresh);
        EXPECT(is_same(hash_of(books), hash_of(fresh)));
        uint64_t messages = numi_books_counts(books)->messages;
        numi_books_clear(books);
        expect_sound(books);
        expect_live(books, 0, 0);
        EXPECT_EQ(numi_books_counts(books)->messages, messages);
        EXPECT(is_same(hash_of(books), empty));
        EXPECT_EQ(numi_books_depth(books, 0, BID), 0);
    }
    numi_books_close(books);
    numi_books_close(fresh);
}

/* What a stop kept in mind does not outlive what it was about. */
TEST(cleared_or_copied_where_it_stopped) {
    struct numi_books *books = open_books(1 << 15, 8), *copy;
    put_flood(20000);
    uint64_t done = (uint64_t)numi_books_apply(books, events, event_count, NULL);
    EXPECT(done < event_count);
    NEED(numi_books_copy(&copy, books) == NUMI_OK);
    int64_t left = (int64_t)(event_count - done);
    EXPECT_EQ(numi_books_step(copy, events + done, event_count - done, NULL), left);
    EXPECT_EQ(numi_books_step(books, events + done, event_count - done, NULL), left);
    expect_sound(copy);
    EXPECT(is_same(hash_of(copy), hash_of(books)));
    numi_books_close(copy);
    numi_books_clear(books);
    struct digest empty = hash_of(books);
    done = (uint64_t)numi_books_apply(books, events, event_count, NULL);
    numi_books_clear(books);
    EXPECT_EQ(numi_books_reserve(books, 0, 10), NUMI_OK);
    expect_sound(books);
    EXPECT(is_same(hash_of(books), empty));
    numi_books_close(books);
}

/* ---- Results do not depend on how they came about. */

TEST(the_same_books_with_any_options) {
    enum { FLOOD = 9000, WAYS = 12 };
    struct digest digests[WAYS];
    event_count = 0;
    put_flood(FLOOD);
    for (uint64_t id = 0; id < FLOOD; id += 2) { /* a third of them is not known */
        put_replace(id, id + 100000, (int64_t)id % 500, 5);
        events[event_count - 1].instrument = events[id].instrument;
    }
    uint64_t count = event_count;
    for (uint32_t i = 0; i < WAYS; i++) {
        struct numi_books_options options = {.order_max = 1 << 15,
                                             .window_bits = 7 + i,
                                             .ahead = i % 3,
                                             .seed = i * 1234567,
                                             .cache_size = i % 2 ? 1 : 1 << 30};
        struct numi_books *books;
        NEED(numi_books_open(&books, &options) == NUMI_OK);
        event_count = count;
        run(books);
        EXPECT(options.ahead != NUMI_BOOK_AHEAD_NEVER || !numi_books_looks_ahead(books));
        EXPECT(options.ahead != NUMI_BOOK_AHEAD_ALWAYS || numi_books_looks_ahead(books));
        digests[i] = hash_of(books);
        EXPECT(is_same(digests[i], digests[0]));
        numi_books_close(books);
    }
}

TEST(the_hash_wants_a_wire_id_for_each_instrument_with_orders) {
    static const uint64_t wire_ids[] = {5, 4, 3, 2, 1};
    struct numi_books *books = open_usual();
    uint8_t digest[16], other[16];
    put_add(1, BID, 5, 5);
    put_add(2, BID, 5, 5);
    events[1].instrument = 3;
    run(books);
    EXPECT_EQ(numi_books_hash(books, wire_ids, 3, digest), NUMI_ERR_ARGUMENT);
    EXPECT_CONTAINS(numi_error_detail(), "instrument 3 has orders");
    EXPECT_EQ(numi_books_hash(books, NULL, 0, digest), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_books_hash(books, wire_ids, 4, digest), NUMI_OK);
    EXPECT_EQ(numi_books_hash(books, wire_ids, 5, other), NUMI_OK);
    EXPECT(memcmp(digest, other, sizeof digest) == 0);
    numi_books_close(books);
}

/* ---- What was refused. */

TEST(the_last_rejects_are_kept) {
    struct numi_books *books = open_usual();
    struct numi_book_reject rejects[NUMI_BOOK_REJECT_MAX + 1];
    for (uint64_t i = 1; i <= 200; i++) {
        put_delete(i);
        int kept = i < NUMI_BOOK_REJECT_MAX ? (int)i : NUMI_BOOK_REJECT_MAX;
        EXPECT_EQ(numi_books_step(books, &events[i - 1], 1, NULL), 1);
        EXPECT_EQ(numi_books_rejects(books, rejects, NUMI_BOOK_REJECT_MAX + 1), kept);
        EXPECT_EQ(rejects[0].order, i - (uint64_t)kept + 1);
        EXPECT_EQ(rejects[kept - 1].order, i);
        EXPECT_EQ(rejects[kept - 1].sequence, i);
        EXPECT_EQ(rejects[kept - 1].kind, 'D');
        EXPECT_EQ(numi_books_rejects(books, rejects, 1), 1);
        EXPECT_EQ(rejects[0].order, i - (uint64_t)kept + 1);
    }
    EXPECT_EQ(numi_books_rejects(books, NULL, 0), 0);
    numi_books_close(books);
}

TEST(every_message_is_counted_once) {
    struct numi_books *books = open_usual();
    for (uint32_t kind = 0; kind < 256; kind++)
        put((struct numi_event){.kind = (uint8_t)kind, .order = kind, .quantity = 1, .price = 1});
    run(books);
    const struct numi_books_counts *counts = numi_books_counts(books);
    EXPECT_EQ(counts->messages, 256);
    EXPECT_EQ(counts->applied, 2); /* A and F */
    EXPECT_EQ(counts->gaps, 1);
    EXPECT_EQ(counts->rejects[NUMI_BOOK_UNKNOWN_ORDER], 5); /* E C X D U */
    EXPECT_EQ(counts->ignored, 256 - 2 - 1 - 5);
    expect_live(books, 2, 1);
    numi_books_close(books);
}

TEST(reasons_have_their_words) {
    EXPECT_TEXT(numi_book_reason_name(NUMI_BOOK_OK), "ok");
    EXPECT_TEXT(numi_book_reason_name(NUMI_BOOK_UNKNOWN_INSTRUMENT), "unknown_instrument");
    EXPECT_TEXT(numi_book_reason_name(NUMI_BOOK_OVERFLOW), "overflow");
    EXPECT_TEXT(numi_book_reason_name(NUMI_BOOK_REASON_COUNT), "unknown");
    EXPECT_TEXT(numi_book_reason_name(UINT32_MAX), "unknown");
}

CHECK_MAIN
