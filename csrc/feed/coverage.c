#include "feed/coverage.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void numi_coverage_close(struct numi_coverage *coverage) {
    free(coverage->ranges);
    memset(coverage, 0, sizeof *coverage);
}

int numi_coverage_bound(struct numi_coverage *coverage, uint64_t range_max) {
    void *ranges = realloc(coverage->ranges, range_max * sizeof *coverage->ranges);
    if (ranges == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%llu ranges of sequences",
                              (unsigned long long)range_max);
    coverage->ranges = ranges;
    coverage->range_room = coverage->range_max = range_max;
    return NUMI_OK;
}

/* The first range that ends at `at` or behind it. */
static uint64_t find(const struct numi_coverage *coverage, uint64_t at) {
    uint64_t low = 0, high = coverage->range_count;
    if (high > 0 && coverage->ranges[high - 1].to < at)
        return high;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (coverage->ranges[middle].to < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int make_room(struct numi_coverage *coverage) {
    if (coverage->range_count < coverage->range_room)
        return NUMI_OK;
    uint64_t room = coverage->range_room == 0 ? 16 : 2 * coverage->range_room;
    void *ranges = realloc(coverage->ranges, room * sizeof *coverage->ranges);
    if (ranges == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "%llu ranges of sequences",
                              (unsigned long long)room);
    coverage->ranges = ranges;
    coverage->range_room = room;
    return NUMI_OK;
}

static void move(struct numi_coverage *coverage, uint64_t to, uint64_t from) {
    memmove(&coverage->ranges[to], &coverage->ranges[from],
            (coverage->range_count - from) * sizeof *coverage->ranges);
    coverage->range_count = coverage->range_count - from + to;
}

/* At its bound the lowest range makes room; one that would be lower still is not kept. */
static int insert(struct numi_coverage *coverage, uint64_t at, struct numi_range range) {
    if (coverage->range_max > 0 && coverage->range_count == coverage->range_max) {
        if (at == 0)
            return NUMI_OK;
        move(coverage, 0, 1);
        at--;
    }
    int code = make_room(coverage);
    if (code != NUMI_OK)
        return code;
    move(coverage, at + 1, at);
    coverage->ranges[at] = range;
    return NUMI_OK;
}

int numi_coverage_add(struct numi_coverage *coverage, uint64_t from, uint64_t to) {
    if (from >= to)
        return NUMI_OK;
    uint64_t first = find(coverage, from), last = first;
    while (last < coverage->range_count && coverage->ranges[last].from <= to)
        last++;
    if (first == last)
        return insert(coverage, first, (struct numi_range){from, to});
    struct numi_range *kept = &coverage->ranges[first];
    uint64_t end = coverage->ranges[last - 1].to;
    kept->from = from < kept->from ? from : kept->from;
    kept->to = to > end ? to : end;
    move(coverage, first + 1, last);
    return NUMI_OK;
}

void numi_coverage_drop_below(struct numi_coverage *coverage, uint64_t to) {
    uint64_t first = 0;
    while (first < coverage->range_count && coverage->ranges[first].to <= to)
        first++;
    if (first > 0)
        move(coverage, 0, first);
    if (coverage->range_count > 0 && coverage->ranges[0].from < to)
        coverage->ranges[0].from = to;
}

struct numi_range numi_coverage_missing(const struct numi_coverage *coverage, uint64_t from,
                                        uint64_t to) {
    uint64_t at = find(coverage, from);
    if (at < coverage->range_count && coverage->ranges[at].from <= from) {
        from = coverage->ranges[at].to;
        at++;
    }
    if (from >= to)
        return (struct numi_range){to, to};
    bool ends = at < coverage->range_count && coverage->ranges[at].from < to;
    return (struct numi_range){from, ends ? coverage->ranges[at].from : to};
}

uint64_t numi_coverage_overlap(const struct numi_coverage *coverage, uint64_t from, uint64_t to) {
    uint64_t count = 0;
    for (uint64_t at = find(coverage, from);
         at < coverage->range_count && coverage->ranges[at].from < to; at++) {
        const struct numi_range *range = &coverage->ranges[at];
        uint64_t low = range->from > from ? range->from : from;
        uint64_t high = range->to < to ? range->to : to;
        count += low < high ? high - low : 0;
    }
    return count;
}
