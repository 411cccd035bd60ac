#include "check.h"

#include <math.h>

#include "base/error.h"
#include "base/histogram.h"

/* The naive twin: HdrHistogram's rules, worked out one value at a time from their definition. */

static uint64_t sub_bucket_count_of(uint32_t digits) {
    uint64_t wanted = 2, count = 1;
    while (digits-- > 0)
        wanted *= 10;
    while (count < wanted)
        count *= 2;
    return count;
}

static uint32_t bucket_of(uint64_t value, uint64_t sub_bucket_count) {
    uint32_t bucket = 0;
    while (value >> bucket >= sub_bucket_count)
        bucket++;
    return bucket;
}

static uint64_t index_of(uint64_t value, uint64_t sub_bucket_count) {
    uint32_t bucket = bucket_of(value, sub_bucket_count);
    uint64_t half = sub_bucket_count / 2, sub_bucket = value >> bucket;
    return bucket == 0 ? sub_bucket : sub_bucket_count + (bucket - 1) * half + (sub_bucket - half);
}

static uint64_t highest_equivalent(uint64_t value, uint64_t sub_bucket_count) {
    uint32_t bucket = bucket_of(value, sub_bucket_count);
    return (((value >> bucket) + 1) << bucket) - 1;
}

static double middle_of(uint64_t value, uint64_t sub_bucket_count) {
    uint32_t bucket = bucket_of(value, sub_bucket_count);
    return (double)(value >> bucket << bucket) + (double)(((uint64_t)1 << bucket) / 2);
}

static int compare(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Of sorted values. */
static int64_t naive_percentile(const int64_t *values, int64_t count, double percentile,
                                uint64_t sub_bucket_count) {
    if (count == 0)
        return 0;
    int64_t wanted = (int64_t)(percentile * (double)count / 100 + 0.5);
    return (int64_t)highest_equivalent((uint64_t)values[wanted < 1 ? 0 : wanted - 1],
                                       sub_bucket_count);
}

/* As many small values as large ones, and those next to powers of two. */
static int64_t random_value(int64_t highest) {
    uint64_t value = check_random() >> check_below(64);
    if (check_below(4) == 0)
        value = ((uint64_t)1 << check_below(63)) + check_below(3) - 1;
    return (int64_t)(value % ((uint64_t)highest + 1));
}

static int64_t random_highest(void) {
    static const int64_t usual[] = {
        2, 3, 199, 255, 256, 2047, 2048, 3600000000000, (int64_t)1 << 62};
    if (check_below(2) == 0)
        return usual[check_below(sizeof usual / sizeof usual[0])];
    return 2 + random_value(((int64_t)1 << 62) - 2);
}

enum { VALUE_COUNT = 500 };

static void expect_as_naive(const struct numi_histogram *histogram, int64_t *values,
                            int64_t count) {
    uint64_t sub_bucket_count = sub_bucket_count_of(histogram->digits);
    qsort(values, (size_t)count, sizeof values[0], compare);
    EXPECT_EQ(histogram->total_count, count);
    EXPECT_EQ(histogram->min, count ? values[0] : INT64_MAX);
    EXPECT_EQ(histogram->max, count ? values[count - 1] : 0);
    for (double percentile = 0; percentile <= 100; percentile += 0.5)
        EXPECT_EQ(numi_histogram_percentile(histogram, percentile),
                  naive_percentile(values, count, percentile, sub_bucket_count));
    double sum = 0, mean;
    for (int64_t i = 0; i < count; i++)
        sum += middle_of((uint64_t)values[i], sub_bucket_count);
    mean = count ? sum / (double)count : 0;
    EXPECT(fabs(numi_histogram_mean(histogram) - mean) <= mean * 1e-9);
}

static void expect_counts_as_naive(const struct numi_histogram *histogram, const int64_t *values,
                                   int64_t count) {
    uint64_t sub_bucket_count = sub_bucket_count_of(histogram->digits);
    int64_t *counts = calloc(histogram->counts_count, sizeof *counts);
    NEED(counts != NULL);
    for (int64_t i = 0; i < count; i++) {
        uint64_t index = index_of((uint64_t)values[i], sub_bucket_count);
        NEED(index < histogram->counts_count);
        counts[index]++;
    }
    EXPECT(memcmp(counts, histogram->counts, histogram->counts_count * sizeof *counts) == 0);
    free(counts);
}

TEST(counts_and_percentiles_are_hdrs) {
    int64_t values[VALUE_COUNT];
    for (int round = 0; round < 60; round++) {
        struct numi_histogram histogram;
        uint32_t digits = 1 + (uint32_t)check_below(round % 10 == 0 ? 5 : 3);
        int64_t highest = random_highest(), count = (int64_t)check_below(VALUE_COUNT + 1);
        NEED(numi_histogram_open(&histogram, highest, digits) == NUMI_OK);
        for (int64_t i = 0; i < count; i++)
            values[i] = random_value(highest);
        numi_histogram_record_many(&histogram, values, (uint64_t)count);
        EXPECT_EQ(histogram.out_of_range, 0);
        expect_counts_as_naive(&histogram, values, count);
        expect_as_naive(&histogram, values, count);
        numi_histogram_close(&histogram);
    }
}

/* The array's length is part of what the public libraries load. */
TEST(the_array_has_hdrs_length) {
    for (int round = 0; round < 300; round++) {
        struct numi_histogram histogram;
        uint32_t digits = 1 + (uint32_t)check_below(3);
        int64_t highest = random_highest();
        NEED(numi_histogram_open(&histogram, highest, digits) == NUMI_OK);
        uint64_t sub_bucket_count = sub_bucket_count_of(digits);
        uint64_t buckets = bucket_of((uint64_t)highest, sub_bucket_count) + 1;
        EXPECT_EQ(histogram.sub_bucket_count, sub_bucket_count);
        EXPECT_EQ(histogram.counts_count, (buckets + 1) * sub_bucket_count / 2);
        EXPECT_EQ((uint64_t)2 << histogram.half_count_magnitude, sub_bucket_count);
        EXPECT(index_of((uint64_t)highest, sub_bucket_count) < histogram.counts_count);
        numi_histogram_close(&histogram);
    }
}

TEST(a_value_is_kept_to_its_digits) {
    for (uint32_t digits = 1; digits <= 4; digits++) {
        struct numi_histogram histogram;
        NEED(numi_histogram_open(&histogram, (int64_t)1 << 62, digits) == NUMI_OK);
        for (int round = 0; round < 20; round++) {
            int64_t value = random_value(histogram.highest);
            numi_histogram_reset(&histogram);
            numi_histogram_record(&histogram, value);
            int64_t told = numi_histogram_percentile(&histogram, 50);
            EXPECT(told >= value);
            EXPECT((double)(told - value) <= (double)value / pow(10, digits));
        }
        numi_histogram_close(&histogram);
    }
}

TEST(out_of_range_is_counted_there_and_nowhere_else) {
    struct numi_histogram histogram;
    NEED(numi_histogram_open(&histogram, 1000, 2) == NUMI_OK);
    const int64_t values[] = {-1, 1001, INT64_MIN, INT64_MAX, 0, 1000};
    numi_histogram_record_many(&histogram, values, 6);
    numi_histogram_record_n(&histogram, 1001, 10);
    EXPECT_EQ(histogram.out_of_range, 14);
    EXPECT_EQ(histogram.total_count, 2);
    EXPECT_EQ(histogram.min, 0);
    EXPECT_EQ(histogram.max, 1000);
    numi_histogram_reset(&histogram);
    EXPECT_EQ(histogram.out_of_range, 0);
    EXPECT_EQ(histogram.total_count, 0);
    EXPECT_EQ(numi_histogram_percentile(&histogram, 99), 0);
    EXPECT_EQ(numi_histogram_mean(&histogram), 0);
    numi_histogram_close(&histogram);
}

TEST(adding_is_recording_both) {
    struct numi_histogram a, b, both;
    NEED(numi_histogram_open(&a, 3600000000000, 3) == NUMI_OK);
    NEED(numi_histogram_open(&b, 3600000000000, 3) == NUMI_OK);
    NEED(numi_histogram_open(&both, 3600000000000, 3) == NUMI_OK);
    for (int i = 0; i < 2000; i++) {
        int64_t value = random_value((int64_t)1 << 43);
        numi_histogram_record(check_below(2) ? &a : &b, value);
        numi_histogram_record(&both, value);
    }
    EXPECT_EQ(numi_histogram_add(&a, &b), NUMI_OK);
    EXPECT(memcmp(a.counts, both.counts, both.counts_count * sizeof *both.counts) == 0);
    EXPECT_EQ(a.total_count, both.total_count);
    EXPECT_EQ(a.out_of_range, both.out_of_range);
    EXPECT_EQ(a.min, both.min);
    EXPECT_EQ(a.max, both.max);
    numi_histogram_reset(&b);
    EXPECT_EQ(numi_histogram_add(&a, &b), NUMI_OK); /* an empty one changes nothing */
    EXPECT_EQ(a.min, both.min);
    EXPECT_EQ(a.max, both.max);
    numi_histogram_close(&a);
    numi_histogram_close(&b);
    numi_histogram_close(&both);
}

TEST(only_equals_add) {
    struct numi_histogram a, digits, highest;
    NEED(numi_histogram_open(&a, 1000, 2) == NUMI_OK);
    NEED(numi_histogram_open(&digits, 1000, 3) == NUMI_OK);
    NEED(numi_histogram_open(&highest, 1001, 2) == NUMI_OK);
    EXPECT_EQ(numi_histogram_add(&a, &digits), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_histogram_add(&a, &highest), NUMI_ERR_ARGUMENT);
    numi_histogram_close(&a);
    numi_histogram_close(&digits);
    numi_histogram_close(&highest);
}

/* A double cannot count beyond 2^53: rounding must not ask for more records than there are. */
TEST(percentiles_of_very_many) {
    static const int64_t counts[] = {((int64_t)1 << 53) - 1, ((int64_t)1 << 53) + 3, INT64_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct numi_histogram histogram;
        NEED(numi_histogram_open(&histogram, 1000, 3) == NUMI_OK);
        numi_histogram_record_n(&histogram, 5, counts[i]);
        EXPECT_EQ(numi_histogram_percentile(&histogram, 0), 5);
        EXPECT_EQ(numi_histogram_percentile(&histogram, 100), 5);
        numi_histogram_close(&histogram);
    }
}

TEST(percentiles_outside_0_to_100_are_the_ends) {
    struct numi_histogram histogram;
    NEED(numi_histogram_open(&histogram, 1000, 3) == NUMI_OK);
    numi_histogram_record(&histogram, 7);
    numi_histogram_record(&histogram, 9);
    EXPECT_EQ(numi_histogram_percentile(&histogram, -5), 7);
    EXPECT_EQ(numi_histogram_percentile(&histogram, 0), 7);
    EXPECT_EQ(numi_histogram_percentile(&histogram, 50), 7);
    EXPECT_EQ(numi_histogram_percentile(&histogram, 100), 9);
    EXPECT_EQ(numi_histogram_percentile(&histogram, 1e9), 9);
    numi_histogram_close(&histogram);
}

TEST(options_out_of_range) {
    struct numi_histogram histogram;
    EXPECT_EQ(numi_histogram_open(&histogram, 1, 3), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_histogram_open(&histogram, -5, 3), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_histogram_open(&histogram, ((int64_t)1 << 62) + 1, 3), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_histogram_open(&histogram, 1000, 0), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_histogram_open(&histogram, 1000, 6), NUMI_ERR_ARGUMENT);
    EXPECT_CONTAINS(numi_error_detail(), "6 digits");
}

CHECK_MAIN
