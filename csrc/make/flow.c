/* The order flow: adds, deletes, replaces, executions, cancels, trades. */
#include "base/check.h"
#include "make/day_state.h"

enum {
    /* Of 10,000 messages; the rest are added or deleted. */
    SHARE_TRADE = 120,
    SHARE_REPLACE = 500,
    SHARE_EXECUTE = 500,
    SHARE_CANCEL = 300,
    PERCENT_PARTICIPANT = 2, /* adds that name their firm */
    PERCENT_WITH_PRICE = 3,  /* executions at a price of their own */
    PERCENT_SAME_SYMBOL = 35,
    PERCENT_EXECUTION_RUN = 40,
    PERCENT_WHOLE = 65, /* executions that take all of the order */
    PERCENT_ODD_LOT = 25,
    PERCENT_FAR = 6,
    STEP_ONE_IN = 32, /* adds after which the touch moves by a tick */
    /* ln 2 times the mean, Q16 (make/random.h). */
    MEAN_NEAR = 113564,  /* 2.5 ticks behind the touch */
    MEAN_DEEP = 1135643, /* 25 ticks */
    MEAN_LOTS = 56889,   /* each further lot with a chance of 0.45 */
    LOTS_MAX = 50,
    FAR_MAX = 400,
    LIFE_MAX = 46 << 16,
    TRIES = 64,
};

#define NONE NUMI_ORDERS_NONE

static struct numi_orders_symbol *symbol_of(struct numi_day *day, uint32_t symbol) {
    return &day->orders.symbols[symbol];
}

/* Lifetimes have no scale of their own: the calendar runs as fast as orders have to end. So only
 * their spread counts, and how much longer the deep ones live. Few symbols: shorter tails, and a
 * book that fits in the cache. */
void numi_flow_open(struct numi_day *day, uint64_t flow_count, uint64_t live) {
    bool many = day->counts.symbols > 100;
    uint64_t usual = 2500 + 42ull * day->counts.symbols;
    usual = usual < flow_count / 57 ? usual : flow_count / 57; /* 1.75% */
    usual = usual < 32 ? 32 : usual;
    uint64_t deep = live > usual ? live - usual : 0;
    day->live_base = live == 0 || deep > 0 ? usual : live;
    day->flow_ramp = flow_count / 10 + 1;
    uint64_t filling = (deep + day->live_base) * 5 / 3;
    if (day->flow_ramp < filling)
        day->flow_ramp = filling;
    day->deep_chance = (uint32_t)(deep * 65536 / day->flow_ramp);
    day->life_middle = 14 << 16;
    day->life_deviation = many ? 283639 : 208002; /* 3.0 and 2.2 over ln 2 */
    day->deep_middle = many ? (24 << 16) + 32768 : (27 << 16) + 32768;
    day->order_id = 1000;
    day->match_number = 100;
    day->run_symbol = NONE;
    day->halted = NONE;
    for (uint32_t i = 0; i < 1024; i++)
        day->recent[i] = NONE;
}

/* ---- What is drawn. */

uint32_t numi_flow_symbol(struct numi_day *day) {
    uint32_t at = numi_random_below(&day->picks, day->counts.symbols);
    const struct numi_orders_share *share = &day->orders.shares[at];
    return (uint32_t)numi_random_next(&day->picks) <= share->threshold ? at : share->other;
}

uint64_t numi_flow_match(struct numi_day *day) {
    return day->match_number += 1 + numi_random_below(&day->steps, 2);
}

static uint64_t draw_id(struct numi_day *day) {
    return day->order_id += 1 + numi_random_below(&day->steps, 3);
}

static uint32_t draw_quantity(struct numi_day *day) {
    if (numi_random_chance(&day->quantities, PERCENT_ODD_LOT, 100))
        return 1 + numi_random_below(&day->quantities, 99);
    uint32_t lots = 1 + (uint32_t)numi_random_exponential(&day->quantities, MEAN_LOTS);
    return 100 * (lots < LOTS_MAX ? lots : LOTS_MAX);
}

static uint64_t draw_life(struct numi_day *day, bool deep) {
    int64_t normal = numi_random_normal(&day->lives);
    int64_t middle = deep ? day->deep_middle : day->life_middle;
    int64_t deviation = deep ? 113456 : day->life_deviation; /* 1.2 over ln 2 */
    int64_t exponent = middle + normal * deviation / 65536;
    return 1 + numi_exp2_q16(exponent < LIFE_MAX ? exponent : LIFE_MAX);
}

static int32_t draw_offset(struct numi_day *day, bool deep) {
    uint64_t ticks = numi_random_exponential(&day->prices, deep ? MEAN_DEEP : MEAN_NEAR);
    if (numi_random_chance(&day->prices, PERCENT_FAR, 100)) {
        /* 20 times a Pareto of exponent 1.2: log2 of 20 is 4.322. */
        int64_t exponent = (int64_t)numi_random_halvings(&day->prices) * 5 / 6 + 283242;
        uint64_t far = numi_exp2_q16(exponent) - 19;
        ticks += far < FAR_MAX ? far : FAR_MAX;
    }
    return (int32_t)ticks;
}

/* The touch wanders, but not out of the ladder. */
static void move_touch(struct numi_day *day, struct numi_orders_symbol *symbol) {
    uint32_t chance = numi_random_below(&day->prices, 2 * STEP_ONE_IN);
    int32_t room = (int32_t)day->orders.level_count / 4;
    if (chance == 0 && symbol->middle < symbol->home + room &&
        symbol->middle < (int32_t)day->orders.level_count - 32)
        symbol->middle++;
    if (chance == 1 && symbol->middle > symbol->home - room && symbol->middle > 32)
        symbol->middle--;
}

/* On the near side of all that rests opposite; the lowest level is a bid's, the highest an ask's,
 * so that there is always one. */
static uint16_t draw_level(struct numi_day *day, struct numi_orders_symbol *symbol, uint8_t side,
                           bool deep) {
    int32_t away = symbol->half_spread + draw_offset(day, deep);
    int32_t low = 0, high = (int32_t)day->orders.level_count - 1;
    int32_t level = side == NUMI_SIDE_BID ? symbol->middle - away : symbol->middle + away;
    if (side == NUMI_SIDE_BID)
        high = symbol->ask - 1 < high - 1 ? symbol->ask - 1 : high - 1;
    else
        low = symbol->bid + 1 > 1 ? symbol->bid + 1 : 1;
    return (uint16_t)(level < low ? low : level > high ? high : level);
}

/* ---- Add. */

static void put_add(struct numi_day *day, const struct numi_orders_order *order, bool named) {
    const struct numi_orders_symbol *symbol = symbol_of(day, order->symbol);
    struct numi_itch_F m = {NUMI_DAY_HEAD(day, order->symbol), .order_reference_number = order->id,
                            .buy_sell_indicator = {order->side == NUMI_SIDE_BID ? 'B' : 'S'},
                            .shares = order->quantity,
                            .price = numi_day_price(symbol, order->level)};
    static_assert(offsetof(struct numi_itch_F, attribution) >=
                      offsetof(struct numi_itch_A, price) + 4,
                  "an add with a firm begins as one without");
    memcpy(m.stock, symbol->name, sizeof m.stock);
    memcpy(m.attribution, numi_notice_participant_name((uint32_t)order->id), sizeof m.attribution);
    numi_day_put(day, named ? 'F' : 'A', &m);
}

static void note_added(struct numi_day *day, uint32_t index) {
    day->recent[day->recent_count++ % 1024] = index;
    if (day->orders.live > day->counts.live_peak)
        day->counts.live_peak = day->orders.live;
}

static bool add(struct numi_day *day, bool deep, bool named) {
    uint32_t index = numi_orders_take(&day->orders);
    if (index == NONE)
        return false;
    if (!numi_random_chance(&day->picks, PERCENT_SAME_SYMBOL, 100))
        day->last_added = numi_flow_symbol(day);
    struct numi_orders_order *order = &day->orders.orders[index];
    struct numi_orders_symbol *symbol = symbol_of(day, day->last_added);
    move_touch(day, symbol);
    order->id = draw_id(day);
    order->symbol = day->last_added;
    order->side = (uint8_t)numi_random_below(&day->prices, 2);
    order->deep = deep;
    order->level = draw_level(day, symbol, order->side, deep);
    order->quantity = draw_quantity(day);
    numi_orders_insert(&day->orders, index, draw_life(day, deep));
    put_add(day, order, named);
    note_added(day, index);
    return true;
}

static bool add_any(struct numi_day *day, bool deep) {
    return add(day, deep, numi_random_chance(&day->kinds, PERCENT_PARTICIPANT, 100));
}

/* ---- Delete and replace: whose time has come. */

static bool delete_due(struct numi_day *day) {
    uint32_t index = numi_orders_due(&day->orders);
    if (index == NONE)
        return false;
    const struct numi_orders_order *order = &day->orders.orders[index];
    struct numi_itch_D m = {NUMI_DAY_HEAD(day, order->symbol), .order_reference_number = order->id};
    numi_day_put(day, 'D', &m);
    numi_orders_remove(&day->orders, index);
    return true;
}

static bool replace_due(struct numi_day *day) {
    uint32_t index = numi_orders_due(&day->orders);
    if (index == NONE)
        return false;
    struct numi_orders_order *order = &day->orders.orders[index], was = *order;
    numi_orders_remove(&day->orders, index);
    NUMI_REQUIRE(numi_orders_take(&day->orders) == index);
    struct numi_orders_symbol *symbol = symbol_of(day, was.symbol);
    order->id = draw_id(day);
    order->level = draw_level(day, symbol, was.side, was.deep);
    order->quantity =
        numi_random_chance(&day->quantities, 1, 2) ? was.quantity : draw_quantity(day);
    numi_orders_insert(&day->orders, index, draw_life(day, was.deep));
    struct numi_itch_U m = {NUMI_DAY_HEAD(day, was.symbol),
                            .original_order_reference_number = was.id,
                            .new_order_reference_number = order->id, .shares = order->quantity,
                            .price = numi_day_price(symbol, order->level)};
    numi_day_put(day, 'U', &m);
    note_added(day, index);
    return true;
}

/* ---- Cancel: part of any order. */

static uint32_t draw_order(struct numi_day *day) {
    for (int i = 0; i < TRIES && day->orders.live > 0; i++) {
        bool new = numi_random_chance(&day->picks, 1, 2);
        uint32_t index = new ? day->recent[numi_random_below(&day->picks, 1024)]
                             : numi_random_below(&day->picks, day->orders.order_top);
        if (index != NONE && day->orders.orders[index].quantity > 1)
            return index;
    }
    return NONE;
}

/* Less than all: round lots of round lots. */
static uint32_t draw_part(struct numi_day *day, uint32_t quantity) {
    if (quantity > 100 && quantity % 100 == 0)
        return 100 * (1 + numi_random_below(&day->quantities, quantity / 100 - 1));
    return 1 + numi_random_below(&day->quantities, quantity - 1);
}

static bool cancel(struct numi_day *day) {
    uint32_t index = draw_order(day);
    if (index == NONE)
        return false;
    struct numi_orders_order *order = &day->orders.orders[index];
    struct numi_itch_X m = {NUMI_DAY_HEAD(day, order->symbol), .order_reference_number = order->id,
                            .cancelled_shares = draw_part(day, order->quantity)};
    order->quantity -= m.cancelled_shares;
    numi_day_put(day, 'X', &m);
    return true;
}

/* ---- Execute: the front of the best level. */

/* An order that comes in trades against what stands in the way of where the touch wants to be. */
static uint8_t draw_side(struct numi_day *day, const struct numi_orders_symbol *symbol) {
    if (symbol->ask <= symbol->middle)
        return NUMI_SIDE_ASK;
    if (symbol->bid >= symbol->middle)
        return NUMI_SIDE_BID;
    return (uint8_t)numi_random_below(&day->picks, 2);
}

static uint32_t draw_front(struct numi_day *day) {
    bool goes_on = numi_random_chance(&day->picks, PERCENT_EXECUTION_RUN, 100);
    for (int i = 0; i < TRIES; i++) {
        if (i > 0 || !goes_on || day->run_symbol == NONE) {
            uint32_t any = i < TRIES / 2 ? NONE : draw_order(day);
            day->run_symbol = any == NONE ? numi_flow_symbol(day) : day->orders.orders[any].symbol;
            day->run_side = draw_side(day, symbol_of(day, day->run_symbol));
        }
        if (day->run_symbol == day->halted)
            continue;
        uint32_t index = numi_orders_front(&day->orders, day->run_symbol, day->run_side);
        if (index == NONE)
            index = numi_orders_front(&day->orders, day->run_symbol, day->run_side ^ 1);
        if (index != NONE)
            return index;
    }
    return NONE;
}

static void put_execution(struct numi_day *day, const struct numi_orders_order *order,
                          uint32_t quantity, bool with_price) {
    struct numi_itch_C m = {NUMI_DAY_HEAD(day, order->symbol), .order_reference_number = order->id,
                            .executed_shares = quantity, .match_number = numi_flow_match(day)};
    if (with_price) {
        /* At the order's price or half a tick better for the one who came in. */
        uint32_t price = numi_day_price(symbol_of(day, order->symbol), order->level);
        uint32_t better = 50 * numi_random_below(&day->prices, 2);
        m.execution_price = order->side == NUMI_SIDE_BID ? price + better : price - better;
        m.printable[0] = numi_random_chance(&day->kinds, 1, 4) ? 'N' : 'Y';
    }
    static_assert(offsetof(struct numi_itch_C, match_number) ==
                      offsetof(struct numi_itch_E, match_number),
                  "an execution with a price begins as one without");
    numi_day_put(day, with_price ? 'C' : 'E', &m);
}

static bool execute(struct numi_day *day, bool with_price) {
    uint32_t index = draw_front(day);
    if (index == NONE)
        return false;
    struct numi_orders_order *order = &day->orders.orders[index];
    bool whole = order->quantity < 8 || numi_random_chance(&day->quantities, PERCENT_WHOLE, 100);
    uint32_t quantity = whole ? order->quantity : draw_part(day, order->quantity);
    put_execution(day, order, quantity, with_price);
    if (whole)
        numi_orders_remove(&day->orders, index);
    else
        order->quantity -= quantity;
    return true;
}

/* ---- Trades against orders that nobody saw, and trades that are taken back. */

static bool trade(struct numi_day *day) {
    uint32_t at = numi_flow_symbol(day);
    const struct numi_orders_symbol *symbol = symbol_of(day, at);
    struct numi_itch_P m = {NUMI_DAY_HEAD(day, at), .buy_sell_indicator = {'B'},
                            .shares = draw_quantity(day), .price = numi_day_middle(day, symbol),
                            .match_number = numi_flow_match(day)};
    memcpy(m.stock, symbol->name, sizeof m.stock);
    numi_day_put(day, 'P', &m);
    day->last_trade = m.match_number;
    return true;
}

static bool break_trade(struct numi_day *day) {
    if (day->last_trade == 0)
        return false;
    struct numi_itch_B m = {NUMI_DAY_HEAD(day, -1), .match_number = day->last_trade};
    numi_day_put(day, 'B', &m);
    day->last_trade = 0;
    return true;
}

/* ---- One message. */

/* Draws what it shall be; false where the books do not allow it. */
static bool usual(struct numi_day *day) {
    uint32_t share = numi_random_below(&day->kinds, 10000);
    if (share < SHARE_TRADE)
        return trade(day);
    if ((share -= SHARE_TRADE) < SHARE_REPLACE)
        return replace_due(day);
    if ((share -= SHARE_REPLACE) < SHARE_EXECUTE)
        return execute(day, numi_random_chance(&day->kinds, PERCENT_WITH_PRICE, 100));
    if ((share -= SHARE_EXECUTE) < SHARE_CANCEL)
        return cancel(day);
    uint64_t wanted = day->live_base + day->orders.deep_live;
    if (day->flow_index < day->flow_ramp)
        wanted = day->live_base * day->flow_index / day->flow_ramp + day->orders.deep_live;
    uint32_t sway = (uint32_t)(16 + wanted / 64);
    uint64_t limit = wanted + numi_random_below(&day->kinds, 2 * sway);
    if (day->orders.live + sway < limit)
        return add_any(day, false);
    return delete_due(day);
}

void numi_flow_next(struct numi_day *day) {
    bool filling = day->flow_index < day->flow_ramp;
    bool deep = filling && numi_random_chance(&day->kinds, day->deep_chance, 65536);
    bool done = deep ? add_any(day, true) : usual(day);
    if (!done && !add_any(day, false))
        NUMI_REQUIRE(delete_due(day));
    day->flow_index++;
}

/* In turn all that a short day might else lack. The trade comes before the one that breaks it. */
static bool rarity(struct numi_day *day, uint64_t index) {
    uint32_t symbol = numi_flow_symbol(day);
    switch (index) {
    case 0:
        return trade(day);
    case 1:
        return break_trade(day);
    case 2:
        day->halted = symbol;
        return numi_notice_action(day, symbol, 'H', "LUDP"), true;
    case 3:
        return numi_notice_collar(day, day->halted), true;
    case 4:
        numi_notice_action(day, day->halted, 'T', "    ");
        return day->halted = NONE, true;
    case 5:
        return numi_notice_halt(day, day->last_added, 'H'), true;
    case 6:
        return numi_notice_halt(day, day->last_added, 'T'), true;
    case 7:
        return numi_notice_interest(day, symbol), true;
    case 8:
        return numi_notice_quoting(day, symbol), true;
    case 9:
        return numi_notice_listing(day, symbol), true;
    case 10:
        return numi_notice_short_sale(day, symbol, '1'), true;
    case 11:
        return add(day, false, true);
    case 12:
        return cancel(day);
    case 13:
        return replace_due(day);
    case 14:
        return execute(day, true);
    case 15:
        return execute(day, false);
    default:
        return add(day, false, false);
    }
}

void numi_flow_rarity(struct numi_day *day, uint64_t index) {
    if (index == 16)
        numi_notice_breach(day);
    else if (!rarity(day, index % 17))
        numi_flow_next(day);
}
