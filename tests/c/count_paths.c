/* Runs each guarded hot path over a day of its own, for ci/instructions.py to count under
 * callgrind.
 *
 *   count_paths decode | records | book | book-ahead    prints the number of messages
 *
 * Instructions are the same on a loaded machine, nanoseconds are not: so it is these that a test
 * guards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed/book.h"
#include "make/day.h"
#include "wire/itch.h"

enum {
    MESSAGES = 100000,
    SYMBOLS = 500,
    BYTES = MESSAGES * (NUMI_ITCH_SIZE_MAX + 2),
    EVENTS = 4096,
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

static uint64_t run(const char *path, struct numi_itch_decoder *decoder, uint64_t size) {
    if (strcmp(path, "decode") == 0)
        return decode(decoder, size);
    if (strcmp(path, "book") == 0)
        return book(decoder, size, NUMI_BOOK_AHEAD_NEVER);
    if (strcmp(path, "book-ahead") == 0)
        return book(decoder, size, NUMI_BOOK_AHEAD_ALWAYS);
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
    return messages == MESSAGES ? 0 : 2; /* a path that stops early would count as a fast one */
}
