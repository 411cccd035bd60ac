#include "feed/book.h"

#include "base/check.h"
#include "base/guard.h"
#include "feed/book_private.h"

/* Beside the reasons. */
enum { STOP = NUMI_BOOK_REASON_COUNT };

/* Inlined whatever its size: the path of a message is one function. */
#define ALWAYS_INLINE __attribute__((always_inline)) static inline

/* ---- Crossed, locked or neither: settled where levels come and go, which alone changes it. */

static uint8_t state_of(const struct numi_book *book) {
    const struct numi_ladder *bids = &book->sides[NUMI_SIDE_BID];
    const struct numi_ladder *asks = &book->sides[NUMI_SIDE_ASK];
    if (bids->best == 0 || asks->best == 0)
        return 0;
    int64_t bid = bids->best_key, ask = ~asks->best_key;
    if (bid == ask)
        return NUMI_BOOK_LOCKED;
    return bid > ask ? NUMI_BOOK_CROSSED : 0;
}

static void settle_state(struct numi_books *books, struct numi_book *book) {
    uint8_t state = state_of(book), *known = &book->sides[NUMI_SIDE_BID].state;
    if (NUMI_LIKELY(state == *known))
        return;
    books->counts.crossed += state == NUMI_BOOK_CROSSED;
    books->counts.locked += state == NUMI_BOOK_LOCKED;
    *known = state;
}

/* ---- Levels come and go, one message in five. */

/* The number of a level for a price that has none; 0 without room for it: what is missing is kept
 * for numi_books_reserve. */
__attribute__((noinline)) static uint32_t open_level(struct numi_books *books, uint32_t book_side,
                                                     int64_t key) {
    struct numi_slab *slab = &books->level_slab;
    struct numi_ladder *ladder = numi_ladder_of(books, book_side);
    uint32_t slot = numi_ladder_slot(ladder, key);
    bool has_number = slab->free != 0 || slab->used < slab->room;
    if (NUMI_UNLIKELY(!has_number || !numi_ladder_has_room(&books->ladders, ladder, slot))) {
        books->stopped_at = ladder;
        return 0;
    }
    uint32_t number = numi_slab_take(slab, books->levels[slab->free].next_free);
    books->levels[number] = (struct numi_level){.key = key, .book_side = book_side};
    if (numi_ladder_insert(&books->ladders, ladder, slot, book_side & 1, key, number))
        settle_state(books, &books->books[book_side >> 1]);
    books->counts.live_levels++;
    return number;
}

__attribute__((noinline)) static void close_level(struct numi_books *books, uint32_t number) {
    struct numi_level *level = &books->levels[number];
    struct numi_ladder *ladder = numi_ladder_of(books, level->book_side);
    if (numi_ladder_remove(&books->ladders, ladder, numi_level_side(level), level->key))
        settle_state(books, &books->books[numi_level_instrument(level)]);
    level->next_free = books->level_slab.free;
    books->level_slab.free = number;
    books->counts.live_levels--;
}

/* ---- Orders. */

/* `keeps_level`: another order takes its place at once. */
ALWAYS_INLINE void remove_order(struct numi_books *books, uint64_t id, uint32_t number,
                                bool keeps_level) {
    struct numi_resting *orders = &books->orders;
    uint32_t level_number = orders->at[number].level;
    struct numi_level *level = &books->levels[level_number];
    level->quantity -= orders->at[number].quantity;
    numi_level_leave(level, orders->links, number);
    if (level->count == 0 && !keeps_level && !NUMI_PLANTED(EMPTY_LEVEL))
        close_level(books, level_number);
    numi_resting_remove(orders, id, number);
    books->counts.live_orders--;
}

ALWAYS_INLINE void rest_order(struct numi_books *books, uint32_t level_number, uint64_t id,
                              uint32_t number, uint64_t quantity) {
    struct numi_resting *orders = &books->orders;
    struct numi_level *level = &books->levels[level_number];
    orders->at[number] =
        (struct numi_order){.quantity = quantity, .level = level_number, .id_low = (uint32_t)id};
    level->quantity += quantity;
    numi_level_push(level, orders->links, number);
    books->counts.live_orders++;
}

/* Whether a level's total would pass 64 bits. */
static inline bool overflows(const struct numi_books *books, uint32_t level, uint64_t leaving,
                             uint64_t quantity) {
    return books->levels[level].quantity - leaving > UINT64_MAX - quantity;
}

/* ---- Events. */

static inline bool is_price(int64_t price) {
    return price != INT64_MIN && price != INT64_MAX;
}

static inline uint32_t check_add(const struct numi_event *event) {
    if (NUMI_UNLIKELY(event->side > NUMI_SIDE_ASK))
        return NUMI_BOOK_BAD_SIDE;
    if (NUMI_UNLIKELY(event->quantity == 0))
        return NUMI_BOOK_ZERO_QUANTITY;
    return NUMI_LIKELY(is_price(event->price)) ? NUMI_BOOK_OK : NUMI_BOOK_BAD_PRICE;
}

/* An id that is not young, or while some have leapt ahead of the window. */
__attribute__((noinline)) static uint32_t check_old_id(struct numi_books *books, uint64_t id) {
    if (numi_resting_find(&books->orders, id) != 0)
        return NUMI_BOOK_DUPLICATE_ORDER;
    return numi_resting_has_room(&books->orders, id) ? NUMI_BOOK_OK : STOP;
}

ALWAYS_INLINE uint32_t check_id(struct numi_books *books, uint64_t id) {
    if (NUMI_UNLIKELY(!numi_resting_is_plain(&books->orders, id)))
        return check_old_id(books, id);
    const struct numi_order *order = &books->orders.at[numi_window_number(&books->orders, id)];
    return NUMI_LIKELY(order->quantity == 0) ? NUMI_BOOK_OK : NUMI_BOOK_DUPLICATE_ORDER;
}

/* There is no book for it yet, or never. */
__attribute__((cold)) static uint32_t lack_book(struct numi_books *books,
                                                const struct numi_event *event) {
    if (event->instrument >= NUMI_BOOK_INSTRUMENT_MAX)
        return NUMI_BOOK_UNKNOWN_INSTRUMENT;
    uint32_t reason = check_add(event);
    if (reason == NUMI_BOOK_OK)
        reason = check_id(books, event->order);
    if (reason == NUMI_BOOK_OK)
        books->stopped_for = event->instrument + 1ull;
    return reason == NUMI_BOOK_OK ? STOP : reason;
}

__attribute__((cold)) static uint32_t lack_order(struct numi_books *books) {
    books->lacks_order = true;
    return STOP;
}

/* `hint` is a number that looking ahead found, which may be another level's by now; 0: none. */
static inline uint32_t find_level(const struct numi_books *books, uint32_t book_side, int64_t key,
                                  uint32_t hint) {
    const struct numi_level *level = &books->levels[hint];
    if (hint != 0 && ((level->key == key) & (level->book_side == book_side) & (level->count != 0)))
        return hint;
    return numi_ladder_find(&books->ladders, numi_ladder_of(books, book_side), key);
}

ALWAYS_INLINE uint32_t add(struct numi_books *books, const struct numi_event *event,
                           uint32_t hint) {
    if (NUMI_UNLIKELY(event->instrument >= books->book_room))
        return lack_book(books, event);
    uint32_t reason = check_add(event);
    if (NUMI_LIKELY(reason == NUMI_BOOK_OK))
        reason = check_id(books, event->order);
    if (NUMI_UNLIKELY(reason != NUMI_BOOK_OK))
        return reason;
    uint32_t book_side = event->instrument * 2 + event->side;
    int64_t key = numi_key_of(event->side, event->price);
    uint32_t level = find_level(books, book_side, key, hint);
    if (NUMI_UNLIKELY(books->counts.live_orders >= books->options.order_max))
        return lack_order(books);
    if (NUMI_UNLIKELY(overflows(books, level, 0, event->quantity)))
        return NUMI_BOOK_OVERFLOW;
    if (level == 0 && NUMI_UNLIKELY((level = open_level(books, book_side, key)) == 0))
        return STOP;
    uint32_t number = numi_resting_insert(&books->orders, event->order);
    rest_order(books, level, event->order, number, event->quantity);
    return NUMI_BOOK_OK;
}

/* The order that an event names, or why it cannot be meant. */
ALWAYS_INLINE uint32_t find_named(struct numi_books *books, const struct numi_event *event,
                                  uint32_t *number) {
    *number = numi_resting_find(&books->orders, event->order);
    if (NUMI_UNLIKELY(*number == 0))
        return NUMI_BOOK_UNKNOWN_ORDER;
    const struct numi_level *level = &books->levels[books->orders.at[*number].level];
    return NUMI_LIKELY(numi_level_instrument(level) == event->instrument)
               ? NUMI_BOOK_OK
               : NUMI_BOOK_WRONG_INSTRUMENT;
}

/* Takes from an order; a delete takes all of it. One path for both: which of them comes next no
 * predictor knows. */
ALWAYS_INLINE uint32_t take(struct numi_books *books, const struct numi_event *event, bool all) {
    uint32_t number, reason = find_named(books, event, &number);
    if (NUMI_UNLIKELY(reason != NUMI_BOOK_OK))
        return reason;
    struct numi_order *order = &books->orders.at[number];
    /* Not `?:`, of which gcc makes a branch. */
    uint64_t mask = -(uint64_t)all, taken = (order->quantity & mask) | (event->quantity & ~mask);
    if (taken == order->quantity) {
        remove_order(books, event->order, number, false);
        return NUMI_BOOK_OK;
    }
    if (NUMI_UNLIKELY(taken > order->quantity))
        return NUMI_BOOK_EXCESS_QUANTITY;
    order->quantity -= taken;
    books->levels[order->level].quantity -= taken;
    return NUMI_BOOK_OK;
}

static uint32_t check_replace(struct numi_books *books, const struct numi_event *event,
                              uint32_t *number) {
    if (NUMI_UNLIKELY(event->quantity == 0))
        return NUMI_BOOK_ZERO_QUANTITY;
    if (NUMI_UNLIKELY(!is_price(event->price)))
        return NUMI_BOOK_BAD_PRICE;
    uint32_t reason = find_named(books, event, number);
    if (NUMI_LIKELY(reason == NUMI_BOOK_OK) && event->aux != event->order &&
        NUMI_UNLIKELY(numi_resting_find(&books->orders, event->aux) != 0))
        return NUMI_BOOK_DUPLICATE_ORDER;
    return reason;
}

/* The planted fault: the order keeps its place. */
static bool keeps_place(struct numi_books *books, const struct numi_event *event,
                        struct numi_order *order, int64_t key) {
    struct numi_level *level = &books->levels[order->level];
    if (!NUMI_PLANTED(REPLACE_PRIORITY) || level->key != key || event->aux != event->order)
        return false;
    level->quantity += event->quantity - order->quantity;
    order->quantity = event->quantity;
    return true;
}

__attribute__((noinline)) static uint32_t replace(struct numi_books *books,
                                                  const struct numi_event *event, uint32_t hint) {
    uint32_t number, reason = check_replace(books, event, &number);
    if (NUMI_UNLIKELY(reason != NUMI_BOOK_OK))
        return reason;
    struct numi_order *order = &books->orders.at[number];
    uint32_t book_side = books->levels[order->level].book_side;
    int64_t key = numi_key_of(book_side & 1, event->price);
    uint32_t level = find_level(books, book_side, key, hint);
    bool is_same = level == order->level;
    if (NUMI_UNLIKELY(!numi_resting_has_room(&books->orders, event->aux)))
        return STOP;
    if (NUMI_UNLIKELY(overflows(books, level, is_same ? order->quantity : 0, event->quantity)))
        return NUMI_BOOK_OVERFLOW;
    if (keeps_place(books, event, order, key))
        return NUMI_BOOK_OK;
    if (level == 0 && NUMI_UNLIKELY((level = open_level(books, book_side, key)) == 0))
        return STOP;
    remove_order(books, event->order, number, is_same);
    number = numi_resting_insert(&books->orders, event->aux);
    rest_order(books, level, event->aux, number, event->quantity);
    return NUMI_BOOK_OK;
}

ALWAYS_INLINE uint32_t act(struct numi_books *books, const struct numi_event *event,
                           uint32_t hint) {
    uint32_t action = books->actions[event->kind];
    if (action == NUMI_BOOK_ADD)
        return add(books, event, hint);
    if (NUMI_LIKELY(action == NUMI_BOOK_TAKE || action == NUMI_BOOK_DELETE))
        return take(books, event, action == NUMI_BOOK_DELETE);
    if (action == NUMI_BOOK_REPLACE)
        return replace(books, event, hint);
    *(action == NUMI_BOOK_GAP ? &books->counts.gaps : &books->counts.ignored) += 1;
    return NUMI_BOOK_OK;
}

/* ---- What follows from an event. */

__attribute__((noinline, cold)) static void
reject(struct numi_books *books, const struct numi_event *event, uint32_t reason) {
    books->counts.rejects[reason]++;
    books->rejects[books->reject_count++ % NUMI_BOOK_REJECT_MAX] = (struct numi_book_reject){
        .sequence = event->sequence,
        .order = event->order,
        .instrument = event->instrument,
        .kind = event->kind,
        .reason = (uint8_t)reason,
    };
}

void numi_book_fill_best(const struct numi_books *books, struct numi_book *book,
                         struct numi_book_best *best) {
    const struct numi_ladder *bids = &book->sides[NUMI_SIDE_BID];
    const struct numi_ladder *asks = &book->sides[NUMI_SIDE_ASK];
    const struct numi_level *levels = books->levels; /* number 0 is empty */
    uint32_t bid = numi_ladder_best(&books->ladders, &book->sides[NUMI_SIDE_BID]);
    uint32_t ask = numi_ladder_best(&books->ladders, &book->sides[NUMI_SIDE_ASK]);
    best->flags = bids->state;
    best->flags |= bids->best == 0 ? 0 : NUMI_BOOK_HAS_BID;
    best->flags |= asks->best == 0 ? 0 : NUMI_BOOK_HAS_ASK;
    best->bid = bids->best_key; /* 0 without */
    best->ask = asks->best == 0 ? 0 : ~asks->best_key;
    best->bid_quantity = levels[bid].quantity;
    best->ask_quantity = levels[ask].quantity;
}

static bool differs(const struct numi_book_best *before, const struct numi_book_best *after,
                    bool sizes) {
    if (before->flags != after->flags || before->bid != after->bid || before->ask != after->ask)
        return true;
    return sizes && (before->bid_quantity != after->bid_quantity ||
                     before->ask_quantity != after->ask_quantity);
}

static void note_change(struct numi_books *books, const struct numi_event *event,
                        const struct numi_book_best *before, struct numi_book_changes *changes) {
    struct numi_book_best *after = &changes->rows[changes->row_count];
    *after = (struct numi_book_best){
        .sequence = event->sequence,
        .exchange_ns = event->exchange_ns,
        .rx_ns = event->rx_ns,
        .instrument = event->instrument,
    };
    numi_book_fill_best(books, &books->books[event->instrument], after);
    changes->row_count += differs(before, after, changes->sizes != 0);
}

/* ---- Looking ahead: what the next messages touch is on its way before they are looked at.
 *
 *   events   | group | group | group | group | group |
 *              apply   next    near    middle  far
 *
 *                    far                middle           near              next
 *   takes, deletes   order              level            ladder, links
 *   likewise, old    entry              order            level             ladder, links
 *   replaces         likewise, ladders  likewise         place             new level
 *   adds             order, ladder      place            level
 *
 * Old are orders outside the window, of which the tables have an entry; a place is where the ladder
 * has the number of a level. A group is sorted first, because which kind comes next no predictor
 * knows: so each loop is of one kind. All of it is a guess: what comes in between may change it,
 * and then a line is fetched in vain. Numbers come from tables, ladders and orders, and are always
 * within what there is.
 *
 * ALWAYS_INLINE for one more reason here: gcc takes a function that only prefetches for one without
 * an effect, and removes its calls unless they were inlined before. */

enum ahead {
    GROUP = 32,
    STAGES = 4,
    GROUPS = 8,
};

/* Places in the group. Not bytes, which could alias anything. */
struct list {
    uint32_t count;
    uint16_t at[GROUP];
};

struct group {
    struct list adds, named, old, replaces; /* the named are those that name an order in the window;
                                               both they and the old include replaces, the old adds
                                               of an id outside it, too */
    uint32_t orders[GROUP];                 /* numbers */
    uint32_t levels[GROUP];                 /* of an add's or a replace's price, 0 without */
    const uint32_t *places[GROUP];          /* where these numbers stand */
    uint32_t masks[GROUP];                  /* all ones where there is a level */
    const struct numi_ladder *ladders[GROUP];
};

#define FOR_EACH(i, list)                                                                          \
    for (uint32_t n = 0, i; n < (list).count && ((i = (list).at[n]), true); n++)

ALWAYS_INLINE const struct numi_ladder *ladder_of_add(const struct numi_books *books,
                                                      const struct numi_event *event) {
    uint32_t instrument = event->instrument < books->book_room ? event->instrument : 0;
    return &books->books[instrument].sides[event->side & 1];
}

ALWAYS_INLINE const struct numi_level *level_of_order(const struct numi_books *books,
                                                      uint32_t number) {
    return &books->levels[books->orders.at[number].level];
}

ALWAYS_INLINE void sort(const struct numi_books *books, const struct numi_event *events,
                        uint32_t count, struct group *group) {
    const struct numi_resting *orders = &books->orders;
    uint32_t adds = 0, named = 0, old = 0, replaces = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t action = books->actions[events[i].kind];
        uint64_t id = events[i].order;
        uint32_t is_named = action / NUMI_BOOK_TAKE & 1, is_inside = numi_nears_window(orders, id);
        group->orders[i] = numi_window_number(orders, id);
        __builtin_prefetch(&orders->at[group->orders[i]], 1);
        group->adds.at[adds] = group->named.at[named] = (uint16_t)i;
        group->old.at[old] = group->replaces.at[replaces] = (uint16_t)i;
        adds += action & 1;
        named += is_named & is_inside;
        old += (is_named | (action & 1)) & ~is_inside;
        replaces += action / (NUMI_BOOK_REPLACE - NUMI_BOOK_TAKE) & 1;
    }
    group->adds.count = adds;
    group->named.count = named;
    group->old.count = old;
    group->replaces.count = replaces;
}

ALWAYS_INLINE void look_at_entry(const struct numi_resting *orders, uint64_t id) {
    const struct numi_table *table = numi_resting_table(orders, id);
    __builtin_prefetch(&table->entries[numi_table_place(table, numi_table_hash(table, id))], 1);
}

/* The number that the table has for the hash of an id, 0 without: without a look at the order. */
ALWAYS_INLINE uint32_t guess_old(const struct numi_resting *orders, uint64_t id) {
    const struct numi_table *table = numi_resting_table(orders, id);
    uint32_t hash = numi_table_hash(table, id);
    uint64_t place = numi_table_place(table, hash);
    return numi_table_next(table, hash, &place);
}

ALWAYS_INLINE void look_far(const struct numi_books *books, const struct numi_event *events,
                            uint32_t count, struct group *group) {
    sort(books, events, count, group);
    FOR_EACH (i, group->old)
        look_at_entry(&books->orders, events[i].order);
    FOR_EACH (i, group->adds) {
        group->ladders[i] = ladder_of_add(books, &events[i]);
        __builtin_prefetch(group->ladders[i], 1);
    }
    FOR_EACH (i, group->replaces) {
        const struct numi_ladder *ladder = ladder_of_add(books, &events[i]);
        __builtin_prefetch(ladder, 1);
        __builtin_prefetch((const void *)((uintptr_t)ladder ^ sizeof *ladder), 1);
        if (NUMI_UNLIKELY(!numi_nears_window(&books->orders, events[i].aux)))
            look_at_entry(&books->orders, events[i].aux);
    }
}

ALWAYS_INLINE void look_for_place(const struct numi_books *books, const struct numi_ladder *ladder,
                                  uint8_t side, int64_t price, struct group *group, uint32_t i) {
    uint32_t slot = numi_ladder_slot(ladder, numi_key_of(side, price)) % NUMI_LADDER_NEAR;
    group->places[i] = numi_ladder_place(&books->ladders, ladder, slot);
    group->masks[i] = -numi_ladder_bit(ladder, slot);
    __builtin_prefetch(group->places[i], 1);
}

ALWAYS_INLINE void look_middle(const struct numi_books *books, const struct numi_event *events,
                               struct group *group) {
    FOR_EACH (i, group->named)
        __builtin_prefetch(level_of_order(books, group->orders[i]), 1);
    FOR_EACH (i, group->old) {
        group->orders[i] = guess_old(&books->orders, events[i].order);
        __builtin_prefetch(&books->orders.at[group->orders[i]], 1);
    }
    FOR_EACH (i, group->adds)
        look_for_place(books, group->ladders[i], events[i].side & 1, events[i].price, group, i);
}

/* The level that an add or a replace will find. */
ALWAYS_INLINE void look_at_place(const struct numi_books *books, struct group *group, uint32_t i) {
    group->levels[i] = *group->places[i] & group->masks[i];
    __builtin_prefetch(&books->levels[group->levels[i]], 1);
}

/* What an order's leaving touches beside its level: that may close; it may have neighbours. */
ALWAYS_INLINE void look_around(const struct numi_books *books, uint32_t number) {
    const struct numi_level *level = level_of_order(books, number);
    const void *ladder = numi_ladder_of(books, level->book_side);
    __builtin_prefetch(numi_select(level->count == 1, ladder, level), 1);
    __builtin_prefetch(numi_select(level->is_long, &books->orders.links[number], level), 1);
}

ALWAYS_INLINE void look_near(const struct numi_books *books, const struct numi_event *events,
                             struct group *group) {
    FOR_EACH (i, group->named)
        look_around(books, group->orders[i]);
    FOR_EACH (i, group->replaces) {
        /* An old order's level is not here yet: no level's, then. */
        bool is_old = numi_is_outside(&books->orders, group->orders[i]);
        const struct numi_level *level =
            is_old ? books->levels : level_of_order(books, group->orders[i]);
        look_for_place(books, numi_ladder_of(books, level->book_side), numi_level_side(level),
                       events[i].price, group, i);
    }
    FOR_EACH (i, group->old)
        __builtin_prefetch(level_of_order(books, group->orders[i]), 1);
    FOR_EACH (i, group->adds)
        look_at_place(books, group, i);
}

ALWAYS_INLINE void look_next(const struct numi_books *books, struct group *group) {
    FOR_EACH (i, group->old)
        look_around(books, group->orders[i]);
    FOR_EACH (i, group->replaces)
        look_at_place(books, group, i);
}

/* ---- Applying. */

ALWAYS_INLINE uint32_t apply_one(struct numi_books *books, const struct numi_event *event,
                                 uint32_t hint, struct numi_book_changes *changes) {
    struct numi_book_best before = {0};
    if (changes != NULL && event->instrument < books->book_room)
        numi_book_fill_best(books, &books->books[event->instrument], &before);
    uint32_t reason = act(books, event, hint);
    if (NUMI_UNLIKELY(reason != NUMI_BOOK_OK && reason != STOP))
        reject(books, event, reason);
    if (changes != NULL && reason == NUMI_BOOK_OK && event->instrument < books->book_room)
        note_change(books, event, &before, changes);
    return reason;
}

/* In turn; returns how many. `hints` are levels that looking ahead found, or NULL. */
ALWAYS_INLINE uint64_t apply_each(struct numi_books *books, const struct numi_event *events,
                                  uint64_t count, const uint32_t *hints,
                                  struct numi_book_changes *changes) {
    for (uint64_t i = 0; i < count; i++) {
        if (changes != NULL && changes->row_count == changes->row_max)
            return i;
        uint32_t hint = hints == NULL ? 0 : hints[i];
        if (NUMI_UNLIKELY(apply_one(books, &events[i], hint, changes) == STOP))
            return i;
    }
    return count;
}

static uint32_t size_of_group(uint64_t at, uint64_t count) {
    uint64_t left = count - at * GROUP;
    return left < GROUP ? (uint32_t)left : GROUP;
}

/* Group by group, each stage one group behind the one before. */
ALWAYS_INLINE uint64_t apply_ahead(struct numi_books *books, const struct numi_event *events,
                                   uint64_t count, struct numi_book_changes *changes) {
    struct group groups[GROUPS];
    uint64_t group_count = (count + GROUP - 1) / GROUP;
    for (uint64_t turn = 0; turn < group_count + STAGES; turn++) {
        uint64_t far = turn, middle = turn - 1, near = turn - 2, next = turn - 3, now = turn - 4;
        if (far < group_count)
            look_far(books, events + far * GROUP, size_of_group(far, count), &groups[far % GROUPS]);
        if (middle < group_count)
            look_middle(books, events + middle * GROUP, &groups[middle % GROUPS]);
        if (near < group_count)
            look_near(books, events + near * GROUP, &groups[near % GROUPS]);
        if (next < group_count)
            look_next(books, &groups[next % GROUPS]);
        if (now >= group_count)
            continue;
        uint32_t size = size_of_group(now, count);
        uint64_t done =
            apply_each(books, events + now * GROUP, size, groups[now % GROUPS].levels, changes);
        if (done < size)
            return now * GROUP + done;
    }
    return count;
}

/* What messages touch: orders and their slots, levels. Ladders are small beside these. */
static bool exceeds_cache(const struct numi_books *books) {
    const struct numi_books_counts *counts = &books->counts;
    uint64_t size = counts->live_orders * NUMI_CACHE_LINE_SIZE +
                    counts->live_levels * sizeof(struct numi_level);
    return size > books->cache_size;
}

static bool wants_to_look(const struct numi_books *books) {
    if (books->options.ahead == NUMI_BOOK_AHEAD_AUTO)
        return exceeds_cache(books);
    return books->options.ahead == NUMI_BOOK_AHEAD_ALWAYS;
}

static uint64_t apply(struct numi_books *books, const struct numi_event *events, uint64_t count,
                      struct numi_book_changes *changes) {
    books->looked_ahead = wants_to_look(books);
    books->stopped_at = NULL;
    books->stopped_for = 0;
    books->lacks_order = false;
    if (changes != NULL) /* once more, so that those who want none do not pay for it */
        return books->looked_ahead ? apply_ahead(books, events, count, changes)
                                   : apply_each(books, events, count, NULL, changes);
    return books->looked_ahead ? apply_ahead(books, events, count, NULL)
                               : apply_each(books, events, count, NULL, NULL);
}

int64_t numi_books_apply(struct numi_books *books, const struct numi_event *events, uint64_t count,
                         struct numi_book_changes *changes) {
    numi_guard_enter();
    uint64_t done = apply(books, events, count, changes);
    numi_guard_exit();
    struct numi_books_counts *counts = &books->counts;
    counts->messages += done;
    counts->applied = counts->messages - counts->ignored - counts->gaps - books->reject_count;
    return (int64_t)done;
}

/* Orders for which a step reserves: where no more may rest, none unless it is one that lacks. */
static uint64_t more_orders(const struct numi_books *books) {
    enum { MORE_ORDERS = 4096 };
    uint64_t left = books->options.order_max - books->counts.live_orders;
    if (left == 0)
        return books->lacks_order;
    return left < MORE_ORDERS ? left : MORE_ORDERS;
}

int64_t numi_books_step(struct numi_books *books, const struct numi_event *events, uint64_t count,
                        struct numi_book_changes *changes) {
    uint64_t done = 0;
    for (;;) {
        done += (uint64_t)numi_books_apply(books, events + done, count - done, changes);
        bool is_full = changes != NULL && changes->row_count == changes->row_max;
        if (done == count || is_full)
            return (int64_t)done;
        int code = numi_books_reserve(books, 0, more_orders(books));
        if (code < 0)
            return code;
    }
}
