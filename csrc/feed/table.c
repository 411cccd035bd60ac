#include "feed/table.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"

enum {
    BITS_MIN = 10,
    BITS_MAX = 31,
    RUN_MAX = 128, /* entries probed by one put: more is no chance */
};

static uint64_t entries_of_bits(uint32_t bits) {
    return (1ull << bits) / 2;
}

uint64_t numi_table_multiplier(uint64_t seed) {
    uint64_t mixed = (seed + 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return seed == 0 ? 0x9E3779B97F4A7C15u : mixed | 1;
}

static int open_bits(struct numi_table *table, uint32_t bits, uint64_t multiplier) {
    memset(table, 0, sizeof *table);
    uint64_t size = sizeof *table->entries << bits;
    int code = numi_region_open(&table->memory, size);
    if (code == NUMI_OK)
        code = numi_region_grow(&table->memory, size);
    if (code != NUMI_OK) {
        numi_table_close(table);
        return code;
    }
    table->entries = (uint64_t *)table->memory.base;
    table->mask = (1ull << bits) - 1;
    table->count_max = entries_of_bits(bits);
    table->multiplier = multiplier;
    table->shift = 32 - bits;
    return NUMI_OK;
}

static int bits_for(uint64_t count) {
    for (uint32_t bits = BITS_MIN; bits <= BITS_MAX; bits++)
        if (count <= entries_of_bits(bits))
            return (int)bits;
    return numi_error_set(NUMI_ERR_NO_MEMORY, "a table of %llu entries: room is for %llu",
                          (unsigned long long)count, (unsigned long long)entries_of_bits(BITS_MAX));
}

int numi_table_open(struct numi_table *table, uint64_t count, uint64_t seed) {
    int bits = bits_for(count);
    return bits < 0 ? bits : open_bits(table, (uint32_t)bits, numi_table_multiplier(seed));
}

void numi_table_close(struct numi_table *table) {
    numi_region_close(&table->memory);
    table->entries = NULL;
}

void numi_table_clear(struct numi_table *table) {
    memset(table->entries, 0, (table->mask + 1) * sizeof *table->entries);
    table->count = 0;
    table->is_crowded = false;
}

int numi_table_copy(struct numi_table *to, const struct numi_table *from) {
    int code = open_bits(to, 32 - from->shift, from->multiplier);
    if (code != NUMI_OK)
        return code;
    memcpy(to->entries, from->entries, (from->mask + 1) * sizeof *from->entries);
    to->count = from->count;
    to->is_crowded = from->is_crowded;
    return NUMI_OK;
}

int numi_table_outgrown(const struct numi_table *table, uint64_t count, struct numi_table *fresh) {
    if (count <= table->count_max && !table->is_crowded)
        return 0;
    int bits = bits_for(count > table->count_max ? count : table->count_max);
    if (bits < 0)
        return bits;
    uint64_t multiplier =
        table->is_crowded ? numi_table_multiplier(table->multiplier) : table->multiplier;
    int code = open_bits(fresh, (uint32_t)bits, multiplier);
    return code < 0 ? code : 1;
}

void numi_table_put(struct numi_table *table, uint32_t hash, uint32_t number) {
    uint64_t first = numi_table_place(table, hash), at = first;
    while (table->entries[at] != 0)
        at = (at + 1) & table->mask;
    table->entries[at] = (uint64_t)hash << 32 | number;
    table->count++;
    table->is_crowded |= ((at - first) & table->mask) > RUN_MAX;
}

/* Entries behind the hole move up to it unless that would take them before their own place. */
static void fill_hole(struct numi_table *table, uint64_t hole) {
    uint64_t mask = table->mask, at = hole, entry;
    while ((entry = table->entries[at = (at + 1) & mask]) != 0) {
        uint64_t place = numi_table_place(table, (uint32_t)(entry >> 32));
        if (((at - place) & mask) >= ((at - hole) & mask)) {
            table->entries[hole] = entry;
            hole = at;
        }
    }
    table->entries[hole] = 0;
}

bool numi_table_remove(struct numi_table *table, uint32_t hash, uint32_t number) {
    uint64_t wanted = (uint64_t)hash << 32 | number, at = numi_table_place(table, hash);
    while (table->entries[at] != wanted) {
        if (table->entries[at] == 0)
            return false;
        at = (at + 1) & table->mask;
    }
    fill_hole(table, at);
    table->count--;
    return true;
}
