/* Runs each guarded hot path over a day of its own, for ci/instructions.py to count under
 * callgrind.
 *
 *   count_paths decode | records | book | book-ahead | merge | merge-faults | feed
 *
 * It prints the number of messages; of merge and feed, that of packets.
 *
 * Instructions are the same on a loaded machine, nanoseconds are not: so it is these that a test
 * guards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/merge.h"
#include "feed/book.h"
#include "make/day.h"
#include "port/ring.h"
#include "wire/itch.h"

enum {
    MESSAGES = 100000,
    SYMBOLS = 500,
    BYTES = MESSAGES * (NUMI_ITCH_SIZE_MAX + 2),
    EVENTS = 4096,
    BLOCK = 25000, /* messages, on two lines */
    POOL = 65536,
};

static uint8_t bytes[BYTES];
static struct numi_event events[EVENTS];

static uint64_t make_day(void) {
    struct numi_day_options options = {.messages = MESSAGES, .seed = 1, .symbols = SYMBOLS};
    struct numi_day *day;
    uint64_t size = 0;
    if (numi_day_open(&day, &options) != 0)
        return 0;
    int64_t got;
    while ((got = numi_day_next(day, bytes + size, sizeof bytes - size)) > 0)
        size += (uint64_t)got;
    numi_day_close(day);
    return size;
}

static uint64_t decode(struct numi_itch_decoder *decoder, uint64_t size) {
    uint64_t at = 0, used, sequence = 1, count = 0;
    do {
        count += (uint64_t)numi_itch_decode_run(decoder, bytes + at, size - at, &used, &sequence, 0,
                                                0, events, EVENTS);
        at += used;
    } while (used > 0);
    return count;
}

static uint64_t records(uint64_t size) {
    static uint64_t record[NUMI_ITCH_NATIVE_SIZE_MAX / 8];
    uint64_t count = 0;
    for (uint64_t at = 0; at < size; count++) {
        numi_itch_decode(bytes + at + 2, count, 0, record);
        at += 2u + bytes[at + 1];
    }
    return count;
}

static uint64_t book(struct numi_itch_decoder *decoder, uint64_t size, uint32_t ahead) {
    struct numi_books_options options;
    struct numi_books *books;
    uint64_t at = 0, used, sequence = 1, count = 0;
    numi_books_defaults(&options);
    options.ahead = ahead;
    if (numi_books_open(&books, &options) != 0 || numi_books_reserve(books, SYMBOLS, MESSAGES) != 0)
        return 0;
    do {
        int got = numi_itch_decode_run(decoder, bytes + at, size - at, &used, &sequence, 0, 0,
                                       events, EVENTS);
        count += (uint64_t)numi_books_apply(books, events, (uint64_t)got, NULL);
        at += used;
    } while (used > 0);
    numi_books_close(books);
    return count;
}

/* Two lines, a message a packet: B behind A, or with faults, each losing one in a hundred and
 * bringing one in twenty late. */
static uint64_t draw_packets(struct numi_bench_packet *packets, uint64_t first, bool has_faults) {
    uint64_t count = 0;
    for (uint64_t sequence = first; sequence < first + BLOCK; sequence++)
        for (uint32_t line = 0; line < 2; line++) {
            uint64_t chance = sequence * 0x9E3779B97F4A7C15u + line * 0xC2B2AE3D27D4EB4Fu;
            bool is_late = has_faults && (chance >> 40) % 20 == 0 && sequence > first;
            if (has_faults && (chance >> 20) % 100 == 0)
                continue;
            packets[count] = (struct numi_bench_packet){.sequence = sequence, .line = line};
            if (is_late && count > 1) { /* changes places with the one before */
                struct numi_bench_packet before = packets[count - 2];
                packets[count - 2] = packets[count];
                packets[count] = before;
            }
            count++;
        }
    return count;
}

static uint64_t merge(bool has_faults) {
    static struct numi_bench_packet packets[2 * BLOCK];
    struct numi_merge_options options;
    struct numi_bench_output output = {.next = 1};
    struct numi_merge *merged;
    struct numi_pool pool;
    int64_t now = 0;
    uint64_t count = 0;
    numi_merge_defaults(&options);
    options.hands_over = 1;
    if (numi_pool_open(&pool, POOL, 128, NUMI_PAGES_AUTO, NUMI_NODE_ANY) != 0 ||
        numi_merge_open(&merged, &options, &pool) != 0)
        return 0;
    for (uint64_t first = 1; first < MESSAGES / 2; first += BLOCK) {
        uint64_t drawn = draw_packets(packets, first, has_faults);
        count += numi_bench_place(&pool, packets, drawn, 60);
        numi_bench_merge(merged, &pool, packets, drawn, &now, 33, NULL, &output);
    }
    numi_merge_close(merged);
    numi_pool_close(&pool);
    return output.disorder == 0 ? count : 0;
}

/* One line from a ring, through all of the feed. */
static uint64_t feed(uint64_t size) {
    struct numi_feed_options options;
    struct numi_bench_local local = {.bytes = bytes, .size = size, .sequence = 1, .line_count = 1};
    struct numi_pool pool;
    struct numi_port *port;
    uint64_t count = 0;
    numi_feed_defaults(&options);
    options.merge.line_count = 1;
    options.merge.pending_max = 256;
    if (numi_pool_open(&pool, POOL, 128, NUMI_PAGES_AUTO, NUMI_NODE_ANY) != 0 ||
        numi_ring_open(&local.rings[0], sizeof(uint32_t), 4096, NUMI_PAGES_AUTO) != 0 ||
        numi_port_open_ring(&port, local.rings[0], NUMI_LINE_A, &pool) != 0 ||
        numi_feed_open(&local.feed, &options, &pool, &port, 1) != 0)
        return 0;
    local.pool = &pool;
    local.batch = 64;
    if (numi_books_reserve(numi_feed_books(local.feed), SYMBOLS, MESSAGES) != 0)
        return 0;
    numi_bench_local_core(&local, MESSAGES, &count);
    numi_feed_close(local.feed);
    numi_port_close(port);
    numi_ring_close(local.rings[0]);
    numi_pool_close(&pool);
    return count;
}

static uint64_t run(const char *path, struct numi_itch_decoder *decoder, uint64_t size) {
    if (strcmp(path, "decode") == 0)
        return decode(decoder, size);
    if (strcmp(path, "book") == 0)
        return book(decoder, size, NUMI_BOOK_AHEAD_NEVER);
    if (strcmp(path, "book-ahead") == 0)
        return book(decoder, size, NUMI_BOOK_AHEAD_ALWAYS);
    if (strcmp(path, "merge") == 0)
        return merge(false);
    if (strcmp(path, "merge-faults") == 0)
        return merge(true);
    if (strcmp(path, "feed") == 0)
        return feed(size);
    return records(size);
}

int main(int count, char **words) {
    struct numi_itch_decoder *decoder;
    uint64_t size = make_day();
    if (count != 2 || size == 0 || numi_itch_decoder_open(&decoder) != 0)
        return 2;
    uint64_t messages = run(words[1], decoder, size);
    printf("%llu\n", (unsigned long long)messages);
    numi_itch_decoder_close(decoder);
    return messages >= MESSAGES * 9 / 10
               ? 0
               : 2; /* a path that stops early would count as a fast one */
}
