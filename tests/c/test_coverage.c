#include "check.h"

#include "base/error.h"
#include "feed/coverage.h"

enum { BITS = 300 };

static void expect_missing(const struct numi_coverage *coverage, const bool *has, uint64_t from,
                           uint64_t to) {
    struct numi_range got = numi_coverage_missing(coverage, from, to);
    while (from < to && has[from])
        from++;
    uint64_t end = from;
    while (end < to && !has[end])
        end++;
    EXPECT_EQ(got.from == got.to, from == end);
    if (from == end)
        return;
    EXPECT_EQ(got.from, from);
    EXPECT_EQ(got.to, end);
}

/* As few ranges as there can be. */
static void expect_ranges(const struct numi_coverage *coverage, const bool *has) {
    uint64_t count = 0;
    for (uint64_t at = 0; at < BITS; at++)
        if (has[at] && (at == 0 || !has[at - 1])) {
            NEED(count < coverage->range_count);
            EXPECT_EQ(coverage->ranges[count].from, at);
        } else if (!has[at] && at > 0 && has[at - 1]) {
            EXPECT_EQ(coverage->ranges[count++].to, at);
        }
    count += has[BITS - 1];
    EXPECT_EQ(coverage->range_count, count);
}

TEST(coverage_against_bits) {
    for (int round = 0; round < 300; round++) {
        struct numi_coverage coverage = {0};
        bool has[BITS] = {false};
        for (int step = 0; step < 60; step++) {
            uint64_t from = check_below(BITS), to = from + check_below(1 + check_below(12));
            to = to < BITS ? to : BITS;
            if (check_below(20) == 0) {
                numi_coverage_drop_below(&coverage, from);
                memset(has, 0, from);
            } else {
                EXPECT_EQ(numi_coverage_add(&coverage, from, to), NUMI_OK);
                memset(has + from, 1, to - from);
            }
            expect_ranges(&coverage, has);
            from = check_below(BITS);
            expect_missing(&coverage, has, from, from + check_below(BITS - from + 1));
        }
        numi_coverage_close(&coverage);
    }
}

TEST(coverage_at_the_ends) {
    struct numi_coverage coverage = {0};
    EXPECT_EQ(numi_coverage_missing(&coverage, 0, UINT64_MAX).to, UINT64_MAX);
    EXPECT_EQ(numi_coverage_add(&coverage, UINT64_MAX - 1, UINT64_MAX), NUMI_OK);
    EXPECT_EQ(numi_coverage_add(&coverage, 0, 1), NUMI_OK);
    EXPECT_EQ(numi_coverage_add(&coverage, 9, 9), NUMI_OK);  /* nothing */
    EXPECT_EQ(numi_coverage_add(&coverage, 10, 9), NUMI_OK); /* likewise */
    EXPECT_EQ(coverage.range_count, 2);
    EXPECT_EQ(numi_coverage_missing(&coverage, 0, UINT64_MAX).from, 1);
    EXPECT_EQ(numi_coverage_missing(&coverage, 0, UINT64_MAX).to, UINT64_MAX - 1);
    EXPECT_EQ(numi_coverage_add(&coverage, 0, UINT64_MAX), NUMI_OK);
    EXPECT_EQ(coverage.range_count, 1);
    struct numi_range none = numi_coverage_missing(&coverage, 0, UINT64_MAX);
    EXPECT_EQ(none.from, none.to);
    numi_coverage_drop_below(&coverage, UINT64_MAX);
    EXPECT_EQ(coverage.range_count, 0);
    numi_coverage_close(&coverage);
}

CHECK_MAIN
