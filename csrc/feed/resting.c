#include "feed/resting.h"

#include <string.h>

#include "base/error.h"

static uint64_t window_size(const struct numi_resting *orders) {
    return orders->window_mask + 1;
}

static_assert(NUMI_WINDOW_BLOCK == 64, "a bit each");

/* Which ids of a block rest, a bit each. */
static uint64_t resting(const struct numi_resting *orders, uint64_t first) {
    const struct numi_order *at = &orders->at[numi_window_number(orders, first)];
    uint64_t any = 0, resting = 0;
    for (int i = 0; i < NUMI_WINDOW_BLOCK; i++)
        any |= at[i].quantity;
    if (any == 0)
        return 0;
    for (int i = 0; i < NUMI_WINDOW_BLOCK; i++)
        resting |= (uint64_t)(at[i].quantity != 0) << i;
    return resting;
}

/* The window begins at `base`, and its first block leaves next. */
static void set_base(struct numi_resting *orders, uint64_t base) {
    orders->base = base;
    orders->young_base = base + NUMI_WINDOW_BLOCK;
    orders->young_mask = orders->window_mask - NUMI_WINDOW_BLOCK;
    orders->leaving = resting(orders, base);
}

/* ---- Opening. */

/* Two regions behind each other: of the window's numbers, and of those outside. */
static int open_pair(struct numi_region *window, struct numi_region *outside, uint64_t window_bytes,
                     uint64_t outside_bytes) {
    int code = numi_region_open(window, window_bytes + outside_bytes);
    if (code == NUMI_OK)
        numi_region_split(window, window_bytes, outside);
    return code;
}

static int open_regions(struct numi_resting *orders, uint64_t outside_max) {
    const uint64_t order_size = sizeof *orders->at, link_size = sizeof *orders->links;
    uint64_t first = orders->first_outside;
    int code = open_pair(&orders->window_memory, &orders->outside_memory, first * order_size,
                         outside_max * order_size);
    if (code == NUMI_OK)
        code = open_pair(&orders->window_links, &orders->outside_links, first * link_size,
                         outside_max * link_size);
    if (code == NUMI_OK)
        code = numi_region_open(&orders->id_memory, outside_max * sizeof *orders->id_highs);
    orders->at = (struct numi_order *)orders->window_memory.base;
    orders->links = (struct numi_order_link *)orders->window_links.base;
    orders->id_highs = (uint32_t *)orders->id_memory.base;
    return code;
}

static int grow_window(struct numi_resting *orders, uint64_t size) {
    uint64_t count = NUMI_WINDOW_FIRST + size;
    int code = numi_region_grow(&orders->window_memory, count * sizeof *orders->at);
    if (code == NUMI_OK)
        code = numi_region_grow(&orders->window_links, count * sizeof *orders->links);
    return code;
}

int numi_resting_open(struct numi_resting *orders, uint32_t window_bits, uint64_t order_max,
                      uint64_t seed, struct numi_level *levels) {
    uint32_t bits = window_bits < NUMI_WINDOW_BITS_MIN ? window_bits : NUMI_WINDOW_BITS_MIN;
    memset(orders, 0, sizeof *orders);
    orders->levels = levels;
    orders->window_mask = (1ull << bits) - 1;
    orders->window_max = 1ull << window_bits;
    orders->first_outside =
        (uint32_t)numi_round_up(NUMI_WINDOW_FIRST + orders->window_max, NUMI_REGION_UNIT);
    orders->outside.used = orders->outside.room = orders->first_outside;
    int code = open_regions(orders, order_max + NUMI_WINDOW_SENDS);
    if (code == NUMI_OK)
        code = grow_window(orders, window_size(orders));
    if (code == NUMI_OK)
        set_base(orders, 0);
    for (int i = 0; i < NUMI_RESTING_TABLES && code == NUMI_OK; i++)
        code = numi_table_open(&orders->tables[i], NUMI_WINDOW_SENDS, seed);
    return code;
}

void numi_resting_close(struct numi_resting *orders) {
    for (int i = 0; i < NUMI_RESTING_TABLES; i++)
        numi_table_close(&orders->tables[i]);
    numi_region_close(&orders->id_memory);
    numi_region_close(&orders->outside_links);
    numi_region_close(&orders->window_links);
    numi_region_close(&orders->outside_memory);
    numi_region_close(&orders->window_memory);
}

uint64_t numi_resting_memory(const struct numi_resting *orders) {
    return orders->window_memory.size + orders->window_links.size + orders->outside_memory.size +
           orders->outside_links.size + orders->id_memory.size + orders->tables[0].memory.size +
           orders->tables[1].memory.size;
}

/* ---- Finding. */

static uint32_t find_in(const struct numi_resting *orders, const struct numi_table *table,
                        uint64_t id) {
    uint32_t number, hash = numi_table_hash(table, id);
    uint64_t at = numi_table_place(table, hash);
    do
        number = numi_table_next(table, hash, &at);
    while (number != 0 && orders->at[number].id_low != (uint32_t)id);
    return number; /* a hash and the lower half have one upper half */
}

uint32_t numi_resting_find_outside(const struct numi_resting *orders, uint64_t id) {
    uint32_t number = 0;
    if (id < orders->base)
        number = find_in(orders, &orders->tables[NUMI_RESTING_BEFORE], id);
    if (number != 0 || orders->tables[NUMI_RESTING_AHEAD].count == 0)
        return number;
    return find_in(orders, &orders->tables[NUMI_RESTING_AHEAD], id);
}

/* ---- Outside. */

static void put_outside(struct numi_resting *orders, enum numi_resting_table which, uint64_t id,
                        uint32_t number) {
    struct numi_table *table = &orders->tables[which];
    numi_table_put(table, numi_table_hash(table, id), number);
}

static uint32_t take_outside(struct numi_resting *orders, enum numi_resting_table which,
                             uint64_t id) {
    struct numi_slab *slab = &orders->outside;
    uint32_t number = numi_slab_take(slab, orders->at[slab->free].id_low);
    orders->id_highs[number - orders->first_outside] = (uint32_t)(id >> 32);
    put_outside(orders, which, id, number);
    return number;
}

static bool remove_from(struct numi_table *table, uint64_t id, uint32_t number) {
    return numi_table_remove(table, numi_table_hash(table, id), number);
}

void numi_resting_remove_outside(struct numi_resting *orders, uint64_t id, uint32_t number) {
    bool is_gone =
        id < orders->base && remove_from(&orders->tables[NUMI_RESTING_BEFORE], id, number);
    if (!is_gone)
        is_gone = remove_from(&orders->tables[NUMI_RESTING_AHEAD], id, number);
    NUMI_REQUIRE(is_gone);
    orders->at[number].id_low = orders->outside.free;
    orders->outside.free = number;
}

/* How many stand outside. */
static uint64_t outside_count(const struct numi_resting *orders) {
    return orders->tables[NUMI_RESTING_BEFORE].count + orders->tables[NUMI_RESTING_AHEAD].count;
}

bool numi_resting_has_room_outside(const struct numi_resting *orders) {
    uint64_t room = orders->outside.room - orders->first_outside;
    return outside_count(orders) + NUMI_WINDOW_SENDS <= room &&
           numi_table_has_room(&orders->tables[NUMI_RESTING_BEFORE], NUMI_WINDOW_SENDS) &&
           numi_table_has_room(&orders->tables[NUMI_RESTING_AHEAD], NUMI_WINDOW_SENDS);
}

/* ---- The window moves on. */

static void change_number(struct numi_resting *orders, uint32_t from, uint32_t to) {
    orders->at[to] = orders->at[from];
    orders->at[from].quantity = 0;
    numi_level_rename(&orders->levels[orders->at[to].level], orders->links, from, to);
}

/* The first block leaves. What leaves after it is on its way by then: records two blocks ahead,
 * their levels and places in the table one. */
static void leave_block(struct numi_resting *orders) {
    const struct numi_table *table = &orders->tables[NUMI_RESTING_BEFORE];
    for (uint64_t left = orders->leaving; left != 0; left &= left - 1) {
        uint64_t id = orders->base + (uint64_t)__builtin_ctzll(left);
        uint32_t number = numi_window_number(orders, id);
        if (orders->at[number].quantity != 0)
            change_number(orders, number, take_outside(orders, NUMI_RESTING_BEFORE, id));
    }
    set_base(orders, orders->base + NUMI_WINDOW_BLOCK);
    for (uint64_t i = 0; i < NUMI_WINDOW_BLOCK; i += 4)
        __builtin_prefetch(&orders->at[numi_window_number(orders, orders->young_base + i)], 1);
    for (uint64_t left = orders->leaving; left != 0; left &= left - 1) {
        uint64_t id = orders->base + (uint64_t)__builtin_ctzll(left);
        __builtin_prefetch(&orders->levels[orders->at[numi_window_number(orders, id)].level], 1);
        __builtin_prefetch(&table->entries[numi_table_place(table, numi_table_hash(table, id))], 1);
    }
}

static void count_streak(struct numi_resting *orders, uint64_t id) {
    bool rises = id > orders->last_outside && id - orders->last_outside <= NUMI_WINDOW_LEAP;
    orders->streak = rises ? orders->streak + 1 : 0;
    orders->last_outside = id;
}

static bool is_outside(const struct numi_resting *orders, uint64_t id) {
    uint64_t last = orders->base + orders->window_mask;
    return id < orders->base || (id > last && id - last > NUMI_WINDOW_LEAP);
}

uint32_t numi_resting_insert_old(struct numi_resting *orders, uint64_t id) {
    if (is_outside(orders, id)) {
        count_streak(orders, id);
        return take_outside(orders, id < orders->base ? NUMI_RESTING_BEFORE : NUMI_RESTING_AHEAD,
                            id);
    }
    while (!numi_in_window(orders, id))
        leave_block(orders);
    orders->streak = 0;
    if (id - orders->base < NUMI_WINDOW_BLOCK)
        orders->leaving |= 1ull << (id - orders->base);
    return numi_window_number(orders, id);
}

/* ---- Quiet moments. */

static uint64_t highest_base(const struct numi_resting *orders) {
    return UINT64_MAX - orders->window_mask;
}

/* Room for `count` entries, by a table hashed anew where it takes one. */
static int grow_table(struct numi_resting *orders, struct numi_table *table, uint64_t count) {
    struct numi_table fresh;
    int outgrown = numi_table_outgrown(table, count, &fresh);
    if (outgrown <= 0)
        return outgrown;
    for (uint64_t at = 0; at <= table->mask; at++) {
        uint32_t number = (uint32_t)table->entries[at];
        if (number != 0)
            numi_table_put(&fresh, numi_table_hash(&fresh, numi_order_id(orders, number)), number);
    }
    fresh.is_crowded = false; /* once a moment is enough */
    numi_table_close(table);
    *table = fresh;
    return NUMI_OK;
}

static int grow_tables(struct numi_resting *orders, uint64_t before, uint64_t ahead) {
    int code = grow_table(orders, &orders->tables[NUMI_RESTING_BEFORE], before + NUMI_WINDOW_SENDS);
    return code == NUMI_OK
               ? grow_table(orders, &orders->tables[NUMI_RESTING_AHEAD], ahead + NUMI_WINDOW_SENDS)
               : code;
}

static int grow_outside(struct numi_resting *orders, uint64_t count) {
    uint64_t wanted = count + NUMI_WINDOW_SENDS;
    int code = numi_region_grow(&orders->outside_memory, wanted * sizeof *orders->at);
    if (code == NUMI_OK)
        code = numi_region_grow(&orders->outside_links, wanted * sizeof *orders->links);
    if (code == NUMI_OK)
        code = numi_region_grow(&orders->id_memory, wanted * sizeof *orders->id_highs);
    uint64_t room = orders->outside.room - orders->first_outside;
    orders->outside.room =
        orders->first_outside + (uint32_t)(code == NUMI_OK && wanted > room ? wanted : room);
    return code;
}

/* After the base has moved down: those of the ids before it that are so no more. There is room. */
static void settle_tables(struct numi_resting *orders) {
    struct numi_table *before = &orders->tables[NUMI_RESTING_BEFORE];
    for (uint64_t at = 0; at <= before->mask;) {
        uint32_t number = (uint32_t)before->entries[at];
        uint64_t id = number != 0 ? numi_order_id(orders, number) : 0;
        if (number == 0 || id < orders->base) {
            at++;
            continue;
        }
        remove_from(before, id, number); /* another may have moved here */
        put_outside(orders, NUMI_RESTING_AHEAD, id, number);
    }
}

/* Everything in the window goes outside, and the window to where ids come now: most of it ahead of
 * them. */
static void move_window(struct numi_resting *orders) {
    uint64_t size = window_size(orders), highest = highest_base(orders);
    for (uint64_t left = size; left > 0; left -= NUMI_WINDOW_BLOCK)
        leave_block(orders);
    uint64_t base = orders->last_outside > size / 4 ? orders->last_outside - size / 4 : 0;
    base = base < highest ? base : highest;
    set_base(orders, base & ~(uint64_t)(NUMI_WINDOW_BLOCK - 1));
    orders->streak = 0;
    settle_tables(orders);
}

/* Twice as wide: half of the orders, on average, stand in the other half now. */
static int widen_window(struct numi_resting *orders) {
    uint64_t size = window_size(orders);
    int code = grow_window(orders, 2 * size);
    if (code != NUMI_OK)
        return code;
    for (uint64_t id = orders->base; id - orders->base < size; id++) {
        uint32_t from = NUMI_WINDOW_FIRST + (uint32_t)(id & (size - 1));
        uint32_t to = NUMI_WINDOW_FIRST + (uint32_t)(id & (2 * size - 1));
        if (from != to && orders->at[from].quantity != 0)
            change_number(orders, from, to);
    }
    uint64_t base = orders->base;
    orders->window_mask = 2 * size - 1;
    set_base(orders, base < highest_base(orders) ? base : highest_base(orders));
    if (orders->base != base)
        settle_tables(orders);
    return NUMI_OK;
}

/* As wide as the orders that rest ask for, unless most of them have leapt: then no window would
 * catch them. */
static bool is_narrow(const struct numi_resting *orders, uint64_t live) {
    uint64_t size = window_size(orders);
    return size < orders->window_max && size < live * NUMI_WINDOW_IDS &&
           orders->tables[NUMI_RESTING_AHEAD].count <= live / 2;
}

int numi_resting_grow(struct numi_resting *orders, uint64_t live, uint64_t more) {
    bool moves = orders->streak >= NUMI_WINDOW_STREAK;
    bool settles = moves || orders->base > UINT64_MAX - orders->window_max;
    uint64_t before = settles ? live : orders->tables[NUMI_RESTING_BEFORE].count;
    uint64_t ahead = settles ? live : orders->tables[NUMI_RESTING_AHEAD].count;
    int code = grow_tables(orders, before + more, ahead + more);
    if (code == NUMI_OK)
        code = grow_outside(orders, (moves ? live : outside_count(orders)) + more);
    if (code == NUMI_OK && moves)
        move_window(orders);
    while (code == NUMI_OK && is_narrow(orders, live))
        code = widen_window(orders);
    return code;
}

void numi_resting_clear(struct numi_resting *orders) {
    memset(orders->at, 0, (NUMI_WINDOW_FIRST + window_size(orders)) * sizeof *orders->at);
    for (int i = 0; i < NUMI_RESTING_TABLES; i++)
        numi_table_clear(&orders->tables[i]);
    orders->outside.free = 0;
    orders->outside.used = orders->first_outside;
    orders->last_outside = orders->streak = 0;
    set_base(orders, 0);
}

/* ---- Copying. */

static int copy_regions(struct numi_resting *to, const struct numi_resting *from) {
    int code = numi_region_copy(&to->window_memory, &from->window_memory);
    if (code == NUMI_OK)
        code = numi_region_copy(&to->window_links, &from->window_links);
    if (code == NUMI_OK)
        code = numi_region_copy(&to->outside_memory, &from->outside_memory);
    if (code == NUMI_OK)
        code = numi_region_copy(&to->outside_links, &from->outside_links);
    if (code == NUMI_OK)
        code = numi_region_copy(&to->id_memory, &from->id_memory);
    return code;
}

static int copy_tables(struct numi_resting *to, const struct numi_resting *from) {
    int code = NUMI_OK;
    for (int i = 0; i < NUMI_RESTING_TABLES && code == NUMI_OK; i++) {
        numi_table_close(&to->tables[i]);
        code = numi_table_copy(&to->tables[i], &from->tables[i]);
    }
    return code;
}

int numi_resting_copy(struct numi_resting *to, const struct numi_resting *from) {
    int code = copy_regions(to, from);
    if (code == NUMI_OK)
        code = copy_tables(to, from);
    to->window_mask = from->window_mask;
    to->outside = from->outside;
    to->last_outside = from->last_outside;
    to->streak = from->streak;
    if (code == NUMI_OK)
        set_base(to, from->base);
    return code;
}
