#include "feed/ladder.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"

#define TICK(size)                                                                                 \
    {((1ull << NUMI_LADDER_SHIFT) + (size) - 1) / (size), (size) * (uint64_t)NUMI_LADDER_NEAR}

/* The square of the largest times 256 is less than 2^55: so a rest is never rounded away. */
const struct numi_tick numi_ticks[NUMI_LADDER_TICKS] = {
    TICK(1),     TICK(10),     TICK(100),     TICK(1000),
    TICK(10000), TICK(100000), TICK(1000000), TICK(10000000),
};

enum {
    RUNGS_A_UNIT = 4,
    PLACE_UNITS = 4, /* of the first class */
    OPENS_FIRST = 16,
    CENSUS = 64,    /* levels that say what a tick is */
    TOUCH_AT = 191, /* slot of the best price in bits laid out anew: there is more below it */
    SUNK = 64,      /* below this one they are laid out anew */
};

/* ---- Places of what is far. */

static uint64_t units_of(uint32_t class) {
    return (uint64_t)PLACE_UNITS << class;
}

static uint64_t room_of(uint32_t class) {
    return units_of(class) * RUNGS_A_UNIT;
}

static void *at_unit(const struct numi_ladders *ladders, uint64_t unit) {
    return ladders->memory.base + unit * NUMI_LADDER_UNIT;
}

static bool has_units(const struct numi_ladders *ladders, uint64_t units) {
    return (ladders->used + units) * NUMI_LADDER_UNIT <= ladders->memory.size;
}

static uint32_t take_units(struct numi_ladders *ladders, uint64_t units) {
    ladders->used += units;
    return (uint32_t)(ladders->used - units);
}

static uint32_t take_place(struct numi_ladders *ladders, uint32_t class) {
    uint32_t place = ladders->free[class];
    if (place == 0)
        return take_units(ladders, units_of(class));
    ladders->free[class] = *(uint32_t *)at_unit(ladders, place);
    return place;
}

static void give_place(struct numi_ladders *ladders, uint32_t place, uint32_t class) {
    *(uint32_t *)at_unit(ladders, place) = ladders->free[class];
    ladders->free[class] = place;
}

/* NUMI_LADDER_CLASSES for too many. */
static uint32_t class_for(uint64_t count) {
    uint32_t class = 0;
    while (class < NUMI_LADDER_CLASSES && room_of(class) < count)
        class++;
    return class;
}

static bool fits(const struct numi_ladder_block *block, uint64_t count) {
    return count == 0 || (block->far_place != 0 && count <= room_of(block->far_class));
}

static bool can_hold(const struct numi_ladders *ladders, const struct numi_ladder_block *block,
                     uint64_t count) {
    uint32_t class = class_for(count);
    return fits(block, count) ||
           (class < NUMI_LADDER_CLASSES &&
            (ladders->free[class] != 0 || has_units(ladders, units_of(class))));
}

/* So many rungs at least; it can hold them. */
static struct numi_rung *hold(struct numi_ladders *ladders, const struct numi_ladder *ladder,
                              uint64_t count) {
    struct numi_ladder_block *block = numi_ladder_block(ladders, ladder);
    if (!fits(block, count)) {
        uint32_t class = class_for(count), place = take_place(ladders, class);
        if (block->far_place != 0) {
            memcpy(at_unit(ladders, place), at_unit(ladders, block->far_place),
                   ladder->far_count * sizeof(struct numi_rung));
            give_place(ladders, block->far_place, block->far_class);
        }
        block->far_place = place;
        block->far_class = class;
    }
    return at_unit(ladders, block->far_place);
}

static struct numi_rung *far_rungs(const struct numi_ladders *ladders,
                                   const struct numi_ladder *ladder) {
    return at_unit(ladders, numi_ladder_block(ladders, ladder)->far_place);
}

/* ---- What is far. */

/* The number of keys below `key`. */
static uint32_t search(const struct numi_rung *rungs, uint32_t count, int64_t key) {
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rungs[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

uint32_t numi_ladder_find_far(const struct numi_ladders *ladders, const struct numi_ladder *ladder,
                              int64_t key) {
    if (ladder->far_count == 0)
        return 0;
    const struct numi_rung *rungs = far_rungs(ladders, ladder);
    uint32_t at = search(rungs, ladder->far_count, key);
    return at < ladder->far_count && rungs[at].key == key ? rungs[at].level : 0;
}

static void put_far(struct numi_ladders *ladders, struct numi_ladder *ladder, int64_t key,
                    uint32_t level) {
    struct numi_rung *rungs = hold(ladders, ladder, ladder->far_count + 1ull);
    uint32_t at = search(rungs, ladder->far_count, key);
    memmove(rungs + at + 1, rungs + at, (ladder->far_count - at) * sizeof *rungs);
    rungs[at] = (struct numi_rung){.key = key, .level = level};
    ladder->far_count++;
    ladder->is_between |= key >= ladder->base;
}

void numi_ladder_remove_far(const struct numi_ladders *ladders, struct numi_ladder *ladder,
                            int64_t key) {
    struct numi_rung *rungs = far_rungs(ladders, ladder);
    uint32_t at = search(rungs, ladder->far_count, key);
    NUMI_CHECK(at < ladder->far_count && rungs[at].key == key);
    ladder->far_count--;
    memmove(rungs + at, rungs + at + 1, (ladder->far_count - at) * sizeof *rungs);
}

/* ---- What is near. */

static uint32_t near_count(const struct numi_ladder *ladder) {
    uint32_t count = 0;
    for (int word = 0; word < NUMI_LADDER_WORDS; word++)
        count += (uint32_t)__builtin_popcountll(ladder->near[word]);
    return count;
}

uint32_t numi_ladder_count(const struct numi_ladder *ladder) {
    return near_count(ladder) + ladder->far_count;
}

/* One more than the highest slot below `end` that has a level; 0 without. */
static uint32_t last_slot(const struct numi_ladder *ladder, uint32_t end) {
    if (end == 0)
        return 0;
    uint32_t word = (end - 1) / 64;
    uint64_t bits = ladder->near[word] & ~0ull >> (63 - (end - 1) % 64);
    while (bits == 0) {
        if (word == 0)
            return 0;
        bits = ladder->near[--word];
    }
    return word * 64 + 64 - (uint32_t)__builtin_clzll(bits);
}

static int64_t key_at(const struct numi_ladder *ladder, uint32_t slot) {
    return ladder->base + (int64_t)slot * numi_tick_size(ladder->tick);
}

static inline void put_near(struct numi_ladder *ladder, struct numi_ladder_block *block,
                            uint32_t slot, uint32_t level) {
    ladder->near[slot / 64] |= 1ull << slot % 64;
    block->levels[slot] = level;
}

/* The prices of this side that are multiples of a tick: by how much a key is above the next one. */
static uint64_t above_tick(uint8_t side, int64_t key, int64_t tick) {
    int64_t rest = numi_price_of(side, key) % tick;
    int64_t above = side == NUMI_SIDE_BID ? rest : -rest;
    return (uint64_t)(above < 0 ? above + tick : above);
}

/* The largest tick of which seven of eight are multiples. */
static uint8_t tick_of(uint8_t side, const struct numi_rung *rungs, uint32_t count) {
    for (uint8_t tick = NUMI_LADDER_TICKS - 1; tick > 0; tick--) {
        uint32_t fitting = 0;
        for (uint32_t i = 0; i < count; i++)
            fitting += above_tick(side, rungs[i].key, numi_tick_size(tick)) == 0;
        if (fitting * 8 >= count * 7)
            return tick;
    }
    return 0;
}

/* Bits around `touch`, none set. All slots are of keys that there are: else the least and the
 * greatest, modulo 2^64, could be of one. */
static void lay_out(struct numi_ladder *ladder, uint8_t side, int64_t touch, uint8_t tick) {
    uint64_t size = (uint64_t)numi_tick_size(tick), above = above_tick(side, touch, (int64_t)size);
    uint64_t lower = (uint64_t)touch - (uint64_t)INT64_MIN; /* keys */
    above = above <= lower ? above : 0;
    uint64_t below = (lower - above) / size; /* slots that there may be */
    uint64_t higher = ((uint64_t)INT64_MAX - (uint64_t)touch + above) / size;
    uint64_t at = below < TOUCH_AT ? below : TOUCH_AT;
    at = higher < NUMI_LADDER_NEAR - 1 - at ? NUMI_LADDER_NEAR - 1 - higher : at;
    ladder->tick = tick;
    ladder->base = (int64_t)((uint64_t)touch - above - at * size);
    memset(ladder->near, 0, sizeof ladder->near);
}

/* All that is near becomes far; it can hold it. */
static void spill(struct numi_ladders *ladders, struct numi_ladder *ladder) {
    const struct numi_ladder_block *block = numi_ladder_block(ladders, ladder);
    uint32_t count = numi_ladder_count(ladder), left = ladder->far_count, slot = NUMI_LADDER_NEAR;
    struct numi_rung *rungs = hold(ladders, ladder, count);
    for (uint32_t to = count; to > left;) {
        slot = last_slot(ladder, slot) - 1;
        int64_t key = key_at(ladder, slot);
        while (left > 0 && rungs[left - 1].key > key)
            rungs[--to] = rungs[--left];
        rungs[--to] = (struct numi_rung){.key = key, .level = block->levels[slot]};
    }
    ladder->far_count = count;
    memset(ladder->near, 0, sizeof ladder->near);
}

/* What is far and fits becomes near. */
static void gather(const struct numi_ladders *ladders, struct numi_ladder *ladder) {
    struct numi_ladder_block *block = numi_ladder_block(ladders, ladder);
    struct numi_rung *rungs = far_rungs(ladders, ladder);
    uint32_t first = search(rungs, ladder->far_count, ladder->base), to = first;
    for (uint32_t i = first; i < ladder->far_count; i++) {
        uint32_t slot = numi_ladder_slot(ladder, rungs[i].key);
        if (slot == NUMI_LADDER_NEAR)
            rungs[to++] = rungs[i];
        else
            put_near(ladder, block, slot, rungs[i].level);
    }
    ladder->far_count = to;
    ladder->is_between = to > first;
}

/* The bits anew, around the best of all; the ladder can hold what is near. */
static void lay_out_anew(struct numi_ladders *ladders, struct numi_ladder *ladder, uint8_t side) {
    spill(ladders, ladder);
    const struct numi_rung *rungs = far_rungs(ladders, ladder);
    uint32_t count = ladder->far_count, seen = count < CENSUS ? count : CENSUS;
    uint8_t tick = tick_of(side, rungs + count - seen, seen);
    lay_out(ladder, side, rungs[count - 1].key, tick);
    gather(ladders, ladder);
}

/* ---- Opening and closing levels. */

bool numi_ladder_has_room_far(const struct numi_ladders *ladders,
                              const struct numi_ladder *ladder) {
    if (ladder->block == 0)
        return has_units(ladders, NUMI_LADDER_BLOCK);
    return ladder->best == 0 ||
           can_hold(ladders, numi_ladder_block(ladders, ladder), numi_ladder_count(ladder) + 1ull);
}

static void start(struct numi_ladders *ladders, struct numi_ladder *ladder, uint8_t side,
                  int64_t key) {
    struct numi_rung only = {.key = key};
    if (ladder->block == 0) {
        ladder->block = take_units(ladders, NUMI_LADDER_BLOCK);
        *numi_ladder_block(ladders, ladder) =
            (struct numi_ladder_block){.far_opens_max = OPENS_FIRST};
        ladders->block_count++;
    }
    lay_out(ladder, side, key, tick_of(side, &only, 1));
    ladder->is_between = false;
}

static bool is_above(const struct numi_ladder *ladder, int64_t key) {
    uint64_t offset = (uint64_t)key - (uint64_t)ladder->base;
    return key >= ladder->base && offset >= numi_ticks[ladder->tick].span;
}

/* Once ticks have turned out right they are looked at less and less often. */
static void look_at_ticks(struct numi_ladders *ladders, struct numi_ladder *ladder, uint8_t side) {
    enum { OPENS_MOST = 1 << 24 };
    struct numi_ladder_block *block = numi_ladder_block(ladders, ladder);
    uint8_t tick = ladder->tick;
    lay_out_anew(ladders, ladder, side);
    block->far_opens = 0;
    if (ladder->tick != tick)
        block->far_opens_max = OPENS_FIRST;
    else if (block->far_opens_max < OPENS_MOST)
        block->far_opens_max *= 2;
}

static void insert_first(struct numi_ladders *ladders, struct numi_ladder *ladder, uint8_t side,
                         int64_t key, uint32_t level) {
    start(ladders, ladder, side, key);
    put_near(ladder, numi_ladder_block(ladders, ladder), numi_ladder_slot(ladder, key), level);
}

void numi_ladder_insert_far(struct numi_ladders *ladders, struct numi_ladder *ladder, uint8_t side,
                            int64_t key, uint32_t level) {
    if (ladder->best == 0) {
        insert_first(ladders, ladder, side, key, level);
        return;
    }
    struct numi_ladder_block *block = numi_ladder_block(ladders, ladder);
    hold(ladders, ladder, numi_ladder_count(ladder) + 1ull); /* all may become far */
    put_far(ladders, ladder, key, level);
    if (++block->far_opens >= block->far_opens_max)
        look_at_ticks(ladders, ladder, side);
    else if (key > ladder->best_key && is_above(ladder, key))
        lay_out_anew(ladders, ladder, side);
}

/* The touch has sunk to the lowest bits, or below them all: then it lies among what is far, which
 * finds room where it is. */
static bool sinks(const struct numi_ladders *ladders, const struct numi_ladder *ladder,
                  uint32_t slot_count) {
    return slot_count <= SUNK && ladder->far_count > 0 &&
           can_hold(ladders, numi_ladder_block(ladders, ladder), numi_ladder_count(ladder));
}

static void find_best_far(const struct numi_ladders *ladders, struct numi_ladder *ladder) {
    if (ladder->far_count == 0)
        return;
    const struct numi_rung *last = far_rungs(ladders, ladder) + ladder->far_count - 1;
    if (ladder->best != 0 && last->key < ladder->best_key)
        return;
    ladder->best = last->level;
    ladder->best_key = last->key;
}

void numi_ladder_find_best(struct numi_ladders *ladders, struct numi_ladder *ladder, uint8_t side) {
    uint32_t end = last_slot(ladder, NUMI_LADDER_NEAR);
    if (NUMI_UNLIKELY(sinks(ladders, ladder, end))) {
        lay_out_anew(ladders, ladder, side);
        end = last_slot(ladder, NUMI_LADDER_NEAR);
    }
    ladder->best = end == 0 ? 0 : NUMI_LADDER_UNSEEN;
    ladder->best_key = end == 0 ? 0 : key_at(ladder, end - 1);
    if (NUMI_UNLIKELY(ladder->is_between))
        find_best_far(ladders, ladder);
}

/* ---- Walking. */

struct numi_ladder_walk numi_ladder_walk(const struct numi_ladders *ladders,
                                         const struct numi_ladder *ladder) {
    return (struct numi_ladder_walk){
        .ladder = ladder,
        .block = numi_ladder_block(ladders, ladder),
        .far = far_rungs(ladders, ladder),
        .far_count = ladder->far_count,
        .slot_count = last_slot(ladder, NUMI_LADDER_NEAR),
    };
}

struct numi_rung numi_ladder_next(struct numi_ladder_walk *walk) {
    struct numi_rung rung = {0};
    bool has_far = walk->far_count > 0;
    if (walk->slot_count > 0)
        rung = (struct numi_rung){.key = key_at(walk->ladder, walk->slot_count - 1),
                                  .level = walk->block->levels[walk->slot_count - 1]};
    if (has_far && (rung.level == 0 || walk->far[walk->far_count - 1].key > rung.key))
        return walk->far[--walk->far_count];
    if (rung.level != 0)
        walk->slot_count = last_slot(walk->ladder, walk->slot_count - 1);
    return rung;
}

/* ---- Memory. */

/* Each level in a ladder of its own takes most: a block and a first place, and at worst all smaller
 * places that a long one has left behind. */
int numi_ladders_open(struct numi_ladders *ladders, uint64_t level_max) {
    enum { SIDES_MAX = 2 << 24 };
    memset(ladders, 0, sizeof *ladders);
    ladders->used = NUMI_LADDER_BLOCK; /* unit 0 is none's, and empty */
    uint64_t sides = level_max < SIDES_MAX ? level_max : SIDES_MAX;
    uint64_t units =
        sides * (NUMI_LADDER_BLOCK + PLACE_UNITS) + 4 * level_max / RUNGS_A_UNIT + 4096;
    units = units < UINT32_MAX ? units : UINT32_MAX;
    return numi_region_open(&ladders->memory, units * NUMI_LADDER_UNIT);
}

int numi_ladders_grow(struct numi_ladders *ladders, uint64_t level_count, uint64_t ladder_max) {
    enum { MORE = 64 };
    uint64_t blocks = ladder_max - ladders->block_count;
    blocks = blocks < level_count ? blocks : level_count;
    uint64_t units = ladders->used + blocks * NUMI_LADDER_BLOCK + MORE * PLACE_UNITS + level_count;
    return numi_region_grow(&ladders->memory, units * NUMI_LADDER_UNIT);
}

int numi_ladders_grow_for(struct numi_ladders *ladders, const struct numi_ladder *ladder) {
    uint64_t count = numi_ladder_count(ladder) + 1ull;
    uint32_t class = class_for(count);
    if (class == NUMI_LADDER_CLASSES)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a side of %llu levels",
                              (unsigned long long)count);
    uint64_t units = ladders->used + NUMI_LADDER_BLOCK + units_of(class);
    return numi_region_grow(&ladders->memory, units * NUMI_LADDER_UNIT);
}

void numi_ladders_clear(struct numi_ladders *ladders) {
    ladders->used = NUMI_LADDER_BLOCK;
    ladders->block_count = 0;
    memset(ladders->free, 0, sizeof ladders->free);
}
