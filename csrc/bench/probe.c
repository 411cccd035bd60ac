#include "bench/probe.h"

#include "base/clock.h"
#include "base/region.h"
#include "wire/bytes.h"

enum {
    SLOT_MAX = 1 << 28,
    LEVEL_BITS = 20,
    ORDER_MAX = 1 << 22,
    FAR = 32,
    MIDDLE = 20,
    NEAR = 10,
    AHEAD = 64,
};

struct order {
    uint32_t quantity, level, previous, next;
};

struct level {
    uint64_t key, quantity;
    uint32_t front, back, count, unused;
};

struct probe {
    uint32_t *slots;
    struct order *orders;
    struct level *levels;
    uint32_t free, used;
    struct numi_region slot_memory, order_memory, level_memory;
};

static bool is_add(const uint8_t *message) {
    return message[0] == 'A' || message[0] == 'F';
}

static bool names_order(const uint8_t *message) {
    switch (message[0]) {
    case 'E':
    case 'C':
    case 'X':
    case 'D':
    case 'U':
        return true;
    default:
        return false;
    }
}

static uint64_t order_of(const uint8_t *message) {
    return numi_be64(message + 11);
}

static const uint8_t *behind(const uint8_t *at) {
    return at + 2 + numi_be16(at);
}

static bool is_whole(const uint8_t *at, const uint8_t *end) {
    return end - at >= 2 && end - at - 2 >= numi_be16(at) && numi_be16(at) > 0;
}

/* Locate, side and price. */
static uint64_t key_of_add(const uint8_t *message) {
    return 1ull << 63 | (uint64_t)numi_be16(message + 1) << 40 |
           (uint64_t)(message[19] == 'B') << 39 | numi_be32(message + 32);
}

static uint32_t place_of(uint64_t key) {
    return (uint32_t)(key * 0x9E3779B97F4A7C15u >> (64 - LEVEL_BITS));
}

static uint32_t find_level(struct probe *probe, uint64_t key) {
    uint32_t at = place_of(key);
    while (probe->levels[at].key != 0 && probe->levels[at].key != key)
        at = (at + 1) & ((1u << LEVEL_BITS) - 1);
    probe->levels[at].key = key;
    return at;
}

static inline void insert(struct probe *probe, uint64_t id, uint32_t quantity, uint32_t at) {
    uint32_t number = probe->free;
    if (number != 0)
        probe->free = probe->orders[number].next;
    else
        number = probe->used++;
    struct level *level = &probe->levels[at];
    probe->orders[number] = (struct order){quantity, at, level->back, 0};
    *(level->back != 0 ? &probe->orders[level->back].next : &level->front) = number;
    level->back = number;
    level->quantity += quantity;
    level->count++;
    probe->slots[id] = number;
}

static inline void remove(struct probe *probe, uint64_t id) {
    uint32_t number = probe->slots[id];
    struct order *order = &probe->orders[number];
    struct level *level = &probe->levels[order->level];
    level->quantity -= order->quantity;
    level->count--;
    *(order->previous != 0 ? &probe->orders[order->previous].next : &level->front) = order->next;
    *(order->next != 0 ? &probe->orders[order->next].previous : &level->back) = order->previous;
    probe->slots[id] = 0;
    order->next = probe->free;
    probe->free = number;
}

static inline void reduce(struct probe *probe, uint64_t id, uint32_t quantity) {
    struct order *order = &probe->orders[probe->slots[id]];
    if (quantity >= order->quantity) {
        remove(probe, id);
        return;
    }
    order->quantity -= quantity;
    probe->levels[order->level].quantity -= quantity;
}

static inline void replace(struct probe *probe, const uint8_t *message) {
    uint64_t id = order_of(message);
    uint64_t key = probe->levels[probe->orders[probe->slots[id]].level].key;
    remove(probe, id);
    key = (key & ~0x7FFFFFFFFFull) | numi_be32(message + 31);
    insert(probe, numi_be64(message + 19), numi_be32(message + 27), find_level(probe, key));
}

static inline void apply(struct probe *probe, const uint8_t *message) {
    switch (message[0]) {
    case 'A':
    case 'F':
        insert(probe, order_of(message), numi_be32(message + 20),
               find_level(probe, key_of_add(message)));
        return;
    case 'E':
    case 'C':
    case 'X':
        reduce(probe, order_of(message), numi_be32(message + 19));
        return;
    case 'D':
        remove(probe, order_of(message));
        return;
    case 'U':
        replace(probe, message);
        return;
    default:
        return;
    }
}

/* ---- Ahead; as macros, since gcc drops functions that only prefetch. */

#define LOOK_FAR(probe, message)                                                                   \
    do {                                                                                           \
        if (is_add(message))                                                                       \
            __builtin_prefetch(&(probe)->levels[place_of(key_of_add(message))], 1);                \
        if (is_add(message) || names_order(message))                                               \
            __builtin_prefetch(&(probe)->slots[order_of(message)], 1);                             \
    } while (0)

#define LOOK_MIDDLE(probe, message)                                                                \
    do {                                                                                           \
        if (names_order(message))                                                                  \
            __builtin_prefetch(&(probe)->orders[(probe)->slots[order_of(message)]], 1);            \
    } while (0)

#define LOOK_NEAR(probe, message)                                                                  \
    do {                                                                                           \
        if (names_order(message)) {                                                                \
            const struct order *order = &(probe)->orders[(probe)->slots[order_of(message)]];       \
            __builtin_prefetch(&(probe)->levels[order->level], 1);                                 \
            __builtin_prefetch(&(probe)->orders[order->previous], 1);                              \
            __builtin_prefetch(&(probe)->orders[order->next], 1);                                  \
        } else if (is_add(message)) {                                                              \
            uint32_t level = find_level(probe, key_of_add(message));                               \
            __builtin_prefetch(&(probe)->orders[(probe)->levels[level].back], 1);                  \
        }                                                                                          \
    } while (0)

static uint64_t run_ahead(struct probe *probe, const uint8_t *at, const uint8_t *end) {
    const uint8_t *ahead = at, *messages[AHEAD];
    uint64_t count = 0, seen = 0;
    for (; is_whole(at, end); at = behind(at), count++) {
        for (; seen < count + FAR && is_whole(ahead, end); ahead = behind(ahead), seen++) {
            messages[seen % AHEAD] = ahead + 2;
            LOOK_FAR(probe, ahead + 2);
        }
        if (count + MIDDLE < seen)
            LOOK_MIDDLE(probe, messages[(count + MIDDLE) % AHEAD]);
        if (count + NEAR < seen)
            LOOK_NEAR(probe, messages[(count + NEAR) % AHEAD]);
        apply(probe, at + 2);
    }
    return count;
}

static uint64_t run_plain(struct probe *probe, const uint8_t *at, const uint8_t *end) {
    uint64_t count = 0;
    for (; is_whole(at, end); at = behind(at), count++)
        apply(probe, at + 2);
    return count;
}

/* ---- Memory. */

static uint64_t highest_id(const uint8_t *at, const uint8_t *end) {
    uint64_t highest = 0;
    for (; is_whole(at, end); at = behind(at)) {
        const uint8_t *message = at + 2;
        uint64_t id = is_add(message)     ? order_of(message)
                      : message[0] == 'U' ? numi_be64(message + 19)
                                          : 0;
        highest = id > highest ? id : highest;
    }
    return highest;
}

static bool open_region(struct numi_region *region, uint64_t size) {
    return numi_region_open(region, size) == 0 && numi_region_grow(region, size) == 0;
}

static bool open_probe(struct probe *probe, uint64_t highest) {
    *probe = (struct probe){.used = 1};
    if (highest >= SLOT_MAX ||
        !open_region(&probe->slot_memory, (highest + 1) * sizeof *probe->slots) ||
        !open_region(&probe->order_memory, (uint64_t)ORDER_MAX * sizeof *probe->orders) ||
        !open_region(&probe->level_memory, sizeof *probe->levels << LEVEL_BITS))
        return false;
    probe->slots = (uint32_t *)probe->slot_memory.base;
    probe->orders = (struct order *)probe->order_memory.base;
    probe->levels = (struct level *)probe->level_memory.base;
    return true;
}

static void close_probe(struct probe *probe) {
    numi_region_close(&probe->slot_memory);
    numi_region_close(&probe->order_memory);
    numi_region_close(&probe->level_memory);
}

uint64_t numi_bench_probe_book(const uint8_t *bytes, uint64_t size, int looks_ahead,
                               uint64_t *messages) {
    struct probe probe;
    uint64_t spent = 0;
    *messages = 0;
    if (open_probe(&probe, highest_id(bytes, bytes + size))) {
        uint64_t begin = numi_ticks_fenced();
        *messages = looks_ahead ? run_ahead(&probe, bytes, bytes + size)
                                : run_plain(&probe, bytes, bytes + size);
        spent = numi_ticks_fenced() - begin;
    }
    close_probe(&probe);
    return spent;
}
