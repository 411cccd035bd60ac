/* Histogram in HdrHistogram's layout: log-linear buckets, so that every value is kept to a number
 * of significant digits.
 *
 *   bucket 0            |0 1 2 ... n-1|           n = sub_bucket_count, a power of two
 *   bucket 1                  |n/2 ... n-1|       in steps of 2: only the upper half is new
 *   bucket 2                        |n/2 ... n-1| in steps of 4
 *
 * `counts` holds bucket 0, then the upper halves one after the other: the very array of the public
 * HdrHistogram libraries, which load it as it is. Recording costs one count-leading-zeros, one add;
 * nothing is allocated after open. 3 digits up to an hour of nanoseconds take 264 KiB, 2 digits 36
 * KiB.
 *
 * A value above `highest` or below 0 is counted in `out_of_range` and nowhere else. One writer; a
 * reader on another thread sees counts that may be one record apart. */
#ifndef NUMI_BASE_HISTOGRAM_H
#define NUMI_BASE_HISTOGRAM_H

#include "base/types.h"

struct numi_histogram {
    int64_t *counts;
    int64_t total_count;
    int64_t min; /* INT64_MAX while empty */
    int64_t max; /* 0 while empty */
    int64_t out_of_range;
    int64_t highest;
    uint32_t counts_count;
    uint32_t sub_bucket_count;
    uint32_t half_count_magnitude; /* log2(sub_bucket_count / 2) */
    uint32_t digits;
};

/* Values 0 to `highest` (2 to 2^62), kept to `digits` (1 to 5) decimal digits. NUMI_ERR_ARGUMENT,
 * NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_histogram_open(struct numi_histogram *histogram, int64_t highest,
                                 uint32_t digits);
NUMI_API void numi_histogram_close(struct numi_histogram *histogram);
NUMI_API void numi_histogram_reset(struct numi_histogram *histogram);

NUMI_API void numi_histogram_record_many(struct numi_histogram *histogram, const int64_t *values,
                                         uint64_t count);

/* Adds what `from` holds; both must be alike in highest and digits, else NUMI_ERR_ARGUMENT. */
NUMI_API int numi_histogram_add(struct numi_histogram *histogram,
                                const struct numi_histogram *from);

/* The highest value that is equal, within the precision, to the one at `percentile` (0 to 100); 0
 * when empty. */
NUMI_API int64_t numi_histogram_percentile(const struct numi_histogram *histogram,
                                           double percentile);

/* By the middle of each bucket; 0 when empty. */
NUMI_API double numi_histogram_mean(const struct numi_histogram *histogram);

#ifndef NUMI_CDEF

static inline uint32_t numi_histogram_index(const struct numi_histogram *histogram, int64_t value) {
    uint32_t half = histogram->half_count_magnitude;
    uint64_t mask = (2ull << half) - 1;
    uint32_t bucket = 63 - half - (uint32_t)__builtin_clzll((uint64_t)value | mask);
    uint32_t sub_bucket = (uint32_t)((uint64_t)value >> bucket);
    return (bucket << half) + sub_bucket;
}

static inline void numi_histogram_record_n(struct numi_histogram *histogram, int64_t value,
                                           int64_t count) {
    if (NUMI_UNLIKELY((uint64_t)value > (uint64_t)histogram->highest)) {
        histogram->out_of_range += count;
        return;
    }
    histogram->counts[numi_histogram_index(histogram, value)] += count;
    histogram->total_count += count;
    if (value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
}

static inline void numi_histogram_record(struct numi_histogram *histogram, int64_t value) {
    numi_histogram_record_n(histogram, value, 1);
}

#endif
#endif
