#include "bench/book.h"

#include <string.h>

#include "base/clock.h"
#include "wire/bytes.h"

enum { BATCH = 512 };

/* More than any cache nearer than memory holds. */
static void empty_caches(void) {
    enum { EVICTED = 16 << 20 };
    static uint8_t other[EVICTED];
    for (uint32_t i = 0; i < EVICTED; i += NUMI_CACHE_LINE_SIZE)
        ((volatile uint8_t *)other)[i]++;
}

static int64_t apply_one(struct numi_books *books, const struct numi_event *event,
                         const struct numi_bench_single *single, uint64_t number) {
    bool is_timed = single->cold_each == 0 || number % single->cold_each == 0;
    if (is_timed && single->cold_each > 0)
        empty_caches();
    uint64_t begin = numi_ticks_fenced();
    int64_t done = numi_books_step(books, event, 1, NULL);
    if (is_timed)
        numi_histogram_record(single->latency, (int64_t)(numi_ticks_fenced() - begin));
    return done;
}

static int64_t apply(struct numi_books *books, const struct numi_event *events, uint64_t count,
                     const struct numi_bench_single *single, uint64_t number) {
    if (single == NULL)
        return numi_books_step(books, events, count, NULL);
    for (uint64_t i = 0; i < count; i++) {
        int64_t done = apply_one(books, events + i, single, number + i);
        if (done < 0)
            return done;
    }
    return (int64_t)count;
}

uint64_t numi_bench_decode_book(struct numi_itch_decoder *decoder, struct numi_books *books,
                                const uint8_t *bytes, uint64_t size,
                                const struct numi_bench_single *single, uint64_t *messages,
                                uint64_t *used) {
    static struct numi_event events[BATCH] NUMI_ALIGNED(NUMI_CACHE_LINE_SIZE);
    uint64_t at = 0, taken = 0, sequence = 1, begin = numi_ticks_fenced();
    *messages = 0;
    do {
        int count = numi_itch_decode_run(decoder, bytes + at, size - at, &taken, &sequence, 0, 0,
                                         events, BATCH);
        if (apply(books, events, (uint64_t)count, single, *messages) < 0)
            break;
        *messages += (uint64_t)count;
        at += taken;
    } while (taken > 0);
    *used = at;
    return numi_ticks_fenced() - begin;
}

/* An odd factor and shifts lose nothing. */
static uint64_t scattered(uint64_t id) {
    id = (id ^ id >> 31) * 0x9E3779B97F4A7C15u;
    return id ^ id >> 32;
}

static void scatter_at(uint8_t *at) {
    numi_put_be64(at, scattered(numi_be64(at)));
}

void numi_bench_scatter_ids(uint8_t *bytes, uint64_t size) {
    enum { ID_AT = 11, NEW_ID_AT = 19 };
    uint8_t *at = bytes, *const end = bytes + size;
    for (; end - at >= 2 && end - at - 2 >= numi_be16(at); at += 2 + numi_be16(at)) {
        uint8_t *message = at + 2;
        if (numi_be16(at) == 0 || strchr("AFECXDU", message[0]) == NULL)
            continue;
        scatter_at(message + ID_AT);
        if (message[0] == 'U')
            scatter_at(message + NEW_ID_AT);
    }
}
