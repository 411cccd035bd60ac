#include "feed/ladder.h"

#include "base/check.h"
#include "base/error.h"

static uint32_t *next_free(const struct numi_ladders *ladders, uint32_t place) {
    return (uint32_t *)(ladders->memory.base + (uint64_t)place * NUMI_LADDER_UNIT);
}

static bool has_place(const struct numi_ladders *ladders, uint32_t class) {
    if (class >= NUMI_LADDER_CLASSES)
        return false;
    uint64_t end = (ladders->used + numi_ladder_units(class)) * NUMI_LADDER_UNIT;
    return ladders->free[class] != 0 || end <= ladders->memory.size;
}

static uint32_t take_place(struct numi_ladders *ladders, uint32_t class) {
    uint32_t place = ladders->free[class];
    if (place != 0) {
        ladders->free[class] = *next_free(ladders, place);
        return place;
    }
    place = (uint32_t)ladders->used;
    ladders->used += numi_ladder_units(class);
    return place;
}

static void give_place(struct numi_ladders *ladders, const struct numi_ladder *ladder) {
    *next_free(ladders, ladder->place) = ladders->free[ladder->class];
    ladders->free[ladder->class] = ladder->place;
}

static uint32_t next_class(const struct numi_ladder *ladder) {
    return ladder->place == 0 ? 0 : ladder->class + 1;
}

bool numi_ladder_can_widen(const struct numi_ladders *ladders, const struct numi_ladder *ladder) {
    return has_place(ladders, next_class(ladder));
}

__attribute__((noinline)) static void widen(struct numi_ladders *ladders,
                                            struct numi_ladder *ladder) {
    struct numi_ladder wider = *ladder;
    wider.class = next_class(ladder);
    wider.place = take_place(ladders, wider.class);
    struct numi_rung *rungs = numi_ladder_rungs(ladders, &wider);
    for (int i = 1; i <= NUMI_LADDER_STRIDE; i++)
        rungs[-i] = (struct numi_rung){.key = INT64_MIN};
    if (ladder->place != 0) {
        memcpy(rungs, numi_ladder_rungs(ladders, ladder), ladder->count * sizeof *rungs);
        give_place(ladders, ladder);
    }
    *ladder = wider;
}

uint32_t numi_ladder_search_far(const struct numi_rung *rungs, uint32_t count, int64_t key) {
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

/* What was found tells how far apart prices lie. */
static void note_density(struct numi_ladder *ladder, uint32_t at, int64_t key) {
    uint32_t behind = ladder->count - 1 - at;
    uint64_t distance = (uint64_t)ladder->best_key - (uint64_t)key;
    if (behind > 0)
        ladder->density = (float)behind / (float)distance;
}

uint32_t numi_ladder_find_far(const struct numi_ladders *ladders, struct numi_ladder *ladder,
                              int64_t key) {
    /* The least key is no price, and what stands before the first rung. */
    if (ladder->count == 0 || key > ladder->best_key || key == INT64_MIN)
        return 0;
    const struct numi_rung *rungs = numi_ladder_rungs(ladders, ladder);
    uint32_t at = numi_ladder_search(rungs, ladder->count, key);
    if (rungs[at].key != key)
        return 0;
    note_density(ladder, at, key);
    return rungs[at].level;
}

bool numi_ladder_insert(struct numi_ladders *ladders, struct numi_ladder *ladder, int64_t key,
                        uint32_t level) {
    if (ladder->place == 0 || ladder->count == numi_ladder_room(ladder->class))
        widen(ladders, ladder);
    struct numi_rung *rungs = numi_ladder_rungs(ladders, ladder);
    uint32_t at = numi_ladder_search(rungs, ladder->count, key);
    memmove(rungs + at + 1, rungs + at, (ladder->count - at) * sizeof *rungs);
    rungs[at] = (struct numi_rung){.key = key, .level = level};
    if (at != ladder->count++ || NUMI_PLANTED(STALE_BEST))
        return false;
    ladder->best = level;
    ladder->best_key = key;
    return true;
}

bool numi_ladder_remove(const struct numi_ladders *ladders, struct numi_ladder *ladder,
                        int64_t key) {
    struct numi_rung *rungs = numi_ladder_rungs(ladders, ladder);
    uint32_t at = (uint32_t)(numi_ladder_guess(ladders, ladder, key) - rungs);
    if (rungs[at].key != key)
        at = numi_ladder_search(rungs, ladder->count, key);
    NUMI_CHECK(at < ladder->count && rungs[at].key == key);
    uint32_t last = --ladder->count;
    if (at != last) {
        memmove(rungs + at, rungs + at + 1, (last - at) * sizeof *rungs);
        return false;
    }
    ladder->best = last == 0 ? 0 : rungs[last - 1].level;
    ladder->best_key = last == 0 ? 0 : rungs[last - 1].key;
    return true;
}

/* Each level in a ladder of its own takes most: a first place, and at worst all smaller places that
 * a long one has left behind. */
int numi_ladders_open(struct numi_ladders *ladders, uint64_t level_max) {
    enum { SIDES_MAX = 2 << 24, RUNGS_A_UNIT = 4 };
    memset(ladders, 0, sizeof *ladders);
    ladders->used = 1; /* place 0 is none */
    uint64_t sides = level_max < SIDES_MAX ? level_max : SIDES_MAX;
    uint64_t units = sides * numi_ladder_units(0) + 4 * level_max / RUNGS_A_UNIT + 4096;
    units = units < UINT32_MAX ? units : UINT32_MAX;
    return numi_region_open(&ladders->memory, units * NUMI_LADDER_UNIT);
}

int numi_ladders_grow(struct numi_ladders *ladders, uint64_t level_count, uint64_t ladder_count) {
    enum { MORE = 64 };
    uint64_t first = level_count < ladder_count ? level_count : ladder_count;
    uint64_t units = ladders->used + (MORE + first) * numi_ladder_units(0) + level_count;
    return numi_region_grow(&ladders->memory, units * NUMI_LADDER_UNIT);
}

int numi_ladders_grow_for(struct numi_ladders *ladders, const struct numi_ladder *ladder) {
    uint32_t class = next_class(ladder);
    if (class >= NUMI_LADDER_CLASSES)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a side of %u levels", ladder->count);
    if (has_place(ladders, class))
        return NUMI_OK;
    return numi_region_grow(&ladders->memory,
                            (ladders->used + numi_ladder_units(class)) * NUMI_LADDER_UNIT);
}

void numi_ladders_clear(struct numi_ladders *ladders) {
    ladders->used = 1;
    memset(ladders->free, 0, sizeof ladders->free);
}
