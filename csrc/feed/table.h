/* A table from hashes to numbers: open addressing, eight entries in a cache line.
 *
 *   entry = hash (32 bits) << 32 | number;  0: empty
 *   place of a hash = its upper bits, or the next free one behind
 *
 * At most half full. What is removed leaves no trace: later entries move up, which takes nothing
 * but the hashes in them. The table holds no keys: who asks compares what the numbers stand for.
 *
 * A hash is a multiplication by a seeded odd number, for each half of the key. A hash and the lower
 * half have one upper half: who compares the lower one has compared both. When a run of entries
 * grows longer than chance allows, the table says so (is_crowded), and its owner hashes everything
 * anew with another number. */
#ifndef NUMI_FEED_TABLE_H
#define NUMI_FEED_TABLE_H

#include "base/region.h"

struct numi_table {
    uint64_t *entries;
    uint64_t mask;
    uint64_t count;
    uint64_t count_max; /* as large as it is */
    uint64_t multiplier;
    uint32_t shift;  /* from a hash to its place */
    bool is_crowded; /* a run was too long */
    struct numi_region memory;
};

/* The odd number of a seed. */
uint64_t numi_table_multiplier(uint64_t seed);

/* The first of as many slots as `count` entries need. NUMI_ERR_NO_MEMORY. */
int numi_table_open(struct numi_table *table, uint64_t count, uint64_t seed);
void numi_table_close(struct numi_table *table);
void numi_table_clear(struct numi_table *table);
int numi_table_copy(struct numi_table *to, const struct numi_table *from);

/* Where the table is too small for `count` entries or crowded: an empty one in `fresh` that is
 * neither, and 1; the owner puts everything into it. 0 where the table will do. */
int numi_table_outgrown(const struct numi_table *table, uint64_t count, struct numi_table *fresh);

static inline uint32_t numi_table_hash(const struct numi_table *table, uint64_t key) {
    uint64_t lower = (uint32_t)key * table->multiplier;
    return (uint32_t)(lower >> 32) + (uint32_t)(key >> 32) * (uint32_t)table->multiplier;
}

static inline uint64_t numi_table_place(const struct numi_table *table, uint32_t hash) {
    return hash >> table->shift;
}

static inline bool numi_table_has_room(const struct numi_table *table, uint64_t more) {
    return table->count + more <= table->count_max;
}

/* There is room. */
void numi_table_put(struct numi_table *table, uint32_t hash, uint32_t number);

/* Whether the entry was there. */
bool numi_table_remove(struct numi_table *table, uint32_t hash, uint32_t number);

/* The next number of this hash from place `*at` on, which moves behind it; 0 when there is none. */
static inline uint32_t numi_table_next(const struct numi_table *table, uint32_t hash,
                                       uint64_t *at) {
    for (;;) {
        uint64_t entry = table->entries[*at];
        *at = (*at + 1) & table->mask;
        if (entry == 0 || entry >> 32 == hash)
            return (uint32_t)entry;
    }
}

#endif
