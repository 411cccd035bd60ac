#include "feed/book.h"

#include "base/check.h"
#include "base/guard.h"
#include "feed/book_private.h"

/* Beside the reasons. */
enum { STOP = NUMI_BOOK_REASON_COUNT };

/* Inlined whatever its size: the path of a message is one function. */
#define ALWAYS_INLINE __attribute__((always_inline)) static inline

/* What an event did to its book, beside the order itself. */
struct effect {
    struct numi_book *book; /* whose best price may have changed; NULL: none */
};

static inline bool has_number(const struct numi_slab *slab) {
    return slab->free != 0 || slab->used < slab->room;
}

static inline uint32_t take_number(struct numi_slab *slab, uint32_t next_free) {
    uint32_t number = slab->free;
    if (number == 0)
        return slab->used++;
    slab->free = next_free;
    return number;
}

/* ---- Levels come and go, one message in five. */

/* There is a number, and room in the ladder. */
__attribute__((noinline)) static uint32_t open_level(struct numi_books *books, uint32_t book_side,
                                                     int64_t key, struct effect *effect) {
    struct numi_slab *slab = &books->level_slab;
    uint32_t number = take_number(slab, books->levels[slab->free].next_free);
    books->levels[number] = (struct numi_level){.key = key, .book_side = book_side};
    if (numi_ladder_insert(&books->ladders, numi_ladder_of(books, book_side), key, number))
        effect->book = &books->books[book_side >> 1];
    books->counts.live_levels++;
    return number;
}

__attribute__((noinline)) static void close_level(struct numi_books *books, uint32_t number,
                                                  struct effect *effect) {
    struct numi_level *level = &books->levels[number];
    struct numi_ladder *ladder = numi_ladder_of(books, level->book_side);
    if (numi_ladder_remove(&books->ladders, ladder, level->key))
        effect->book = &books->books[numi_level_instrument(level)];
    level->next_free = books->level_slab.free;
    books->level_slab.free = number;
    books->counts.live_levels--;
}

/* ---- Orders. */

ALWAYS_INLINE void remove_order(struct numi_books *books, struct numi_order *order, uint32_t number,
                                struct effect *effect) {
    struct numi_level *level = &books->levels[order->level];
    level->quantity -= order->quantity;
    numi_level_leave(level, books->orders, number);
    if (level->count == 0 && !NUMI_PLANTED(EMPTY_LEVEL))
        close_level(books, order->level, effect);
    numi_order_index_remove(&books->index, order->id, number);
    order->quantity = 0;
    order->next = books->order_slab.free;
    books->order_slab.free = number;
    books->counts.live_orders--;
}

/* Everything that it takes is there. Without a level, one is opened. */
ALWAYS_INLINE void rest_order(struct numi_books *books, uint32_t book_side, int64_t key,
                              uint32_t level_number, uint64_t id, uint64_t quantity,
                              struct effect *effect) {
    struct numi_slab *slab = &books->order_slab;
    uint32_t number = take_number(slab, books->orders[slab->free].next);
    if (level_number == 0)
        level_number = open_level(books, book_side, key, effect);
    struct numi_level *level = &books->levels[level_number];
    books->orders[number] =
        (struct numi_order){.id = id, .quantity = quantity, .level = level_number};
    level->quantity += quantity;
    numi_level_push(level, books->orders, number);
    numi_order_index_insert(&books->index, id, number);
    books->counts.live_orders++;
}

/* Whether there is room for a level more. What is missing is kept for numi_books_reserve. */
static bool has_level_room(struct numi_books *books, uint32_t book_side, bool has_number) {
    const struct numi_ladder *ladder = numi_ladder_of(books, book_side);
    if (has_number && numi_ladder_has_room(&books->ladders, ladder))
        return true;
    books->stopped_at = ladder;
    return false;
}

/* Whether a level's total could pass 64 bits: only once the sum of all that ever came does. */
static inline bool may_overflow(struct numi_books *books, uint64_t quantity) {
    if (NUMI_LIKELY(
            !__builtin_add_overflow(books->quantity_bound, quantity, &books->quantity_bound)))
        return false;
    books->quantity_bound = UINT64_MAX;
    return true;
}

static bool overflows(const struct numi_books *books, uint32_t level, uint64_t leaving,
                      uint64_t quantity) {
    return level != 0 && books->levels[level].quantity - leaving > UINT64_MAX - quantity;
}

/* ---- Events. */

static inline bool is_price(int64_t price) {
    return price != INT64_MIN && price != INT64_MAX;
}

static inline uint32_t check_add(const struct numi_event *event) {
    if (NUMI_UNLIKELY(event->instrument >= NUMI_BOOK_INSTRUMENT_MAX))
        return NUMI_BOOK_UNKNOWN_INSTRUMENT;
    if (NUMI_UNLIKELY(event->side > NUMI_SIDE_ASK))
        return NUMI_BOOK_BAD_SIDE;
    if (NUMI_UNLIKELY(event->quantity == 0))
        return NUMI_BOOK_ZERO_QUANTITY;
    return NUMI_LIKELY(is_price(event->price)) ? NUMI_BOOK_OK : NUMI_BOOK_BAD_PRICE;
}

/* `hint` is a number that looking ahead found, which may be another level's by now; 0: none. */
static inline uint32_t find_level(const struct numi_books *books, uint32_t book_side, int64_t key,
                                  uint32_t hint) {
    const struct numi_level *level = &books->levels[hint];
    if (level->key == key && level->book_side == book_side && level->count != 0)
        return hint;
    return numi_ladder_find(&books->ladders, numi_ladder_of(books, book_side), key);
}

ALWAYS_INLINE uint32_t add(struct numi_books *books, const struct numi_event *event, uint32_t hint,
                           struct effect *effect) {
    uint32_t reason = check_add(event);
    if (NUMI_UNLIKELY(reason != NUMI_BOOK_OK))
        return reason;
    if (NUMI_UNLIKELY(event->instrument >= books->book_room)) {
        books->stopped_for = event->instrument + 1ull;
        return STOP;
    }
    if (NUMI_UNLIKELY(numi_order_index_find(&books->index, event->order) != 0))
        return NUMI_BOOK_DUPLICATE_ORDER;
    uint32_t book_side = event->instrument * 2 + event->side;
    int64_t key = numi_key_of(event->side, event->price);
    uint32_t level = find_level(books, book_side, key, hint);
    books->lacks_order = !has_number(&books->order_slab);
    if (NUMI_UNLIKELY(books->lacks_order || !numi_order_index_has_room(&books->index)) ||
        (level == 0 && !has_level_room(books, book_side, has_number(&books->level_slab))))
        return STOP;
    if (NUMI_UNLIKELY(may_overflow(books, event->quantity)) &&
        overflows(books, level, 0, event->quantity))
        return NUMI_BOOK_OVERFLOW;
    rest_order(books, book_side, key, level, event->order, event->quantity, effect);
    return NUMI_BOOK_OK;
}

/* The order that an event names, or why it cannot be meant. */
ALWAYS_INLINE uint32_t find_named(struct numi_books *books, const struct numi_event *event,
                                  uint32_t *number) {
    *number = numi_order_index_find(&books->index, event->order);
    if (NUMI_UNLIKELY(*number == 0))
        return NUMI_BOOK_UNKNOWN_ORDER;
    const struct numi_level *level = &books->levels[books->orders[*number].level];
    return NUMI_LIKELY(numi_level_instrument(level) == event->instrument)
               ? NUMI_BOOK_OK
               : NUMI_BOOK_WRONG_INSTRUMENT;
}

/* Takes from an order; a delete takes all of it. One path for both: which of them comes next no
 * predictor knows. */
ALWAYS_INLINE uint32_t take(struct numi_books *books, const struct numi_event *event, bool all,
                            struct effect *effect) {
    uint32_t number, reason = find_named(books, event, &number);
    if (NUMI_UNLIKELY(reason != NUMI_BOOK_OK))
        return reason;
    struct numi_order *order = &books->orders[number];
    /* Not `?:`, of which gcc makes a branch. */
    uint64_t mask = -(uint64_t)all, taken = (order->quantity & mask) | (event->quantity & ~mask);
    if (taken == order->quantity) {
        remove_order(books, order, number, effect);
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
        NUMI_UNLIKELY(numi_order_index_find(&books->index, event->aux) != 0))
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

__attribute__((noinline)) static uint32_t
replace(struct numi_books *books, const struct numi_event *event, struct effect *effect) {
    uint32_t number, reason = check_replace(books, event, &number);
    if (NUMI_UNLIKELY(reason != NUMI_BOOK_OK))
        return reason;
    struct numi_order *order = &books->orders[number];
    uint32_t book_side = books->levels[order->level].book_side;
    int64_t key = numi_key_of(book_side & 1, event->price);
    uint32_t level = find_level(books, book_side, key, 0);
    /* The old order's number comes free, and its level's where it is the last there. */
    bool is_last = books->levels[order->level].count == 1;
    bool is_same = level == order->level, closes = is_same && is_last;
    if (NUMI_UNLIKELY(!numi_order_index_has_room(&books->index)) ||
        (level == 0 && !is_last &&
         !has_level_room(books, book_side, has_number(&books->level_slab))))
        return STOP;
    if (NUMI_UNLIKELY(may_overflow(books, event->quantity)) &&
        overflows(books, level, is_same ? order->quantity : 0, event->quantity))
        return NUMI_BOOK_OVERFLOW;
    if (keeps_place(books, event, order, key))
        return NUMI_BOOK_OK;
    remove_order(books, order, number, effect);
    rest_order(books, book_side, key, closes ? 0 : level, event->aux, event->quantity, effect);
    return NUMI_BOOK_OK;
}

ALWAYS_INLINE uint32_t act(struct numi_books *books, const struct numi_event *event, uint32_t hint,
                           struct effect *effect) {
    uint32_t action = books->actions[event->kind];
    if (action == NUMI_BOOK_ADD)
        return add(books, event, hint, effect);
    if (NUMI_LIKELY(action == NUMI_BOOK_TAKE || action == NUMI_BOOK_DELETE))
        return take(books, event, action == NUMI_BOOK_DELETE, effect);
    if (action == NUMI_BOOK_REPLACE)
        return replace(books, event, effect);
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

static uint32_t state_of(const struct numi_book *book) {
    const struct numi_ladder *bids = &book->sides[NUMI_SIDE_BID];
    const struct numi_ladder *asks = &book->sides[NUMI_SIDE_ASK];
    if (bids->best == 0 || asks->best == 0)
        return 0;
    int64_t bid = bids->best_key, ask = ~asks->best_key;
    if (bid == ask)
        return NUMI_BOOK_LOCKED;
    return bid > ask ? NUMI_BOOK_CROSSED : 0;
}

static inline void settle_state(struct numi_books *books, struct numi_book *book) {
    uint32_t state = state_of(book), *known = &book->sides[NUMI_SIDE_BID].state;
    if (NUMI_LIKELY(state == *known))
        return;
    books->counts.crossed += state == NUMI_BOOK_CROSSED;
    books->counts.locked += state == NUMI_BOOK_LOCKED;
    *known = state;
}

void numi_book_fill_best(const struct numi_books *books, const struct numi_book *book,
                         struct numi_book_best *best) {
    const struct numi_ladder *bids = &book->sides[NUMI_SIDE_BID];
    const struct numi_ladder *asks = &book->sides[NUMI_SIDE_ASK];
    const struct numi_level *levels = books->levels; /* number 0 is empty */
    best->flags = bids->state;
    best->flags |= bids->best == 0 ? 0 : NUMI_BOOK_HAS_BID;
    best->flags |= asks->best == 0 ? 0 : NUMI_BOOK_HAS_ASK;
    best->bid = bids->best_key; /* 0 without */
    best->ask = asks->best == 0 ? 0 : ~asks->best_key;
    best->bid_quantity = levels[bids->best].quantity;
    best->ask_quantity = levels[asks->best].quantity;
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
 *   far      sorts a group: adds, and those that name an order; the books; the slots of the orders'
 *            numbers
 *   middle   the orders; of adds, their rungs of the ladders
 *   near     the orders' levels; of adds, their levels
 *   next     neighbours in long queues; the rung of a level whose last order it is; of a replace,
 *            the rung of its new price
 *
 * Sorted first, because which kind comes next no predictor knows: so each loop is of one kind. All
 * of it is a guess: what comes in between may change it, and then a line is fetched in vain.
 * Numbers come from tables, ladders and orders, and are always within what there is.
 *
 * ALWAYS_INLINE for one more reason here: gcc takes a function that only prefetches for one without
 * an effect, and removes its calls unless they were inlined before. */

enum ahead {
    GROUP = 16,
    STAGES = 4,
    GROUPS = 8,
    LADDER_LINES = 3, /* near the touch, beside the one that is guessed */
};

struct group {
    uint32_t add_count, named_count;
    uint8_t adds[GROUP], named[GROUP]; /* places in the group */
    uint32_t numbers[GROUP];           /* of the order; of an add, of its level */
};

ALWAYS_INLINE uint32_t side_of_add(const struct numi_books *books, const struct numi_event *event) {
    uint32_t instrument = event->instrument < books->book_room ? event->instrument : 0;
    return instrument * 2 + (event->side & 1);
}

ALWAYS_INLINE void look_far(const struct numi_books *books, const struct numi_event *events,
                            uint32_t count, struct group *group) {
    uint32_t add_count = 0, named_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t action = books->actions[events[i].kind];
        group->numbers[i] = 0;
        group->adds[add_count] = group->named[named_count] = (uint8_t)i;
        add_count += action == NUMI_BOOK_ADD;
        named_count += action >= NUMI_BOOK_TAKE && action <= NUMI_BOOK_REPLACE;
        __builtin_prefetch(&books->books[side_of_add(books, &events[i]) >> 1], 1);
        __builtin_prefetch(numi_order_index_slot(&books->index, events[i].order), 1);
    }
    group->add_count = add_count;
    group->named_count = named_count;
}

ALWAYS_INLINE void look_middle(const struct numi_books *books, const struct numi_event *events,
                               struct group *group) {
    for (uint32_t i = 0; i < group->named_count; i++) {
        uint32_t at = group->named[i];
        uint32_t number = *numi_order_index_slot(&books->index, events[at].order);
        group->numbers[at] = number;
        __builtin_prefetch(&books->orders[number], 1);
    }
    for (uint32_t i = 0; i < group->add_count; i++) {
        const struct numi_event *event = &events[group->adds[i]];
        uint32_t book_side = side_of_add(books, event);
        const struct numi_ladder *ladder = numi_ladder_of(books, book_side);
        int64_t key = numi_key_of(book_side & 1, event->price);
        __builtin_prefetch(numi_ladder_guess(&books->ladders, ladder, key), 1);
        const struct numi_rung *best =
            numi_ladder_rungs(&books->ladders, ladder) + ladder->count - 1;
        for (int line = 0; line < LADDER_LINES; line++)
            __builtin_prefetch(best - line * NUMI_LADDER_STRIDE, 1);
    }
}

ALWAYS_INLINE void look_near(const struct numi_books *books, const struct numi_event *events,
                             struct group *group) {
    for (uint32_t i = 0; i < group->named_count; i++) {
        const struct numi_order *order = &books->orders[group->numbers[group->named[i]]];
        __builtin_prefetch(&books->levels[order->level], 1);
    }
    for (uint32_t i = 0; i < group->add_count; i++) {
        const struct numi_event *event = &events[group->adds[i]];
        uint32_t book_side = side_of_add(books, event);
        struct numi_ladder *ladder = numi_ladder_of(books, book_side);
        int64_t key = numi_key_of(book_side & 1, event->price);
        uint32_t number = numi_ladder_find(&books->ladders, ladder, key);
        group->numbers[group->adds[i]] = number;
        __builtin_prefetch(&books->levels[number], 1);
    }
}

ALWAYS_INLINE void look_at_rung(const struct numi_books *books, uint32_t book_side, int64_t key) {
    const struct numi_ladder *ladder = numi_ladder_of(books, book_side);
    __builtin_prefetch(numi_ladder_guess(&books->ladders, ladder, key), 1);
}

ALWAYS_INLINE void look_next(const struct numi_books *books, const struct numi_event *events,
                             const struct group *group) {
    for (uint32_t i = 0; i < group->named_count; i++) {
        const struct numi_event *event = &events[group->named[i]];
        const struct numi_order *order = &books->orders[group->numbers[group->named[i]]];
        const struct numi_level *level = &books->levels[order->level];
        if (level->count == 1)
            look_at_rung(books, level->book_side, level->key);
        if (level->is_long) {
            __builtin_prefetch(&books->orders[order->previous], 1);
            __builtin_prefetch(&books->orders[order->next], 1);
        }
        if (NUMI_UNLIKELY(books->actions[event->kind] == NUMI_BOOK_REPLACE))
            look_at_rung(books, level->book_side, numi_key_of(level->book_side & 1, event->price));
    }
}

/* ---- Applying. */

ALWAYS_INLINE uint32_t apply_one(struct numi_books *books, const struct numi_event *event,
                                 uint32_t hint, struct numi_book_changes *changes) {
    struct effect effect = {0};
    struct numi_book_best before = {0};
    if (changes != NULL && event->instrument < books->book_room)
        numi_book_fill_best(books, &books->books[event->instrument], &before);
    uint32_t reason = act(books, event, hint, &effect);
    if (effect.book != NULL)
        settle_state(books, effect.book);
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
            look_next(books, events + next * GROUP, &groups[next % GROUPS]);
        if (now >= group_count)
            continue;
        uint32_t size = size_of_group(now, count);
        uint64_t done =
            apply_each(books, events + now * GROUP, size, groups[now % GROUPS].numbers, changes);
        if (done < size)
            return now * GROUP + done;
    }
    return count;
}

/* What messages touch: orders and their slots, levels. Ladders are small beside these. */
static bool exceeds_cache(const struct numi_books *books) {
    const struct numi_books_counts *counts = &books->counts;
    uint64_t size = counts->live_orders * (sizeof(struct numi_order) + NUMI_CACHE_LINE_SIZE) +
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
