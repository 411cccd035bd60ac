/* Five bytes choose, the rest is a run of 2-byte lengths and messages, or of short steps that stand
 * for messages:
 *
 *   window, look-ahead | batch | flags | rows of changes | aim
 *
 * Bytes as they come hardly ever name an order that rests. So the aim may bend the fields of each
 * message: few ids, or few that lie far apart, or ids that march on; few books, prices, quantities.
 *
 * The events are applied in batches, and one by one in other books with other options: the same
 * counts, rejects, changes and state hash, and both pass their own check. As long as few orders
 * rest, naive books (naive_book.h) say what each level, queue and best price must be. Copied in the
 * middle and at the end the books are the same; cleared, they are those of a new day. */
#include "fuzz.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"
#include "naive_book.h"
#include "wire/bytes.h"
#include "wire/itch.h"

enum flag {
    CONSUME_TRADES = 1,
    SIZES = 2,
    CHANGES = 4,
    WIDE = 8, /* numbers at the ends of their ranges, which no wire brings */
    FEW_ORDERS = 16,
    COPY_EARLY = 32,
    SMALL_CACHE = 64,
    AGAIN = 128, /* all of it once more, after a clear */
};

enum aim_ids { IDS_AS_THEY_ARE, IDS_FEW, IDS_FAR_APART, IDS_MARCHING };

enum limit {
    BATCH_MAX = 64,
    ROW_MAX = 16,
    EVENT_MAX = 8192,
    NAIVE_EVENT_MAX = 2048, /* it takes long */
    STEP_SIZE = 5,          /* of short input */
    LOCATES = 4,
    MANY_INSTRUMENTS = 1000, /* past what books have room for at first */
    FIRST_WIRE_ID = 1 << 20,
};

struct choice {
    struct numi_books_options batched, single;
    uint32_t batch, row_max;
    uint8_t flags, ids, shape;
    bool is_short;
    uint64_t last_id, id_step; /* of ids that march on */
    uint32_t tick;             /* that prices are multiples of, mostly */
};

/* One way of applying the events, and what came of it. */
struct way {
    struct numi_books *books;
    struct numi_book_best *rows;
    uint32_t row_count;
    uint64_t done;
};

static struct choice choice;
static struct numi_itch_decoder *decoder;
static struct numi_event *events;
static uint64_t event_count;
static uint64_t wire_ids[MANY_INSTRUMENTS + 1];

/* ---- What was chosen. */

static struct numi_books_options options_of(uint8_t byte, uint8_t flags) {
    struct numi_books_options options;
    numi_books_defaults(&options);
    options.window_bits = 7 + (byte & 15) % 5;
    options.ahead = (byte >> 4) % 3;
    options.cache_size = flags & SMALL_CACHE ? 1 : 8192;
    options.consume_trades = (flags & CONSUME_TRADES) != 0;
    options.order_max = flags & FEW_ORDERS ? 40 : 1 << 14;
    return options;
}

static void choose(struct input *input) {
    static const struct {
        uint64_t first, step;
    } marches[8] = {
        {0, 1},          {1000, 63},      {0, 4096},
        {0, 5000},       {1ull << 40, 1}, {UINT64_MAX - 200, 1},
        {-20000ull, 70}, {5, 1ull << 58},
    };
    static const uint32_t ticks[4] = {1, 1, 100, 12500};
    uint8_t first = input_byte(input), batch = input_byte(input), flags = input_byte(input);
    uint8_t rows = input_byte(input), aim = input_byte(input);
    choice = (struct choice){.flags = flags, .ids = aim & 3, .shape = aim >> 2 & 3};
    choice.batched = options_of(first, flags);
    choice.single = options_of((uint8_t)(first + 0x11), flags);
    choice.single.seed = 77;
    choice.batch = 1 + batch % BATCH_MAX;
    choice.row_max = 1 + rows % ROW_MAX;
    choice.tick = ticks[rows >> 4 & 3];
    choice.last_id = marches[aim >> 4 & 7].first;
    choice.id_step = marches[aim >> 4 & 7].step;
    choice.is_short = aim >> 7;
}

/* ---- From bytes to events. */

/* A step: letter, side, book | id | price | quantity | new id. */
static void put_step(uint8_t *message, struct input *input) {
    static const char letters[16] = "AAAAAFUUDDDEXCPS";
    uint8_t first = input_byte(input), id = input_byte(input), price = input_byte(input);
    uint8_t quantity = input_byte(input), new_id = input_byte(input);
    uint8_t letter = (uint8_t)letters[first & 15];
    message[0] = letter;
    numi_put_be16(message + 1, first >> 5 & 3);
    if (letter == 'S')
        return;
    numi_put_be64(message + 11, id);
    bool is_add = letter == 'A' || letter == 'F' || letter == 'P';
    if (is_add)
        message[19] = first >> 4 & 1 ? 'S' : 'B';
    if (letter == 'U')
        numi_put_be64(message + 19, new_id);
    if (letter != 'D')
        numi_put_be32(message + (is_add ? 20 : letter == 'U' ? 27 : 19), quantity);
    if (is_add || letter == 'U')
        numi_put_be32(message + (is_add ? 32 : 31), price);
}

/* Short steps as a run of messages; the run is to be freed. */
static uint8_t *expand(struct input input, size_t *size) {
    uint8_t *run = calloc(input.left / STEP_SIZE + 1, 2 + NUMI_ITCH_SIZE_MAX);
    MUST(run != NULL);
    *size = 0;
    while (input.left >= STEP_SIZE) {
        uint8_t *message = run + *size + 2;
        put_step(message, &input);
        const struct numi_itch_type *type =
            numi_itch_type_at((uint32_t)numi_itch_index_of(message[0]));
        numi_put_be16(message - 2, (uint16_t)type->wire_size);
        *size += 2 + type->wire_size;
    }
    return run;
}

/* The id that a message's means: of an order that is to come, or of one that may rest. */
static uint64_t aim_id(uint64_t id, bool is_new) {
    if (choice.ids == IDS_FEW)
        return id % 64;
    if (choice.ids == IDS_FAR_APART)
        return (id % 64 + 1) * 0x9E3779B97F4A7C15u;
    if (is_new && id % 32 != 31)
        return choice.last_id += choice.id_step;
    /* Mostly one of the last, and some that the window has left behind. */
    uint64_t ago = id % 256 < 224 ? id % 32 : id * 16 % 1024;
    return choice.last_id - ago * choice.id_step;
}

static void aim_number(uint8_t *at, uint32_t below) {
    numi_put_be32(at, numi_be32(at) % below);
}

/* One in sixteen lies between ticks. */
static void aim_price(uint8_t *at, uint32_t below) {
    uint32_t price = numi_be32(at), rest = price >> 24 & 15 ? 0 : price >> 16 & 15;
    numi_put_be32(at, price % below * choice.tick + rest);
}

static void aim_message(uint8_t *message) {
    static const struct {
        uint16_t locates, prices;
    } shapes[4] = {{LOCATES, 16}, {1, 2}, {1, 1024}, {2, 200}};
    uint32_t prices = shapes[choice.shape].prices;
    numi_put_be16(message + 1, numi_be16(message + 1) % shapes[choice.shape].locates);
    uint8_t letter = message[0];
    if (strchr("AFPECXDU", letter) == NULL)
        return;
    bool is_add = letter == 'A' || letter == 'F', has_side = is_add || letter == 'P';
    numi_put_be64(message + 11, aim_id(numi_be64(message + 11), is_add));
    if (has_side && message[19] % 32 != 31)
        message[19] = message[19] % 2 != 0 ? 'S' : 'B';
    if (letter == 'U')
        numi_put_be64(message + 19, aim_id(numi_be64(message + 19), true));
    if (letter != 'D')
        aim_number(message + (has_side ? 20 : letter == 'U' ? 27 : 19), 16);
    if (has_side || letter == 'U')
        aim_price(message + (has_side ? 32 : 31), prices);
}

static void aim_run(uint8_t *run, size_t size) {
    for (size_t at = 0; size - at >= 2;) {
        size_t length = numi_be16(run + at);
        at += 2;
        if (size - at < length)
            return;
        if (numi_itch_check(run + at, length) == NUMI_ITCH_OK)
            aim_message(run + at);
        at += length;
    }
}

/* To the ends of what an event can say, and one step beyond. */
static void widen(struct numi_event *event) {
    int64_t price = event->price;
    if (event->quantity % 2 != 0)
        event->quantity <<= 61;
    event->price = price == 0    ? INT64_MIN
                   : price == 1  ? INT64_MIN + 1
                   : price == 14 ? INT64_MAX - 1
                   : price == 15 ? INT64_MAX
                                 : price - 8;
    if (event->instrument == 2)
        event->instrument = MANY_INSTRUMENTS;
    if (event->instrument == 3 && event->order % 8 == 0)
        event->instrument = NUMI_BOOK_INSTRUMENT_MAX;
    if (event->kind == 'S')
        event->kind = NUMI_EVENT_GAP;
}

/* The decoder is large: it is kept, and forgets what it has met. */
static void forget(void) {
    if (decoder == NULL)
        MUST(numi_itch_decoder_open(&decoder) == NUMI_OK);
    for (uint32_t i = 0; i < decoder->instrument_count; i++)
        decoder->instrument_of[decoder->locate_of[i]] = 0;
    decoder->instrument_count = 0;
}

static void decode(struct input input) {
    size_t size = input.left;
    uint8_t *run = choice.is_short ? expand(input, &size) : exactly(input.at, size);
    if (choice.ids != IDS_AS_THEY_ARE)
        aim_run(run, size);
    forget();
    static struct numi_event decoded[EVENT_MAX];
    uint64_t used, sequence = 1;
    event_count = (uint64_t)numi_itch_decode_run(decoder, run, size, &used, &sequence, -7, 0,
                                                 decoded, EVENT_MAX);
    events = (struct numi_event *)exactly((const uint8_t *)decoded, event_count * sizeof *events);
    for (uint64_t i = 0; choice.flags & WIDE && i < event_count; i++)
        widen(&events[i]);
    for (uint32_t i = 0; i <= MANY_INSTRUMENTS; i++)
        wire_ids[i] = i < decoder->instrument_count ? decoder->locate_of[i] : FIRST_WIRE_ID - i;
    free(run);
}

/* Raw bytes may name any number of instruments; those past the table share its last place. */
static bool has_few_instruments(void) {
    return decoder->instrument_count <= MANY_INSTRUMENTS;
}

/* ---- Both ways. */

static void open_way(struct way *way, const struct numi_books_options *options) {
    *way = (struct way){0};
    MUST(numi_books_open(&way->books, options) == NUMI_OK);
    way->rows = malloc((event_count + 1) * sizeof *way->rows);
    MUST(way->rows != NULL);
}

static void close_way(struct way *way) {
    numi_books_close(way->books);
    free(way->rows);
}

static void keep_rows(struct way *way, struct numi_book_changes *changes) {
    MUST(changes->row_count <= changes->row_max);
    MUST(way->row_count + changes->row_count <= event_count);
    memcpy(way->rows + way->row_count, changes->rows, changes->row_count * sizeof *way->rows);
    way->row_count += changes->row_count;
    changes->row_count = 0;
}

static struct numi_book_changes changes_into(struct numi_book_best *rows, uint32_t row_max) {
    return (struct numi_book_changes){
        .rows = rows, .row_max = row_max, .sizes = (choice.flags & SIZES) != 0};
}

/* The copy goes on in its stead. */
static void replace_by_copy(struct way *way) {
    struct numi_books *copy;
    MUST(numi_books_copy(&copy, way->books) == NUMI_OK);
    numi_books_close(way->books);
    way->books = copy;
}

static void run_batched(struct way *way) {
    struct numi_book_best *rows = malloc(choice.row_max * sizeof *rows);
    MUST(rows != NULL);
    struct numi_book_changes changes = changes_into(rows, choice.row_max);
    int64_t got = 0;
    for (uint32_t round = 0; way->done < event_count && got >= 0; round++) {
        uint64_t left = event_count - way->done, count = left < choice.batch ? left : choice.batch;
        uint64_t before = numi_books_counts(way->books)->messages;
        got = numi_books_step(way->books, events + way->done, count,
                              choice.flags & CHANGES ? &changes : NULL);
        uint64_t done = numi_books_counts(way->books)->messages - before;
        MUST(got < 0 ? got == NUMI_ERR_NO_MEMORY : (uint64_t)got == done && done <= count);
        MUST(got < 0 || done == count || changes.row_count == changes.row_max);
        way->done += done;
        keep_rows(way, &changes);
        if (choice.flags & COPY_EARLY && round == 2)
            replace_by_copy(way);
    }
    free(rows);
}

/* True where the event was applied; false where no more orders may rest. */
static bool apply_single(struct way *way, const struct numi_event *event,
                         struct numi_book_changes *changes) {
    struct numi_book_changes *wanted = choice.flags & CHANGES ? changes : NULL;
    int64_t got = numi_books_apply(way->books, event, 1, wanted);
    if (got == 0) {
        int code = numi_books_reserve(way->books, 0, 1);
        MUST(code == NUMI_OK || code == NUMI_ERR_NO_MEMORY);
        if (code != NUMI_OK)
            return false;
        got = numi_books_apply(way->books, event, 1, wanted);
    }
    MUST(got == 1);
    keep_rows(way, changes);
    return true;
}

static void run_single(struct way *way) {
    struct numi_book_best row;
    struct numi_book_changes changes = changes_into(&row, 1);
    while (way->done < event_count && apply_single(way, &events[way->done], &changes))
        way->done++;
}

/* ---- What must be the same. */

struct digest {
    uint64_t high, low;
};

static struct digest hash_of(const struct numi_books *books) {
    uint8_t bytes[16];
    MUST(numi_books_hash(books, wire_ids, MANY_INSTRUMENTS + 1, bytes) == NUMI_OK);
    return (struct digest){numi_be64(bytes), numi_be64(bytes + 8)};
}

static bool is_same(struct digest one, struct digest other) {
    return one.high == other.high && one.low == other.low;
}

static void judge_books(const struct numi_books *books) {
    if (numi_books_check(books) != NUMI_OK) {
        fprintf(stderr, "%s\n", numi_error_detail());
        abort();
    }
}

static void judge_same_rejects(const struct numi_books *one, const struct numi_books *other) {
    struct numi_book_reject rejects[2][NUMI_BOOK_REJECT_MAX];
    int count = numi_books_rejects(one, rejects[0], NUMI_BOOK_REJECT_MAX);
    MUST(numi_books_rejects(other, rejects[1], NUMI_BOOK_REJECT_MAX) == count);
    MUST(memcmp(rejects[0], rejects[1], (size_t)count * sizeof rejects[0][0]) == 0);
}

static void judge_same_books(const struct numi_books *one, const struct numi_books *other) {
    judge_books(one);
    judge_books(other);
    MUST(memcmp(numi_books_counts(one), numi_books_counts(other),
                sizeof(struct numi_books_counts)) == 0);
    judge_same_rejects(one, other);
    MUST(is_same(hash_of(one), hash_of(other)));
}

static void judge_same_ways(const struct way *one, const struct way *other) {
    MUST(one->done == other->done && one->row_count == other->row_count);
    MUST(memcmp(one->rows, other->rows, one->row_count * sizeof *one->rows) == 0);
    judge_same_books(one->books, other->books);
    bool looks = numi_books_looks_ahead(one->books);
    MUST(one->done == 0 || choice.batched.ahead != NUMI_BOOK_AHEAD_NEVER || !looks);
    MUST(one->done == 0 || choice.batched.ahead != NUMI_BOOK_AHEAD_ALWAYS || looks);
}

/* ---- Against the naive books. */

static void judge_queue(const struct numi_books *books, const struct naive *naive,
                        const struct naive_order *first, uint64_t count) {
    struct numi_book_order queue[NAIVE_MAX];
    uint32_t instrument = first->instrument;
    MUST(numi_books_queue(books, instrument, first->side, first->price, queue, NAIVE_MAX) == count);
    uint64_t place = 0;
    for (uint32_t i = 0; i < naive->count; i++) {
        const struct naive_order *order = &naive->orders[i];
        struct numi_book_order got;
        if (!naive_is_at(order, instrument, first->side, first->price))
            continue;
        MUST(numi_books_order(books, order->id, &got) == 1);
        MUST(memcmp(&got, &queue[place], sizeof got) == 0);
        MUST(got.order == order->id && got.quantity == order->quantity && got.position == place);
        MUST(got.instrument == instrument && got.side == first->side && got.price == first->price);
        place++;
    }
    MUST(place == count);
}

static void judge_level(const struct numi_books *books, const struct naive *naive,
                        const struct naive_order *first, const struct numi_book_level *level) {
    struct numi_book_level got;
    MUST(numi_books_level(books, first->instrument, first->side, first->price, &got) == 1);
    MUST(memcmp(&got, level, sizeof got) == 0);
    judge_queue(books, naive, first, level->order_count);
}

/* All levels of a side, the best first; returns how many. */
static uint32_t judge_side(const struct numi_books *books, const struct naive *naive,
                           uint32_t instrument, uint8_t side) {
    struct numi_book_level top[NAIVE_MAX];
    uint32_t depth = numi_books_depth(books, instrument, side), count = 0;
    MUST(depth <= NAIVE_MAX && numi_books_top(books, instrument, side, top, NAIVE_MAX) == depth);
    struct naive_level level = naive_behind(naive, instrument, side, NULL);
    for (; level.is_there; level = naive_behind(naive, instrument, side, &level.price)) {
        MUST(count < depth && top[count].price == level.price);
        MUST(top[count].quantity == level.quantity && top[count].order_count == level.count);
        struct naive_order first = {.price = level.price, .instrument = instrument, .side = side};
        judge_level(books, naive, &first, &top[count++]);
    }
    MUST(count == depth);
    return count;
}

static void judge_best(const struct numi_books *books, const struct naive *naive,
                       uint32_t instrument) {
    struct numi_book_best best, wanted;
    numi_books_best(books, instrument, &best);
    naive_best(naive, instrument, &wanted);
    MUST(memcmp(&best, &wanted, sizeof best) == 0);
}

static int by_rank(const void *one, const void *other) {
    const struct naive_order *a = *(const struct naive_order *const *)one;
    const struct naive_order *b = *(const struct naive_order *const *)other;
    uint64_t wire_a = wire_ids[a->instrument], wire_b = wire_ids[b->instrument];
    if (wire_a != wire_b)
        return wire_a < wire_b ? -1 : 1;
    if (a->side != b->side)
        return a->side < b->side ? -1 : 1;
    if (a->price != b->price)
        return naive_is_better(a->side, a->price, b->price) ? -1 : 1;
    return (a > b) - (a < b); /* both in one array, by time */
}

static void judge_hash(const struct numi_books *books, const struct naive *naive) {
    enum { RECORD_SIZE = 33 };
    static uint8_t records[NAIVE_MAX][RECORD_SIZE];
    const struct naive_order *ranked[NAIVE_MAX];
    for (uint32_t i = 0; i < naive->count; i++)
        ranked[i] = &naive->orders[i];
    qsort(ranked, naive->count, sizeof ranked[0], by_rank);
    for (uint32_t i = 0; i < naive->count; i++) {
        memcpy(records[i], &wire_ids[ranked[i]->instrument], 8);
        records[i][8] = ranked[i]->side;
        memcpy(records[i] + 9, &ranked[i]->price, 8);
        memcpy(records[i] + 17, &ranked[i]->id, 8);
        memcpy(records[i] + 25, &ranked[i]->quantity, 8);
    }
    XXH128_hash_t hash = XXH3_128bits(records, (size_t)naive->count * RECORD_SIZE);
    MUST(is_same(hash_of(books), (struct digest){hash.high64, hash.low64}));
}

static void judge_counts(const struct numi_books *books, const struct naive *naive,
                         uint64_t levels) {
    struct numi_books_counts wanted = naive->counts;
    struct numi_book_reject rejects[NUMI_BOOK_REJECT_MAX];
    wanted.live_levels = levels;
    MUST(memcmp(numi_books_counts(books), &wanted, sizeof wanted) == 0);
    int count = numi_books_rejects(books, rejects, NUMI_BOOK_REJECT_MAX);
    uint32_t first = naive->reject_count - (uint32_t)count; /* that is kept */
    MUST(count == NUMI_BOOK_REJECT_MAX || first == 0);
    for (uint32_t i = 0; i < (uint32_t)count; i++)
        MUST(memcmp(&rejects[i], &naive->rejects[(first + i) % NUMI_BOOK_REJECT_MAX],
                    sizeof rejects[i]) == 0);
}

/* Instruments that no event names have no book: 0 to the last, the far one, and one beyond. */
static void judge_naive(const struct numi_books *books, const struct naive *naive) {
    uint64_t levels = 0;
    for (uint32_t i = 0; i <= decoder->instrument_count + 1; i++) {
        uint32_t instrument = i <= decoder->instrument_count ? i : MANY_INSTRUMENTS;
        judge_best(books, naive, instrument);
        for (uint8_t side = NUMI_SIDE_BID; side <= NUMI_SIDE_ASK; side++)
            levels += judge_side(books, naive, instrument, side);
    }
    judge_best(books, naive, NUMI_BOOK_INSTRUMENT_MAX);
    judge_counts(books, naive, levels);
    judge_hash(books, naive);
}

/* The events of a way once more, in naive books: the same changes, and the same books. */
static void judge_way(const struct way *way) {
    static struct naive naive;
    uint32_t rows = 0;
    naive.count = naive.reject_count = 0;
    naive.is_full = naive.knows_best = false;
    naive.consumes_trades = (choice.flags & CONSUME_TRADES) != 0;
    memset(&naive.counts, 0, sizeof naive.counts);
    if (way->done > NAIVE_EVENT_MAX || decoder->instrument_count >= MANY_INSTRUMENTS)
        return;
    for (uint64_t i = 0; i < way->done; i++) {
        struct numi_book_best row;
        bool is_change = naive_apply(&naive, &events[i], (choice.flags & SIZES) != 0, &row);
        if (naive.is_full)
            return;
        if (!is_change || !(choice.flags & CHANGES))
            continue;
        MUST(rows < way->row_count && memcmp(&way->rows[rows++], &row, sizeof row) == 0);
    }
    MUST(rows == way->row_count);
    judge_naive(way->books, &naive);
}

/* ---- Copies, and a new day. */

static void judge_copy_and_clear(struct way *way) {
    static const struct digest empty = {0x99aa06d3014798d8, 0x6001c324468d497f};
    struct digest before = hash_of(way->books);
    struct numi_books_counts counts = *numi_books_counts(way->books);
    struct numi_books *copy;
    MUST(numi_books_copy(&copy, way->books) == NUMI_OK);
    judge_same_books(way->books, copy);
    numi_books_clear(way->books);
    judge_books(way->books);
    MUST(is_same(hash_of(way->books), empty));
    counts.live_orders = counts.live_levels = 0;
    MUST(memcmp(numi_books_counts(way->books), &counts, sizeof counts) == 0);
    judge_books(copy);
    MUST(is_same(hash_of(copy), before));
    if (choice.flags & AGAIN) {
        int64_t got = numi_books_step(way->books, events, way->done, NULL);
        MUST(got >= 0 && (uint64_t)got == way->done);
        judge_books(way->books);
        MUST(is_same(hash_of(way->books), before));
    }
    numi_books_close(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct way batched, single;
    choose(&input);
    decode(input);
    if (has_few_instruments()) {
        open_way(&batched, &choice.batched);
        open_way(&single, &choice.single);
        run_batched(&batched);
        run_single(&single);
        judge_same_ways(&batched, &single);
        judge_way(choice.batch % 4 < 2 ? &batched : &single);
        judge_copy_and_clear(choice.batch % 2 != 0 ? &batched : &single);
        close_way(&batched);
        close_way(&single);
    }
    free(events);
    return 0;
}
