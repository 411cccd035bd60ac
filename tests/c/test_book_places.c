/* Books: where levels, orders and ids lie, however they come and go. */
#include "book_events.h"

/* ---- Long ladders. */

/* Prices that lie apart irregularly: some dense, some with holes of any width. */
static void make_prices(int64_t *prices, uint32_t count) {
    int64_t price = -(int64_t)check_below(1 << 20);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t kind = check_below(16);
        price += 1 + (kind < 10   ? 0
                      : kind < 15 ? (int64_t)check_below(100)
                                  : (int64_t)check_below(1ull << check_below(40)));
        prices[i] = price;
    }
}

static void shuffle(int64_t *prices, uint32_t count) {
    for (uint32_t i = count - 1; i > 0; i--) {
        uint64_t other = check_below(i + 1);
        int64_t kept = prices[i];
        prices[i] = prices[other];
        prices[other] = kept;
    }
}

/* `prices` rise, each with an order of its own; what the whole side must be. */
static void expect_ladder(const struct numi_books *books, uint8_t side, const int64_t *prices,
                          uint32_t count) {
    static struct numi_book_level levels[20000];
    NEED(count <= sizeof levels / sizeof levels[0]);
    EXPECT_EQ(numi_books_depth(books, 0, side), count);
    EXPECT_EQ(numi_books_top(books, 0, side, levels, UINT32_MAX), count);
    for (uint32_t i = 0; i < count; i++) {
        int64_t price = side == BID ? prices[count - 1 - i] : prices[i];
        EXPECT_EQ(levels[i].price, price);
        expect_level(books, side, price, 1, 1);
    }
    if (count == 0)
        return;
    struct numi_book_best best;
    numi_books_best(books, 0, &best);
    EXPECT_EQ(side == BID ? best.bid : best.ask, levels[0].price);
}

static uint64_t id_of_price(int64_t price) {
    return (uint64_t)price * 3;
}

enum { LADDER = 10000 };

/* Opened in one order and closed in another; half of it is looked at in between. */
static void walk_ladder(uint8_t side, const int64_t *sorted, const int64_t *opened,
                        const int64_t *closed) {
    struct numi_books *books = open_books(1 << 14, 10);
    for (uint32_t i = 0; i < LADDER; i++)
        put_add(id_of_price(opened[i]), side, opened[i], 1);
    run(books);
    expect_ladder(books, side, sorted, LADDER);
    expect_level(books, side, sorted[0] - 1, 0, 0);
    expect_level(books, side, sorted[LADDER - 1] + 1, 0, 0);
    expect_level(books, side, INT64_MIN, 0, 0);
    expect_level(books, side, INT64_MAX, 0, 0);
    for (uint32_t i = 0; i < LADDER / 2; i++)
        put_delete(id_of_price(closed[i]));
    run(books);
    for (uint32_t i = 0; i < LADDER; i++)
        expect_level(books, side, closed[i], i >= LADDER / 2, i >= LADDER / 2);
    for (uint32_t i = LADDER / 2; i < LADDER; i++)
        put_delete(id_of_price(closed[i]));
    run(books);
    expect_live(books, 0, 0);
    expect_ladder(books, side, sorted, 0);
    expect_no_rejects(books);
    numi_books_close(books);
}

TEST(ladders_of_ten_thousand_levels) {
    static int64_t rising[LADDER], falling[LADDER], mixed[LADDER];
    const int64_t *ways[] = {rising, falling, mixed};
    make_prices(rising, LADDER);
    for (uint32_t i = 0; i < LADDER; i++)
        falling[i] = rising[LADDER - 1 - i];
    memcpy(mixed, rising, sizeof mixed);
    shuffle(mixed, LADDER);
    for (int i = 0; i < 9; i++)
        for (uint8_t side = BID; side <= ASK; side++)
            walk_ladder(side, rising, ways[i / 3], ways[i % 3]);
}

/* Both ladders of several books at once: places of the ladders are given back and taken. */
TEST(ladders_grow_beside_each_other) {
    enum { BOOKS = 7, EACH = 1500 };
    struct numi_books *books = open_usual();
    for (uint64_t i = 0; i < BOOKS * EACH; i++) {
        put_add(i, i % 2, (int64_t)(i * 7919 % (BOOKS * EACH)), 1);
        events[event_count - 1].instrument = (uint32_t)(i * i % BOOKS);
    }
    run(books);
    expect_live(books, BOOKS * EACH, BOOKS * EACH);
    for (uint64_t i = 0; i < BOOKS * EACH; i++) {
        put_replace(i, i + 100000, (int64_t)(i * 104729 % (BOOKS * EACH)), 1);
        events[event_count - 1].instrument = (uint32_t)(i * i % BOOKS);
    }
    run(books);
    EXPECT_EQ(numi_books_counts(books)->live_orders, BOOKS * EACH);
    expect_no_rejects(books);
    numi_books_close(books);
}

/* ---- Queues. */

enum { QUEUE_MAX = 64, AT = 5000 };

/* A queue as it should be, the first to be served first. */
struct queue {
    uint64_t ids[QUEUE_MAX];
    uint64_t quantities[QUEUE_MAX];
    uint32_t count;
};

static void queue_remove(struct queue *queue, uint32_t place) {
    queue->count--;
    for (uint32_t i = place; i < queue->count; i++) {
        queue->ids[i] = queue->ids[i + 1];
        queue->quantities[i] = queue->quantities[i + 1];
    }
}

static void queue_append(struct queue *queue, uint64_t id, uint64_t quantity) {
    NEED(queue->count < QUEUE_MAX);
    queue->ids[queue->count] = id;
    queue->quantities[queue->count++] = quantity;
}

static void expect_queue(const struct numi_books *books, const struct queue *queue) {
    struct numi_book_order rows[QUEUE_MAX + 1], order;
    uint64_t total = 0;
    EXPECT_EQ(numi_books_queue(books, 0, ASK, AT, rows, QUEUE_MAX + 1), queue->count);
    for (uint32_t i = 0; i < queue->count; i++) {
        EXPECT_EQ(rows[i].order, queue->ids[i]);
        EXPECT_EQ(rows[i].quantity, queue->quantities[i]);
        EXPECT_EQ(rows[i].position, i);
        EXPECT_EQ(rows[i].price, AT);
        EXPECT_EQ(rows[i].side, ASK);
        EXPECT_EQ(numi_books_order(books, queue->ids[i], &order), 1);
        EXPECT(memcmp(&order, &rows[i], sizeof order) == 0);
        total += queue->quantities[i];
    }
    expect_level(books, ASK, AT, total, queue->count);
}

static void run_queue(struct numi_books *books, const struct queue *queue) {
    run(books);
    expect_queue(books, queue);
}

/* Which of `count` leaves: the front, the back, the middle, or any. */
static uint32_t leaving(uint32_t way, uint32_t count) {
    uint32_t places[] = {0, count - 1, count / 2, (uint32_t)check_below(count)};
    return places[way];
}

TEST(queues_over_eight_and_down_through_four) {
    struct numi_books *books = open_usual();
    struct queue queue = {.count = 0};
    uint64_t id = 0;
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t most = 9 + round % 10, least = round % 6;
        while (queue.count < most) {
            id++;
            put_add(id, ASK, AT, id);
            queue_append(&queue, id, id);
            run_queue(books, &queue);
        }
        while (queue.count > least) {
            uint32_t place = leaving(round % 4, queue.count);
            put_delete(queue.ids[place]);
            queue_remove(&queue, place);
            run_queue(books, &queue);
        }
    }
    expect_no_rejects(books);
    numi_books_close(books);
}

static void put_kind(uint8_t kind, uint64_t id, uint64_t quantity) {
    put((struct numi_event){.kind = kind, .order = id, .quantity = quantity});
}

/* One message of any kind to the queue. */
static void disturb(struct queue *queue, uint64_t *last_id) {
    uint32_t place = queue->count > 0 ? (uint32_t)check_below(queue->count) : 0;
    uint64_t *quantity = &queue->quantities[place], id = queue->ids[place];
    switch (queue->count == 0 ? 9 : check_below(queue->count < 20 ? 10 : 4)) {
    case 0:
        put_delete(id);
        queue_remove(queue, place);
        break;
    case 1:
        put_kind('E', id, *quantity);
        queue_remove(queue, place);
        break;
    case 2: /* keeps its place */
        put_kind("ECX"[check_below(3)], id, *quantity / 2);
        *quantity -= *quantity / 2;
        break;
    case 3: /* goes to the back, its own id or another */
        queue_remove(queue, place);
        queue_append(queue, check_below(2) ? id : ++*last_id, 50);
        put_replace(id, queue->ids[queue->count - 1], AT, 50);
        break;
    default:
        put_add(++*last_id, ASK, AT, 40);
        queue_append(queue, *last_id, 40);
    }
}

TEST(queues_under_messages_of_all_kinds) {
    struct numi_books *books = open_books(64, 7);
    struct queue queue = {.count = 0};
    uint64_t last_id = 1ull << 40;
    for (uint32_t i = 0; i < 4000; i++) {
        disturb(&queue, &last_id);
        run_queue(books, &queue);
    }
    numi_books_close(books);
}

TEST(a_queue_into_less_room) {
    struct numi_books *books = open_usual();
    struct numi_book_order rows[4] = {{0}};
    for (uint64_t id = 0; id < 20; id++)
        put_add(id, BID, 5, 1);
    run(books);
    EXPECT_EQ(numi_books_queue(books, 0, BID, 5, rows, 3), 20);
    EXPECT_EQ(rows[2].order, 2);
    EXPECT_EQ(rows[3].quantity, 0);
    EXPECT_EQ(numi_books_queue(books, 0, BID, 5, NULL, 0), 20);
    numi_books_close(books);
}

TEST(a_level_holds_64_bits) {
    struct numi_books *books = open_usual();
    put_add(1, BID, 5, UINT64_MAX - 10);
    put_add(2, BID, 5, 10);
    run(books);
    expect_level(books, BID, 5, UINT64_MAX, 2);
    put_add(3, BID, 5, 1);
    run(books);
    expect_refused(books, NUMI_BOOK_OVERFLOW, 1);
    put_add(3, BID, 6, UINT64_MAX);
    put_replace(3, 4, 5, 1);
    run(books);
    expect_refused(books, NUMI_BOOK_OVERFLOW, 2);
    put_replace(1, 1, 5, UINT64_MAX - 9); /* ten and that: one too many */
    run(books);
    expect_refused(books, NUMI_BOOK_OVERFLOW, 3);
    put_replace(2, 2, 5, 9); /* its own place makes room */
    put_add(5, BID, 5, 1);
    run(books);
    expect_level(books, BID, 5, UINT64_MAX, 3);
    expect_level(books, BID, 6, UINT64_MAX, 1);
    numi_books_close(books);
}

/* ---- Ids. */

enum { LIVE_MAX = 4096 };

/* Which ids rest, at price 1 of the bids. */
struct ids {
    uint64_t live[LIVE_MAX], gone[LIVE_MAX];
    uint32_t live_count, gone_count;
};

static void ids_add(struct ids *ids, uint64_t id) {
    NEED(ids->live_count < LIVE_MAX);
    put_add(id, BID, 1 + (int64_t)(id % 7), 1);
    ids->live[ids->live_count++] = id;
}

static void ids_delete(struct ids *ids, uint32_t place) {
    uint64_t id = ids->live[place];
    put_delete(id);
    ids->live[place] = ids->live[--ids->live_count];
    ids->gone[ids->gone_count++ % LIVE_MAX] = id;
}

static bool ids_has(const struct ids *ids, uint64_t id) {
    for (uint32_t i = 0; i < ids->live_count; i++)
        if (ids->live[i] == id)
            return true;
    return false;
}

static void expect_ids(struct numi_books *books, const struct ids *ids) {
    struct numi_book_order order;
    run(books);
    EXPECT_EQ(numi_books_counts(books)->live_orders, ids->live_count);
    for (uint32_t i = 0; i < ids->live_count; i++) {
        EXPECT_EQ(numi_books_order(books, ids->live[i], &order), 1);
        EXPECT_EQ(order.order, ids->live[i]);
    }
    for (uint32_t i = 0; i < ids->gone_count && i < LIVE_MAX; i++)
        EXPECT_EQ(numi_books_order(books, ids->gone[i], &order), ids_has(ids, ids->gone[i]));
    expect_no_rejects(books);
}

static void ids_close(struct numi_books *books, struct ids *ids) {
    while (ids->live_count > 0)
        ids_delete(ids, (uint32_t)check_below(ids->live_count));
    expect_ids(books, ids);
    expect_live(books, 0, 0);
    numi_books_close(books);
}

/* Ids rise by steps of 1 to `step_max`; of `most` that rest, some stay very long. */
static void march(struct numi_books *books, struct ids *ids, uint64_t *id, uint64_t count,
                  uint64_t step_max, uint32_t most) {
    for (uint64_t i = 0; i < count; i++, *id += 1 + check_below(step_max)) {
        if (ids->live_count >= most)
            ids_delete(ids, (uint32_t)(most / 4 + check_below(most - most / 4)));
        ids_add(ids, *id);
        if (i % 20000 == 0)
            expect_ids(books, ids);
    }
    expect_ids(books, ids);
}

TEST(the_window_moves_with_rising_ids) {
    static const uint32_t mosts[] = {4, 100, 1500};
    for (size_t i = 0; i < sizeof mosts / sizeof mosts[0]; i++) {
        static struct ids ids;
        struct numi_books *books = open_books(2000, 7);
        uint64_t id = 1;
        memset(&ids, 0, sizeof ids);
        march(books, &ids, &id, 100000, 3, mosts[i]);
        ids_close(books, &ids);
    }
}

/* Steps of up to what the window follows, and one beyond. */
TEST(the_window_follows_leaps) {
    static const uint64_t steps[] = {63, 64, 65, 4095, 4096, 4097, 1ull << 33};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        static struct ids ids;
        struct numi_books *books = open_books(1 << 12, 7 + i % 3);
        uint64_t id = 12345;
        memset(&ids, 0, sizeof ids);
        march(books, &ids, &id, 8000, steps[i], 300);
        ids_close(books, &ids);
    }
}

TEST(ids_near_the_greatest) {
    for (uint32_t bits = 7; bits <= 12; bits++) {
        static struct ids ids;
        struct numi_books *books = open_books(1 << 14, bits);
        memset(&ids, 0, sizeof ids);
        for (uint64_t i = 3000; i > 0; i--) {
            ids_add(&ids, 0 - i);
            if (i % 3 == 0)
                ids_delete(&ids, (uint32_t)check_below(ids.live_count));
        }
        expect_ids(books, &ids);
        for (uint64_t i = 0; i < 1500; i++) /* around the end, and from the start */
            ids_add(&ids, i);
        expect_ids(books, &ids);
        EXPECT_EQ(numi_books_reserve(books, 0, 100), NUMI_OK);
        expect_ids(books, &ids);
        ids_add(&ids, 1500);
        ids_delete(&ids, 0);
        ids_close(books, &ids);
    }
}

TEST(ids_of_64_random_bits) {
    static struct ids ids;
    struct numi_books *books = open_books(1 << 13, 7);
    memset(&ids, 0, sizeof ids);
    for (uint32_t i = 0; i < 60000; i++) {
        if (ids.live_count == LIVE_MAX || (ids.live_count > 0 && check_below(3) == 0))
            ids_delete(&ids, (uint32_t)check_below(ids.live_count));
        else
            ids_add(&ids, check_random());
        if (i % 10000 == 0)
            expect_ids(books, &ids);
    }
    ids_close(books, &ids);
}

/* A feed that begins anew counts from 1 again, with old orders at rest. */
TEST(ids_that_restart_low_take_the_window_down) {
    static const uint64_t starts[] = {1000000, 1ull << 40, UINT64_MAX - 10000};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        static struct ids ids;
        struct numi_books *books = open_books(1 << 13, 7 + 2 * i);
        uint64_t high = starts[i], low = 1;
        memset(&ids, 0, sizeof ids);
        march(books, &ids, &high, 3000, 2, 500);
        for (int round = 0; round < 3; round++) {
            march(books, &ids, &low, 1200, 1, 2000);
            EXPECT_EQ(numi_books_reserve(books, 0, 1), NUMI_OK);
            expect_ids(books, &ids);
            march(books, &ids, &low, 1500, 2, 2000);
            march(books, &ids, &high, 1200, 1, 3500);
            EXPECT_EQ(numi_books_reserve(books, 0, 1), NUMI_OK);
            march(books, &ids, &high, 200, 1, 3500);
        }
        ids_close(books, &ids);
    }
}

/* An id may come back, whether it was in the window or in the table. */
TEST(ids_that_come_back) {
    static struct ids ids;
    struct numi_books *books = open_books(1 << 12, 7);
    memset(&ids, 0, sizeof ids);
    for (uint32_t round = 0; round < 200; round++) {
        for (uint64_t i = 0; i < 100; i++)
            ids_add(&ids, i * (1 + round % 5) + (i % 10 == 0 ? 1 << 20 : 0));
        while (ids.live_count > 0)
            ids_delete(&ids, (uint32_t)check_below(ids.live_count));
        expect_ids(books, &ids);
    }
    ids_close(books, &ids);
}

TEST(an_order_may_keep_its_id) {
    static const uint64_t chosen[] = {0, 1, 63, 64, 4096, 1ull << 50, UINT64_MAX};
    enum { COUNT = sizeof chosen / sizeof chosen[0] };
    struct numi_books *books = open_books(COUNT, 7);
    for (uint64_t i = 0; i < COUNT; i++)
        put_add(chosen[i], BID, 9, 1);
    for (int64_t round = 0; round < 50; round++)
        for (uint64_t i = 0; i < COUNT; i++)
            put_replace(chosen[i], chosen[i], 9 + round % 3, 1);
    run(books);
    expect_live(books, COUNT, 1);
    expect_no_rejects(books);
    for (uint64_t i = 0; i < COUNT; i++) {
        put_replace(chosen[i], chosen[(i + 1) % COUNT], 9, 1); /* which rests */
        put_delete(chosen[i] + 7);
    }
    run(books);
    EXPECT_EQ(numi_books_counts(books)->rejects[NUMI_BOOK_DUPLICATE_ORDER], COUNT);
    EXPECT_EQ(numi_books_counts(books)->rejects[NUMI_BOOK_UNKNOWN_ORDER], COUNT);
    numi_books_close(books);
}

CHECK_MAIN
