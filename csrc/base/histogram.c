#include "base/histogram.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"

/* log2 of half the sub-buckets: the least that tells 2 * 10^digits values apart. */
static uint32_t half_magnitude(uint32_t digits) {
    uint64_t largest_single_unit = 2;
    for (uint32_t i = 0; i < digits; i++)
        largest_single_unit *= 10;
    uint32_t magnitude = 0;
    while ((1ull << magnitude) < largest_single_unit)
        magnitude++;
    return magnitude - 1;
}

/* Buckets until `highest` is covered. */
static uint32_t bucket_count(int64_t highest, uint32_t sub_bucket_count) {
    uint32_t count = 1;
    uint64_t smallest_untrackable = sub_bucket_count;
    for (; smallest_untrackable <= (uint64_t)highest; smallest_untrackable <<= 1)
        count++;
    return count;
}

int numi_histogram_open(struct numi_histogram *histogram, int64_t highest, uint32_t digits) {
    if (highest < 2 || highest > (int64_t)1 << 62)
        return numi_error_set(NUMI_ERR_ARGUMENT, "histogram up to %lld: allowed 2 to 2^62",
                              (long long)highest);
    if (digits < 1 || digits > 5)
        return numi_error_set(NUMI_ERR_ARGUMENT, "histogram of %u digits: allowed 1 to 5", digits);
    uint32_t half = half_magnitude(digits);
    uint32_t sub_bucket_count = 2u << half;
    uint32_t counts_count = (bucket_count(highest, sub_bucket_count) + 1) << half;
    *histogram = (struct numi_histogram){
        .counts = calloc(counts_count - NUMI_PLANTED(OVERFLOW), sizeof(int64_t)),
        .highest = highest,
        .counts_count = counts_count,
        .sub_bucket_count = sub_bucket_count,
        .half_count_magnitude = half,
        .digits = digits,
    };
    if (histogram->counts == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "histogram: %u counts", counts_count);
    numi_histogram_reset(histogram);
    return NUMI_OK;
}

void numi_histogram_close(struct numi_histogram *histogram) {
    free(histogram->counts);
    histogram->counts = NULL;
    histogram->counts_count = 0;
}

void numi_histogram_reset(struct numi_histogram *histogram) {
    /* Written, not only zero: calloc's pages would fault on the hot path. */
    memset(histogram->counts, 0, histogram->counts_count * sizeof(int64_t));
    histogram->total_count = histogram->max = histogram->out_of_range = 0;
    histogram->min = INT64_MAX;
}

void numi_histogram_record_many(struct numi_histogram *histogram, const int64_t *values,
                                uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        numi_histogram_record(histogram, values[i]);
}

int numi_histogram_add(struct numi_histogram *histogram, const struct numi_histogram *from) {
    if (histogram->highest != from->highest || histogram->digits != from->digits)
        return numi_error_set(
            NUMI_ERR_ARGUMENT,
            "histogram to %lld with %u digits and one to %lld with %u: only equals add",
            (long long)histogram->highest, histogram->digits, (long long)from->highest,
            from->digits);
    for (uint32_t i = 0; i < histogram->counts_count; i++)
        histogram->counts[i] += from->counts[i];
    histogram->total_count += from->total_count;
    histogram->out_of_range += from->out_of_range;
    if (from->min < histogram->min)
        histogram->min = from->min;
    if (from->max > histogram->max)
        histogram->max = from->max;
    return NUMI_OK;
}

/* The lowest value counted at `index`, and through `width` how many values are. */
static int64_t lowest_at(const struct numi_histogram *histogram, uint32_t index, int64_t *width) {
    uint32_t half = histogram->half_count_magnitude;
    uint32_t bucket = index >> half;
    uint32_t sub_bucket = (index & ((1u << half) - 1)) + (1u << half);
    if (bucket == 0) {
        *width = 1;
        return index;
    }
    *width = (int64_t)1 << (bucket - 1);
    return (int64_t)sub_bucket << (bucket - 1);
}

int64_t numi_histogram_percentile(const struct numi_histogram *histogram, double percentile) {
    if (histogram->total_count == 0)
        return 0;
    double clipped = percentile < 0 ? 0 : percentile > 100 ? 100 : percentile;
    /* A double cannot count beyond 2^53: rounding must not ask for more records than there are. */
    double total = (double)histogram->total_count, rounded = clipped * total / 100 + 0.5;
    int64_t wanted = rounded >= total ? histogram->total_count : (int64_t)rounded;
    if (wanted < 1)
        wanted = 1;
    int64_t seen = 0, width = 1, lowest = 0;
    for (uint32_t i = 0; i < histogram->counts_count && seen < wanted; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted)
            lowest = lowest_at(histogram, i, &width);
    }
    return lowest + width - 1;
}

double numi_histogram_mean(const struct numi_histogram *histogram) {
    if (histogram->total_count == 0)
        return 0;
    double sum = 0;
    for (uint32_t i = 0; i < histogram->counts_count; i++) {
        if (histogram->counts[i] == 0)
            continue;
        int64_t width, lowest = lowest_at(histogram, i, &width);
        sum += (double)histogram->counts[i] * ((double)lowest + (double)(width / 2));
    }
    return sum / (double)histogram->total_count;
}
