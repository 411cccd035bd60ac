#include "make/orders.h"

#include <string.h>

#include "base/check.h"

#define NONE NUMI_ORDERS_NONE

enum {
    FINE_SYMBOL_MAX = 16384, /* beyond, ladders are shorter: they are most of the memory */
    FINE_SHIFT = 10,
    COARSE_SHIFT = 8,
};

int numi_orders_open(struct numi_orders *orders, uint32_t symbol_count, uint32_t order_max) {
    memset(orders, 0, sizeof *orders);
    orders->level_shift = symbol_count <= FINE_SYMBOL_MAX ? FINE_SHIFT : COARSE_SHIFT;
    orders->level_count = 1u << orders->level_shift;
    uint64_t level_count = (uint64_t)symbol_count << orders->level_shift;
    uint64_t orders_size = order_max * sizeof *orders->orders;
    uint64_t levels_size = level_count * sizeof *orders->levels;
    uint64_t symbols_size = symbol_count * sizeof *orders->symbols;
    uint64_t shares_size = symbol_count * sizeof *orders->shares;
    uint64_t size = orders_size + levels_size + symbols_size + shares_size;
    int error = numi_memory_open(&orders->memory, size, NUMI_PAGES_TRANSPARENT, NUMI_NODE_ANY);
    if (error != 0)
        return error;
    uint8_t *base = orders->memory.base;
    orders->orders = (void *)base;
    orders->levels = (void *)(base += orders_size);
    orders->symbols = (void *)(base += levels_size);
    orders->shares = (void *)(base + symbols_size);
    orders->order_max = order_max;
    orders->symbol_count = symbol_count;
    orders->free_head = NONE;
    memset(orders->levels, 0xFF, levels_size);
    memset(orders->slots, 0xFF, sizeof orders->slots);
    for (uint32_t i = 0; i < symbol_count; i++) {
        orders->symbols[i].bid = -1;
        orders->symbols[i].ask = (int32_t)orders->level_count;
    }
    return 0;
}

void numi_orders_close(struct numi_orders *orders) {
    numi_memory_close(&orders->memory);
}

uint32_t numi_orders_take(struct numi_orders *orders) {
    uint32_t index = orders->free_head;
    if (index != NONE)
        orders->free_head = orders->orders[index].next;
    else if (orders->order_top < orders->order_max)
        index = orders->order_top++;
    return index;
}

/* ---- The ladder. */

static struct numi_orders_level *level_of(struct numi_orders *orders,
                                          const struct numi_orders_order *order) {
    return &orders->levels[((uint64_t)order->symbol << orders->level_shift) + order->level];
}

static void take_level(struct numi_orders *orders, const struct numi_orders_order *order) {
    struct numi_orders_symbol *symbol = &orders->symbols[order->symbol];
    int32_t level = order->level;
    symbol->used[level / 64] |= 1ull << level % 64;
    if (order->side == NUMI_SIDE_BID && level > symbol->bid)
        symbol->bid = level;
    if (order->side == NUMI_SIDE_ASK && level < symbol->ask)
        symbol->ask = level;
    NUMI_REQUIRE(symbol->bid < symbol->ask);
}

static int32_t used_below(const struct numi_orders_symbol *symbol, int32_t level) {
    int32_t word = level / 64;
    uint64_t bits = symbol->used[word] & ((1ull << level % 64) - 1);
    while (bits == 0 && word > 0)
        bits = symbol->used[--word];
    return bits == 0 ? -1 : word * 64 + 63 - __builtin_clzll(bits);
}

static int32_t used_above(const struct numi_orders_symbol *symbol, int32_t level, int32_t count) {
    int32_t word = level / 64;
    uint64_t bits = symbol->used[word] & ~(1ull << level % 64) & ~((1ull << level % 64) - 1);
    while (bits == 0 && word + 1 < count / 64)
        bits = symbol->used[++word];
    return bits == 0 ? count : word * 64 + __builtin_ctzll(bits);
}

static void leave_level(struct numi_orders *orders, const struct numi_orders_order *order) {
    struct numi_orders_symbol *symbol = &orders->symbols[order->symbol];
    int32_t level = order->level;
    symbol->used[level / 64] &= ~(1ull << level % 64);
    if (level == symbol->bid)
        symbol->bid = used_below(symbol, level);
    if (level == symbol->ask)
        symbol->ask = used_above(symbol, level, (int32_t)orders->level_count);
}

static void queue_insert(struct numi_orders *orders, uint32_t index) {
    struct numi_orders_order *order = &orders->orders[index];
    struct numi_orders_level *level = level_of(orders, order);
    order->previous = level->tail;
    order->next = NONE;
    if (level->tail == NONE) {
        level->head = index;
        take_level(orders, order);
    } else {
        orders->orders[level->tail].next = index;
    }
    level->tail = index;
}

static void queue_remove(struct numi_orders *orders, const struct numi_orders_order *order) {
    struct numi_orders_level *level = level_of(orders, order);
    if (order->previous == NONE)
        level->head = order->next;
    else
        orders->orders[order->previous].next = order->next;
    if (order->next == NONE)
        level->tail = order->previous;
    else
        orders->orders[order->next].previous = order->previous;
    if (level->head == NONE)
        leave_level(orders, order);
}

uint32_t numi_orders_front(const struct numi_orders *orders, uint32_t symbol, uint8_t side) {
    const struct numi_orders_symbol *of = &orders->symbols[symbol];
    int32_t best = side == NUMI_SIDE_BID ? of->bid : of->ask;
    if (best < 0 || best >= (int32_t)orders->level_count)
        return NONE;
    return orders->levels[((uint64_t)symbol << orders->level_shift) + (uint32_t)best].head;
}

/* ---- The calendar. */

static void calendar_insert(struct numi_orders *orders, uint32_t index) {
    struct numi_orders_order *order = &orders->orders[index];
    uint64_t differs = order->end ^ orders->now;
    uint32_t wheel = differs == 0 ? 0 : (63 - (uint32_t)__builtin_clzll(differs)) / 8;
    uint32_t at = order->end >> 8 * wheel & 0xFF;
    order->slot = (uint16_t)(wheel * NUMI_ORDERS_SLOT_COUNT + at);
    uint32_t *slot = &orders->slots[order->slot];
    order->later = *slot;
    order->earlier = NONE;
    if (*slot != NONE)
        orders->orders[*slot].earlier = index;
    *slot = index;
    orders->slots_used[wheel][at / 64] |= 1ull << at % 64;
}

static void calendar_remove(struct numi_orders *orders, const struct numi_orders_order *order) {
    uint32_t slot = order->slot;
    if (order->later != NONE)
        orders->orders[order->later].earlier = order->earlier;
    if (order->earlier != NONE)
        orders->orders[order->earlier].later = order->later;
    else
        orders->slots[slot] = order->later;
    if (orders->slots[slot] == NONE)
        orders->slots_used[slot / 256][slot % 256 / 64] &= ~(1ull << slot % 64);
}

/* The first slot in use of a wheel, -1 for none. */
static int first_slot(const uint64_t *used) {
    for (int word = 0; word < NUMI_ORDERS_SLOT_COUNT / 64; word++)
        if (used[word] != 0)
            return word * 64 + __builtin_ctzll(used[word]);
    return -1;
}

/* Its end is near: what numi_orders_remove will touch. */
static void prefetch_queue(struct numi_orders *orders, const struct numi_orders_order *order) {
    __builtin_prefetch(level_of(orders, order), 1);
    if (order->next != NONE)
        __builtin_prefetch(&orders->orders[order->next], 1);
    if (order->previous != NONE)
        __builtin_prefetch(&orders->orders[order->previous], 1);
}

/* Time moves to the beginning of a slot, and who hangs there moves to finer wheels. */
static void open_slot(struct numi_orders *orders, uint32_t wheel, uint32_t at) {
    uint32_t slot = wheel * NUMI_ORDERS_SLOT_COUNT + at;
    uint64_t above = wheel == NUMI_ORDERS_WHEEL_COUNT - 1 ? 0 : UINT64_MAX << 8 * (wheel + 1);
    orders->now = (orders->now & above) | (uint64_t)at << 8 * wheel;
    uint32_t index = orders->slots[slot];
    orders->slots[slot] = NONE;
    orders->slots_used[wheel][at / 64] &= ~(1ull << at % 64);
    while (index != NONE) {
        uint32_t later = orders->orders[index].later;
        if (later != NONE)
            __builtin_prefetch(&orders->orders[later]);
        calendar_insert(orders, index);
        if (wheel == 1)
            prefetch_queue(orders, &orders->orders[index]);
        index = later;
    }
}

uint32_t numi_orders_due(struct numi_orders *orders) {
    if (orders->live == 0)
        return NONE;
    for (;;) {
        uint32_t wheel = 0;
        int at;
        while ((at = first_slot(orders->slots_used[wheel])) < 0)
            wheel++;
        if (wheel == 0) {
            uint32_t index = orders->slots[at], later = orders->orders[index].later;
            orders->now = (orders->now & ~0xFFull) | (uint32_t)at;
            if (later != NONE)
                __builtin_prefetch(&orders->orders[later]);
            return index;
        }
        open_slot(orders, wheel, (uint32_t)at);
    }
}

/* ---- Both. */

void numi_orders_insert(struct numi_orders *orders, uint32_t index, uint64_t life) {
    struct numi_orders_order *order = &orders->orders[index];
    order->end = orders->now + life;
    queue_insert(orders, index);
    calendar_insert(orders, index);
    orders->live++;
    orders->deep_live += order->deep;
}

void numi_orders_remove(struct numi_orders *orders, uint32_t index) {
    struct numi_orders_order *order = &orders->orders[index];
    queue_remove(orders, order);
    calendar_remove(orders, order);
    orders->live--;
    orders->deep_live -= order->deep;
    order->quantity = 0;
    order->next = orders->free_head;
    orders->free_head = index;
}
