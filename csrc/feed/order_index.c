#include "feed/order_index.h"

#include <string.h>

#include "base/error.h"

enum { MOVE_MAX = NUMI_WINDOW_LEAP + NUMI_WINDOW_BLOCK }; /* orders that one insert may send off */

static int open_window(struct numi_order_index *index, uint64_t id_count) {
    uint64_t size = id_count * sizeof *index->window;
    int code = numi_region_open(&index->memory, size);
    if (code == NUMI_OK)
        code = numi_region_grow(&index->memory, size);
    index->window = (uint32_t *)index->memory.base;
    index->window_mask = id_count - 1;
    return code;
}

int numi_order_index_open(struct numi_order_index *index, uint32_t window_bits, uint64_t seed,
                          struct numi_order *orders) {
    uint32_t bits = window_bits < NUMI_WINDOW_BITS_MIN ? window_bits : NUMI_WINDOW_BITS_MIN;
    memset(index, 0, sizeof *index);
    index->orders = orders;
    index->window_max = 1ull << window_bits;
    int code = open_window(index, 1ull << bits);
    if (code == NUMI_OK)
        code = numi_table_open(&index->table, MOVE_MAX, seed);
    if (code != NUMI_OK)
        numi_order_index_close(index);
    return code;
}

void numi_order_index_close(struct numi_order_index *index) {
    numi_region_close(&index->memory);
    numi_table_close(&index->table);
}

uint64_t numi_order_index_memory(const struct numi_order_index *index) {
    return index->memory.size + index->table.memory.size;
}

int numi_order_index_copy(struct numi_order_index *to, const struct numi_order_index *from,
                          struct numi_order *orders) {
    *to = *from;
    to->orders = orders;
    memset(&to->table, 0, sizeof to->table);
    memset(&to->memory, 0, sizeof to->memory);
    int code = open_window(to, from->window_mask + 1);
    if (code == NUMI_OK)
        code = numi_table_copy(&to->table, &from->table);
    if (code != NUMI_OK) {
        numi_order_index_close(to);
        return code;
    }
    memcpy(to->window, from->window, (from->window_mask + 1) * sizeof *from->window);
    return NUMI_OK;
}

static void put(struct numi_order_index *index, uint64_t id, uint32_t number, bool is_odd) {
    index->orders[number].is_odd = is_odd;
    index->odd_count += is_odd;
    numi_table_put(&index->table, numi_table_hash(&index->table, id), number);
}

/* The lowest ids of the window go to the table: they lie before it now, and so are not odd. */
static void leave_block(struct numi_order_index *index) {
    uint32_t *slots = &index->window[index->base & index->window_mask];
    for (uint32_t i = 0; i < NUMI_WINDOW_BLOCK; i++)
        if (slots[i] != 0) {
            put(index, index->base + i, slots[i], false);
            slots[i] = 0;
        }
    index->base += NUMI_WINDOW_BLOCK;
}

static void count_streak(struct numi_order_index *index, uint64_t id) {
    bool rises = id > index->last_odd && id - index->last_odd <= NUMI_WINDOW_LEAP;
    index->streak = rises ? index->streak + 1 : 0;
    index->last_odd = id;
}

void numi_order_index_insert_odd(struct numi_order_index *index, uint64_t id, uint32_t number) {
    uint64_t last = index->base + index->window_mask;
    if (id < index->base || id - last > NUMI_WINDOW_LEAP) {
        count_streak(index, id);
        put(index, id, number, id > last);
        return;
    }
    while (!numi_in_window(index, id))
        leave_block(index);
    index->window[id & index->window_mask] = number;
    index->streak = 0;
}

/* ---- Quiet moments. */

static uint64_t highest_base(const struct numi_order_index *index) {
    return UINT64_MAX - index->window_mask;
}

/* Which of the table's ids the window may reach, or has reached. */
static void mark_odd(struct numi_order_index *index) {
    index->odd_count = 0;
    for (uint64_t at = 0; at <= index->table.mask; at++)
        if (index->table.entries[at] != 0) {
            struct numi_order *order = &index->orders[(uint32_t)index->table.entries[at]];
            order->is_odd = order->id >= index->base;
            index->odd_count += order->is_odd;
        }
}

/* Everything in the window goes to the table, and the window to where ids come now: most of it
 * ahead of them. */
static void move_window(struct numi_order_index *index) {
    uint64_t size = index->window_mask + 1, highest = highest_base(index);
    for (uint64_t left = size; left > 0; left -= NUMI_WINDOW_BLOCK)
        leave_block(index);
    uint64_t base = index->last_odd > size / 4 ? index->last_odd - size / 4 : 0;
    base = base < highest ? base : highest;
    index->base = base & ~(uint64_t)(NUMI_WINDOW_BLOCK - 1);
    index->streak = 0;
    mark_odd(index);
}

static int grow_table(struct numi_order_index *index, uint64_t count) {
    struct numi_table fresh;
    int outgrown = numi_table_outgrown(&index->table, count, &fresh);
    if (outgrown <= 0)
        return outgrown;
    for (uint64_t at = 0; at <= index->table.mask; at++) {
        uint32_t number = (uint32_t)index->table.entries[at];
        if (number != 0)
            numi_table_put(&fresh, numi_table_hash(&fresh, index->orders[number].id), number);
    }
    fresh.is_crowded = false; /* once a moment is enough */
    numi_table_close(&index->table);
    index->table = fresh;
    return NUMI_OK;
}

/* As wide as the orders that rest ask for, unless most ids are odd: then no window would catch
 * them.
 */
static int widen_window(struct numi_order_index *index, uint64_t live) {
    uint64_t id_count = index->window_mask + 1;
    while (index->odd_count <= live / 2 && id_count < index->window_max &&
           id_count < live * NUMI_WINDOW_IDS)
        id_count *= 2;
    if (id_count == index->window_mask + 1)
        return NUMI_OK;
    struct numi_order_index old = *index;
    int code = open_window(index, id_count);
    if (code != NUMI_OK) {
        numi_region_close(&index->memory);
        *index = old;
        return code;
    }
    if (index->base > highest_base(index))
        index->base = highest_base(index);
    for (uint64_t id = old.base;; id++) {
        index->window[id & index->window_mask] = old.window[id & old.window_mask];
        if (id - old.base == old.window_mask)
            break;
    }
    numi_region_close(&old.memory);
    mark_odd(index);
    return NUMI_OK;
}

int numi_order_index_grow(struct numi_order_index *index, uint64_t live, uint64_t more) {
    bool moves = index->streak >= NUMI_WINDOW_STREAK;
    uint64_t count = moves ? live : index->table.count;
    int code = grow_table(index, count + more + MOVE_MAX);
    if (code == NUMI_OK && moves)
        move_window(index);
    return code == NUMI_OK ? widen_window(index, live) : code;
}

void numi_order_index_clear(struct numi_order_index *index) {
    memset(index->window, 0, (index->window_mask + 1) * sizeof *index->window);
    numi_table_clear(&index->table);
    index->base = index->odd_count = index->last_odd = index->streak = 0;
}
