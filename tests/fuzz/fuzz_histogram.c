/* Bytes as a histogram's options and the values that go in: nothing lost, percentiles that never
 * fall.
 *
 *   digits | highest (8) | shift | step: verb, shift, value (8) | step | ...
 */
#include "fuzz.h"

#include "base/error.h"
#include "base/histogram.h"

enum { COUNTS_MAX = 1 << 13 };

static uint64_t recorded; /* all that was handed in since the last reset */

static void check_counts(const struct numi_histogram *histogram) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < histogram->counts_count; i++) {
        MUST(histogram->counts[i] >= 0);
        sum += histogram->counts[i];
    }
    MUST(sum == histogram->total_count);
    MUST((uint64_t)(histogram->total_count + histogram->out_of_range) == recorded);
}

static void check_percentiles(const struct numi_histogram *histogram) {
    int64_t last = 0;
    for (int tenth = 0; tenth <= 1000; tenth += 20) {
        int64_t value = numi_histogram_percentile(histogram, tenth / 10.0);
        MUST(value >= last);
        last = value;
    }
    int64_t top = numi_histogram_percentile(histogram, 100);
    MUST(top >= last);
    if (histogram->total_count == 0) {
        MUST(top == 0 && numi_histogram_mean(histogram) == 0);
        return;
    }
    MUST(histogram->min <= histogram->max && histogram->max <= histogram->highest);
    MUST(top >= histogram->max);
    MUST(numi_histogram_percentile(histogram, 0) >= histogram->min);
    MUST(numi_histogram_index(histogram, top) == numi_histogram_index(histogram, histogram->max));
}

static void step(struct numi_histogram *histogram, struct numi_histogram *other,
                 struct input *input) {
    uint8_t verb = input_byte(input), shift = input_byte(input) % 64;
    int64_t value = (int64_t)(input_number(input, 8) >> shift);
    int64_t many = (int64_t)1 << shift % 50;
    switch (verb % 8) {
    case 0:
        numi_histogram_record_n(histogram, value, many);
        recorded += (uint64_t)many;
        break;
    case 1:
        numi_histogram_reset(histogram);
        recorded = 0;
        break;
    case 2:
        numi_histogram_reset(other);
        numi_histogram_record_n(other, value, many);
        MUST(numi_histogram_add(histogram, other) == NUMI_OK);
        recorded += (uint64_t)many;
        break;
    default:
        numi_histogram_record_many(histogram, &value, 1);
        recorded++;
    }
}

static void run_steps(struct numi_histogram *histogram, struct numi_histogram *other,
                      struct input *input) {
    recorded = 0;
    for (int steps = 0; input->left > 0 && steps < 200; steps++)
        step(histogram, other, input);
    check_counts(histogram);
    check_percentiles(histogram);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct input input = {data, size};
    struct numi_histogram histogram, other;
    uint32_t digits = input_byte(&input) % 7;
    int64_t highest = (int64_t)input_number(&input, 8) >> input_byte(&input) % 64;
    if (digits > 3)
        highest %= 1 << 20; /* small enough to be quick */
    bool allowed = digits >= 1 && digits <= 5 && highest >= 2 && highest <= (int64_t)1 << 62;
    int code = numi_histogram_open(&histogram, highest, digits);
    MUST(code == (allowed ? NUMI_OK : NUMI_ERR_ARGUMENT));
    if (!allowed)
        return 0;
    MUST(numi_histogram_open(&other, highest, digits) == NUMI_OK);
    if (histogram.counts_count <= COUNTS_MAX)
        run_steps(&histogram, &other, &input);
    numi_histogram_close(&histogram);
    numi_histogram_close(&other);
    return 0;
}
