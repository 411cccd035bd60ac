/* Books the naive way, for fuzz_book.c: all orders of all instruments in one array, in the order in
 * which they joined their queues, and every question is a walk over it. */
#ifndef NUMI_TESTS_NAIVE_BOOK_H
#define NUMI_TESTS_NAIVE_BOOK_H

#include "fuzz.h"

#include "feed/book.h"

enum { NAIVE_MAX = 256 };

struct naive_order {
    uint64_t id, quantity;
    int64_t price;
    uint32_t instrument;
    uint8_t side;
};

/* A level, or all that is known of it. */
struct naive_level {
    bool is_there;
    int64_t price;
    uint64_t quantity, count;
};

struct naive {
    struct naive_order orders[NAIVE_MAX];
    uint32_t count;
    bool is_full; /* more would rest than there is room for: from here on nothing is known */
    bool consumes_trades;
    struct numi_books_counts counts;
    struct numi_book_reject rejects[NUMI_BOOK_REJECT_MAX]; /* the last ones, by number */
    uint32_t reject_count;
    bool knows_best;
    struct numi_book_best best; /* as the last event left it: of its instrument */
};

static inline bool naive_is_better(uint8_t side, int64_t price, int64_t other) {
    return side == NUMI_SIDE_BID ? price > other : price < other;
}

static inline struct naive_order *naive_find(struct naive *naive, uint64_t id) {
    for (uint32_t i = 0; i < naive->count; i++)
        if (naive->orders[i].id == id)
            return &naive->orders[i];
    return NULL;
}

static inline bool naive_is_at(const struct naive_order *order, uint32_t instrument, uint8_t side,
                               int64_t price) {
    return order->instrument == instrument && order->side == side && order->price == price;
}

static inline struct naive_level naive_level(const struct naive *naive, uint32_t instrument,
                                             uint8_t side, int64_t price) {
    struct naive_level level = {.price = price};
    for (uint32_t i = 0; i < naive->count; i++)
        if (naive_is_at(&naive->orders[i], instrument, side, price)) {
            level.is_there = true;
            level.quantity += naive->orders[i].quantity;
            level.count++;
        }
    return level;
}

/* The next level behind `from`, the best one without. */
static inline struct naive_level naive_behind(const struct naive *naive, uint32_t instrument,
                                              uint8_t side, const int64_t *from) {
    struct naive_level best = {0};
    for (uint32_t i = 0; i < naive->count; i++) {
        const struct naive_order *order = &naive->orders[i];
        if (order->instrument != instrument || order->side != side ||
            (from != NULL && !naive_is_better(side, *from, order->price)))
            continue;
        if (!best.is_there || naive_is_better(side, order->price, best.price))
            best = (struct naive_level){.is_there = true, .price = order->price};
        if (order->price == best.price) {
            best.quantity += order->quantity;
            best.count++;
        }
    }
    return best;
}

static inline void naive_best(const struct naive *naive, uint32_t instrument,
                              struct numi_book_best *best) {
    struct naive_level bid = naive_behind(naive, instrument, NUMI_SIDE_BID, NULL);
    struct naive_level ask = naive_behind(naive, instrument, NUMI_SIDE_ASK, NULL);
    *best = (struct numi_book_best){.instrument = instrument};
    best->bid = bid.price;
    best->bid_quantity = bid.quantity;
    best->ask = ask.price;
    best->ask_quantity = ask.quantity;
    best->flags = bid.is_there ? NUMI_BOOK_HAS_BID : 0;
    best->flags |= ask.is_there ? NUMI_BOOK_HAS_ASK : 0;
    if (bid.is_there && ask.is_there && bid.price >= ask.price)
        best->flags |= bid.price > ask.price ? NUMI_BOOK_CROSSED : NUMI_BOOK_LOCKED;
}

/* ---- What events do. */

static inline void naive_remove(struct naive *naive, struct naive_order *order) {
    size_t behind = (size_t)(naive->orders + naive->count - (order + 1));
    memmove(order, order + 1, behind * sizeof *order);
    naive->count--;
}

static inline void naive_append(struct naive *naive, const struct naive_order *order) {
    if (naive->count == NAIVE_MAX)
        naive->is_full = true;
    else
        naive->orders[naive->count++] = *order;
}

static inline bool naive_is_no_price(int64_t price) {
    return price == INT64_MIN || price == INT64_MAX;
}

static inline bool naive_overflows(uint64_t total, uint64_t quantity) {
    return total + quantity < total;
}

static inline uint32_t naive_add(struct naive *naive, const struct numi_event *event) {
    if (event->instrument >= NUMI_BOOK_INSTRUMENT_MAX)
        return NUMI_BOOK_UNKNOWN_INSTRUMENT;
    if (event->side != NUMI_SIDE_BID && event->side != NUMI_SIDE_ASK)
        return NUMI_BOOK_BAD_SIDE;
    if (event->quantity == 0)
        return NUMI_BOOK_ZERO_QUANTITY;
    if (naive_is_no_price(event->price))
        return NUMI_BOOK_BAD_PRICE;
    if (naive_find(naive, event->order) != NULL)
        return NUMI_BOOK_DUPLICATE_ORDER;
    struct naive_level level = naive_level(naive, event->instrument, event->side, event->price);
    if (naive_overflows(level.quantity, event->quantity))
        return NUMI_BOOK_OVERFLOW;
    naive_append(naive, &(struct naive_order){event->order, event->quantity, event->price,
                                              event->instrument, event->side});
    return NUMI_BOOK_OK;
}

static inline uint32_t naive_take(struct naive *naive, const struct numi_event *event, bool all) {
    struct naive_order *order = naive_find(naive, event->order);
    if (order == NULL)
        return NUMI_BOOK_UNKNOWN_ORDER;
    if (order->instrument != event->instrument)
        return NUMI_BOOK_WRONG_INSTRUMENT;
    if (!all && event->quantity > order->quantity)
        return NUMI_BOOK_EXCESS_QUANTITY;
    order->quantity -= all ? order->quantity : event->quantity;
    if (order->quantity == 0)
        naive_remove(naive, order);
    return NUMI_BOOK_OK;
}

static inline uint32_t naive_replace(struct naive *naive, const struct numi_event *event) {
    if (event->quantity == 0)
        return NUMI_BOOK_ZERO_QUANTITY;
    if (naive_is_no_price(event->price))
        return NUMI_BOOK_BAD_PRICE;
    struct naive_order *old = naive_find(naive, event->order);
    if (old == NULL)
        return NUMI_BOOK_UNKNOWN_ORDER;
    if (old->instrument != event->instrument)
        return NUMI_BOOK_WRONG_INSTRUMENT;
    if (event->aux != event->order && naive_find(naive, event->aux) != NULL)
        return NUMI_BOOK_DUPLICATE_ORDER;
    struct naive_order order = {event->aux, event->quantity, event->price, old->instrument,
                                old->side};
    struct naive_level level = naive_level(naive, order.instrument, order.side, order.price);
    if (order.price == old->price)
        level.quantity -= old->quantity;
    if (naive_overflows(level.quantity, order.quantity))
        return NUMI_BOOK_OVERFLOW;
    naive_remove(naive, old);
    naive_append(naive, &order);
    return NUMI_BOOK_OK;
}

/* The reason; the reasons' count where the event is of a kind that changes no book. */
static inline uint32_t naive_act(struct naive *naive, const struct numi_event *event) {
    switch (event->kind) {
    case 'A':
    case 'F':
        return naive_add(naive, event);
    case 'E':
    case 'C':
    case 'X':
        return naive_take(naive, event, false);
    case 'D':
        return naive_take(naive, event, true);
    case 'U':
        return naive_replace(naive, event);
    case 'P':
        return naive->consumes_trades ? naive_take(naive, event, false) : NUMI_BOOK_REASON_COUNT;
    default:
        return NUMI_BOOK_REASON_COUNT;
    }
}

static inline void naive_reject(struct naive *naive, const struct numi_event *event,
                                uint32_t reason) {
    naive->rejects[naive->reject_count++ % NUMI_BOOK_REJECT_MAX] = (struct numi_book_reject){
        .sequence = event->sequence,
        .order = event->order,
        .instrument = event->instrument,
        .kind = event->kind,
        .reason = (uint8_t)reason,
    };
    naive->counts.rejects[reason]++;
}

static inline void naive_count(struct naive *naive, const struct numi_event *event,
                               uint32_t reason) {
    naive->counts.messages++;
    if (reason == NUMI_BOOK_OK)
        naive->counts.applied++;
    else if (reason < NUMI_BOOK_REASON_COUNT)
        naive_reject(naive, event, reason);
    else
        *(event->kind == NUMI_EVENT_GAP ? &naive->counts.gaps : &naive->counts.ignored) += 1;
}

/* Applies one event. True where the best prices (with `sizes` also what rests there) are others
 * now, which `row` then has. */
static inline bool naive_apply(struct naive *naive, const struct numi_event *event, bool sizes,
                               struct numi_book_best *row) {
    struct numi_book_best before = naive->best;
    if (!naive->knows_best || before.instrument != event->instrument)
        naive_best(naive, event->instrument, &before);
    naive_count(naive, event, naive_act(naive, event));
    naive_best(naive, event->instrument, row);
    naive->best = *row;
    naive->knows_best = true;
    uint32_t became = row->flags & ~before.flags;
    naive->counts.crossed += (became & NUMI_BOOK_CROSSED) != 0;
    naive->counts.locked += (became & NUMI_BOOK_LOCKED) != 0;
    naive->counts.live_orders = naive->count;
    bool differs = row->flags != before.flags || row->bid != before.bid || row->ask != before.ask;
    differs |= sizes && (row->bid_quantity != before.bid_quantity ||
                         row->ask_quantity != before.ask_quantity);
    row->sequence = event->sequence;
    row->exchange_ns = event->exchange_ns;
    row->rx_ns = event->rx_ns;
    return differs;
}

#endif
