#include "check.h"

#include "base/crc32c.h"
#include "base/error.h"
#include "disk/capture.h"
#include "make/day.h"
#include "make/lines.h"
#include "wire/bytes.h"
#include "wire/itch.h"
#include "wire/mold.h"
#include "wire/packet.h"

enum { DAY_ROOM = 4 << 20, RESTING_MAX = 8192, SEEN_MAX = 200000 };

static uint8_t day_bytes[DAY_ROOM];

static struct numi_day *open_day(uint64_t messages, uint32_t symbols, uint64_t seed,
                                 uint64_t live) {
    struct numi_day_options options = {
        .messages = messages, .symbols = symbols, .seed = seed, .live = live};
    struct numi_day *day = NULL;
    NEED(numi_day_open(&day, &options) == NUMI_OK);
    return day;
}

/* The whole day into day_bytes; its size. */
static uint64_t read_day(struct numi_day *day, uint64_t chunk_size) {
    static uint8_t chunk[1 << 16];
    uint64_t size = 0;
    for (int64_t got; (got = numi_day_next(day, chunk, chunk_size)) > 0; size += (uint64_t)got) {
        NEED(size + (uint64_t)got <= DAY_ROOM);
        memcpy(day_bytes + size, chunk, (size_t)got);
    }
    EXPECT_EQ(numi_day_next(day, chunk, chunk_size), 0);
    return size;
}

static uint32_t crc_of_day(uint64_t messages, uint32_t symbols, uint64_t seed, uint64_t live,
                           uint64_t chunk_size) {
    struct numi_day *day = open_day(messages, symbols, seed, live);
    uint32_t crc = numi_crc32c(0, day_bytes, read_day(day, chunk_size));
    numi_day_close(day);
    return crc;
}

/* ---- The naive twin: orders in one row as they came, looked through from the front. */

struct resting {
    uint64_t id;
    uint32_t locate, price, quantity;
    char side;
};

static struct {
    struct resting row[RESTING_MAX];
    int count, peak;
    uint64_t now_ns, last_id, last_match, trade_count;
    uint64_t trades[SEEN_MAX];
    char events[16];
    char names[256][9];
    uint64_t by_type[256];
} twin;

static struct resting *find(uint64_t id) {
    for (int i = 0; i < twin.count; i++)
        if (twin.row[i].id == id)
            return &twin.row[i];
    EXPECT(!"the order rests");
    return NULL;
}

static bool is_better(char side, uint32_t price, uint32_t than) {
    return side == 'B' ? price > than : price < than;
}

/* The first that came of those at the best price; NULL for none. */
static struct resting *front(uint32_t locate, char side) {
    struct resting *best = NULL;
    for (int i = 0; i < twin.count; i++) {
        struct resting *order = &twin.row[i];
        if (order->locate == locate && order->side == side &&
            (best == NULL || is_better(side, order->price, best->price)))
            best = order;
    }
    return best;
}

static void twin_add(struct resting order) {
    EXPECT(order.id > twin.last_id);
    EXPECT(order.quantity > 0);
    EXPECT(order.price > 0 && order.price % 100 == 0);
    twin.last_id = order.id;
    NEED(twin.count < RESTING_MAX);
    twin.row[twin.count++] = order;
    if (twin.count > twin.peak)
        twin.peak = twin.count;
    const struct resting *bid = front(order.locate, 'B'), *ask = front(order.locate, 'S');
    EXPECT(bid == NULL || ask == NULL || bid->price < ask->price);
}

static void twin_remove(struct resting *order) {
    int index = (int)(order - twin.row);
    memmove(order, order + 1, (size_t)(--twin.count - index) * sizeof *order);
}

static void twin_execute(const uint8_t *m) {
    struct resting *order = find(numi_be64(m + 11));
    NEED(order != NULL);
    uint32_t quantity = numi_be32(m + 19);
    EXPECT_EQ(order->locate, numi_be16(m + 1));
    EXPECT(order == front(order->locate, order->side));
    EXPECT(quantity > 0 && quantity <= order->quantity);
    order->quantity -= quantity;
    if (order->quantity == 0)
        twin_remove(order);
}

static void twin_cancel(const uint8_t *m) {
    struct resting *order = find(numi_be64(m + 11));
    NEED(order != NULL);
    EXPECT(numi_be32(m + 19) > 0 && numi_be32(m + 19) < order->quantity);
    order->quantity -= numi_be32(m + 19);
}

static void twin_replace(const uint8_t *m) {
    struct resting *order = find(numi_be64(m + 11));
    NEED(order != NULL);
    struct resting next = {numi_be64(m + 19), order->locate, numi_be32(m + 31), numi_be32(m + 27),
                           order->side};
    twin_remove(order);
    twin_add(next);
}

static void twin_match(uint64_t match) {
    EXPECT(match > twin.last_match);
    twin.last_match = match;
}

static void twin_broken(uint64_t match) {
    for (uint64_t i = 0; i < twin.trade_count; i++)
        if (twin.trades[i] == match)
            return;
    EXPECT(!"a trade that was");
}

static void twin_orders(const uint8_t *m) {
    switch (m[0]) {
    case 'A':
    case 'F':
        EXPECT(memcmp(m + 24, twin.names[numi_be16(m + 1)], 8) == 0);
        twin_add((struct resting){numi_be64(m + 11), numi_be16(m + 1), numi_be32(m + 32),
                                  numi_be32(m + 20), (char)m[19]});
        break;
    case 'E':
    case 'C':
        twin_match(numi_be64(m + 23));
        twin_execute(m);
        break;
    case 'X':
        twin_cancel(m);
        break;
    case 'D':
        NEED(find(numi_be64(m + 11)) != NULL);
        twin_remove(find(numi_be64(m + 11)));
        break;
    case 'U':
        twin_replace(m);
        break;
    default:
        break;
    }
}

static void twin_apply(const uint8_t *m, uint16_t size) {
    EXPECT_EQ(numi_itch_check(m, size), NUMI_ITCH_OK);
    EXPECT(numi_be48(m + 5) >= twin.now_ns);
    twin.now_ns = numi_be48(m + 5);
    twin.by_type[m[0]]++;
    twin_orders(m);
    if (m[0] == 'S')
        strncat(twin.events, (const char *)m + 11, 1);
    if (m[0] == 'R')
        memcpy(twin.names[numi_be16(m + 1)], m + 11, 8);
    if (m[0] == 'P') {
        twin_match(numi_be64(m + 36));
        twin.trades[twin.trade_count++] = numi_be64(m + 36);
    }
    if (m[0] == 'Q')
        twin_match(numi_be64(m + 31));
    if (m[0] == 'B')
        twin_broken(numi_be64(m + 11));
}

static void expect_good_day(uint64_t messages, uint32_t symbols, uint64_t seed, uint64_t live) {
    memset(&twin, 0, sizeof twin);
    struct numi_day *day = open_day(messages, symbols, seed, live);
    uint64_t size = read_day(day, 1 << 16), count = 0;
    struct numi_day_counts counts;
    numi_day_count(day, &counts);
    for (const uint8_t *at = day_bytes; at < day_bytes + size; at += 2 + numi_be16(at), count++)
        twin_apply(at + 2, numi_be16(at));
    numi_day_close(day);
    EXPECT_EQ(count, messages);
    EXPECT_EQ(counts.messages, messages);
    EXPECT_EQ(counts.bytes, size);
    EXPECT_EQ(counts.live, twin.count);
    EXPECT_EQ(counts.live_peak, twin.peak);
    EXPECT_TEXT(twin.events, "OSQMEC");
    EXPECT(twin.now_ns < 20ull * 3600 * 1000000000);
    for (uint32_t i = 0; i < NUMI_DAY_TYPE_COUNT; i++) {
        EXPECT_EQ(counts.by_type[i], twin.by_type[numi_itch_type_at(i)->letter]);
        EXPECT(counts.by_type[i] > 0);
    }
}

TEST(a_short_day_has_every_type) {
    for (uint64_t seed = 0; seed < 40; seed++) {
        expect_good_day(1000, 2, seed, 0);
        expect_good_day(1000, 200, seed, 0);
    }
    EXPECT_EQ(twin.by_type['R'], 200);
}

TEST(a_long_day_keeps_its_books) {
    expect_good_day(60000, 5, 1, 0);
    expect_good_day(60000, 1, 2, 0);
    expect_good_day(60000, 200, check_random(), 0);
}

TEST(a_day_has_as_many_orders_alive_as_asked) {
    expect_good_day(50000, 20, 3, 4000);
    EXPECT(twin.peak > 3500 && twin.peak < 4500);
    expect_good_day(50000, 20, 3, 50);
    EXPECT(twin.peak > 40 && twin.peak < 150);
}

TEST(types_have_their_shares) {
    expect_good_day(100000, 100, 4, 0);
    const uint64_t *n = twin.by_type;
    EXPECT(n['A'] + n['F'] > 43000 && n['A'] + n['F'] < 47000);
    EXPECT(n['D'] > 38000 && n['D'] < 42000);
    EXPECT(n['U'] > 4500 && n['U'] < 5500);
    EXPECT(n['E'] + n['C'] > 4500 && n['E'] + n['C'] < 5500);
    EXPECT(n['X'] > 2500 && n['X'] < 3500);
    EXPECT(n['F'] > n['A'] / 80 && n['F'] < n['A'] / 30);
    EXPECT(n['C'] > n['E'] / 60 && n['C'] < n['E'] / 15);
}

TEST(the_same_options_give_the_same_bytes) {
    uint32_t crc = crc_of_day(20000, 50, 7, 0, 1 << 16);
    EXPECT_EQ(crc_of_day(20000, 50, 7, 0, 1 << 16), crc);
    EXPECT_EQ(crc_of_day(20000, 50, 7, 0, NUMI_DAY_CHUNK_MIN), crc);
    EXPECT_EQ(crc_of_day(20000, 50, 7, 0, 999), crc);
    EXPECT(crc_of_day(20000, 50, 8, 0, 1 << 16) != crc);
    EXPECT(crc_of_day(20000, 51, 7, 0, 1 << 16) != crc);
    /* On any machine, from any compiler. Changes only when the generator is meant to change. */
    EXPECT_EQ(crc, 0x5720B399);
}

TEST(small_and_wide_days) {
    EXPECT(crc_of_day(NUMI_DAY_MESSAGE_MIN, 1, 1, 0, 64) != 0);
    EXPECT(crc_of_day(NUMI_DAY_MESSAGE_MIN, NUMI_DAY_SYMBOL_MAX, 1, 33, 64) != 0);
    struct numi_day *day = open_day(100000, NUMI_DAY_SYMBOL_MAX, 1, 30000);
    read_day(day, 1 << 16);
    struct numi_day_counts counts;
    numi_day_count(day, &counts);
    EXPECT_EQ(counts.symbols, 20000);
    EXPECT_EQ(counts.messages, 100000);
    EXPECT(counts.live_peak > 28000);
    numi_day_close(day);
}

TEST(what_a_day_refuses) {
    struct numi_day *day;
    struct numi_day_options options = {.messages = 99, .symbols = 1};
    EXPECT_EQ(numi_day_open(&day, &options), NUMI_ERR_ARGUMENT);
    options = (struct numi_day_options){.messages = 1000, .symbols = 0};
    EXPECT_EQ(numi_day_open(&day, &options), NUMI_ERR_ARGUMENT);
    options = (struct numi_day_options){.messages = 1000, .symbols = 65001};
    EXPECT_EQ(numi_day_open(&day, &options), NUMI_ERR_ARGUMENT);
    EXPECT_CONTAINS(numi_error_detail(), "65001");
    options = (struct numi_day_options){.messages = 1000, .symbols = 2, .live = 334};
    EXPECT_EQ(numi_day_open(&day, &options), NUMI_ERR_ARGUMENT);
    EXPECT_CONTAINS(numi_error_detail(), "333");
    day = open_day(1000, 2, 1, 0);
    uint8_t small[63];
    EXPECT_EQ(numi_day_next(day, small, sizeof small), NUMI_ERR_ARGUMENT);
    numi_day_close(day);
    numi_day_close(NULL);
}

/* ---- Lines. */

static struct {
    uint8_t seen[2][SEEN_MAX]; /* times, by sequence */
    uint64_t packets[2], heartbeats[2], ends[2], late[2];
    uint64_t crc_sum; /* of all messages, each once */
    bool unordered;   /* stamps of the file */
} read_back;

static void read_packet(const struct numi_capture_packet *packet, int number, uint64_t *highest) {
    struct numi_packet parsed;
    struct numi_mold_header mold;
    NEED(numi_packet_parse(packet->data, packet->size, NUMI_LINK_ETHERNET, &parsed) == 0);
    NEED(parsed.destination[2] == number + 1 && parsed.destination_port == 26400);
    const uint8_t *at = packet->data + parsed.payload_offset;
    NEED(numi_mold_parse(at, parsed.payload_size, &mold) == NUMI_MOLD_OK);
    EXPECT(memcmp(mold.session, "NUMI000001", 10) == 0);
    read_back.packets[number]++;
    read_back.heartbeats[number] += mold.count == 0;
    read_back.ends[number] += mold.count == NUMI_MOLD_END_OF_SESSION;
    read_back.late[number] += mold.message_count > 0 && mold.sequence < *highest;
    *highest = mold.sequence > *highest ? mold.sequence : *highest;
    at += NUMI_MOLD_HEADER_SIZE;
    for (uint64_t sequence = mold.sequence; sequence < mold.sequence + mold.message_count;
         sequence++) {
        uint16_t size;
        const uint8_t *message = numi_mold_next(&at, &size);
        NEED(sequence < SEEN_MAX);
        if (read_back.seen[0][sequence] + read_back.seen[1][sequence] == 0)
            read_back.crc_sum += numi_crc32c((uint32_t)sequence, message, size);
        read_back.seen[number][sequence]++;
    }
}

static void read_capture(const char *path) {
    struct numi_capture *capture;
    struct numi_capture_packet packet;
    uint64_t highest[2] = {0};
    int64_t last_ns = INT64_MIN;
    NEED(numi_capture_open(&capture, path) == 0);
    while (numi_capture_next(capture, &packet) == 1) {
        int number = packet.data[32] - 1; /* the third byte of the group */
        NEED(number == 0 || number == 1);
        read_packet(&packet, number, &highest[number]);
        read_back.unordered |= packet.ns < last_ns;
        last_ns = packet.ns;
    }
    EXPECT_EQ(numi_capture_counts(capture)->truncated, 0);
    numi_capture_close(capture);
    unlink(path);
}

static uint64_t crc_sum_of_day(uint64_t messages, uint64_t seed) {
    struct numi_day *day = open_day(messages, 10, seed, 0);
    uint64_t size = read_day(day, 1 << 16), sum = 0, sequence = 1;
    for (const uint8_t *at = day_bytes; at < day_bytes + size; at += 2 + numi_be16(at))
        sum += numi_crc32c((uint32_t)sequence++, at + 2, numi_be16(at));
    numi_day_close(day);
    return sum;
}

static struct numi_lines_counts counts_of[2];

static void write_lines(struct numi_day *day, const struct numi_lines_options *options,
                        struct numi_capture_writer *const *writers, uint32_t interface_b) {
    struct numi_lines *lines = NULL;
    NEED(numi_lines_open(&lines, options, day, writers[0], 0, writers[1], interface_b) == 0);
    int64_t step;
    while ((step = numi_lines_step(lines)) > 0)
        continue;
    EXPECT_EQ(step, 0);
    EXPECT_EQ(numi_lines_step(lines), 0);
    for (uint32_t i = 0; i < 2; i++)
        EXPECT_EQ(numi_lines_count(lines, i, &counts_of[i]), 0);
    EXPECT_EQ(numi_lines_count(lines, 2, &counts_of[0]), NUMI_ERR_ARGUMENT);
    numi_lines_close(lines);
}

/* Writes a day on two lines and reads it back. */
static void round_trip(uint64_t messages, const struct numi_lines_options *options, bool merged) {
    char paths[2][64];
    struct numi_capture_writer *writers[2];
    memset(&read_back, 0, sizeof read_back);
    for (int i = 0; i < (merged ? 1 : 2); i++) {
        snprintf(paths[i], sizeof paths[i], "/tmp/numi_make_%d_%d.pcap", (int)getpid(), i);
        uint32_t format = merged ? NUMI_CAPTURE_PCAPNG : NUMI_CAPTURE_PCAP_NS;
        NEED(numi_capture_writer_open(&writers[i], paths[i], format, 0) == 0);
        NEED(numi_capture_writer_interface(writers[i], NUMI_LINK_ETHERNET, NULL, NULL) == 0);
    }
    if (merged) {
        writers[1] = writers[0];
        NEED(numi_capture_writer_interface(writers[1], NUMI_LINK_ETHERNET, NULL, NULL) == 1);
    }
    struct numi_day *day = open_day(messages, 10, 5, 0);
    write_lines(day, options, writers, merged);
    numi_day_close(day);
    for (int i = 0; i < (merged ? 1 : 2); i++) {
        EXPECT_EQ(numi_capture_writer_close(writers[i]), 0);
        read_capture(paths[i]);
    }
    EXPECT(!read_back.unordered);
}

static void expect_whole(uint64_t messages) {
    for (uint64_t sequence = 1; sequence <= messages; sequence++)
        EXPECT(read_back.seen[0][sequence] + read_back.seen[1][sequence] > 0);
    EXPECT_EQ(read_back.seen[0][messages + 1] + read_back.seen[1][messages + 1], 0);
    EXPECT_EQ(read_back.crc_sum, crc_sum_of_day(messages, 5));
}

static uint64_t missing_on(int number, uint64_t messages) {
    uint64_t missing = 0;
    for (uint64_t sequence = 1; sequence <= messages; sequence++)
        missing += read_back.seen[number][sequence] == 0;
    return missing;
}

static void expect_counts(uint64_t messages) {
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(counts_of[i].messages, messages);
        EXPECT_EQ(counts_of[i].packets, read_back.packets[i]);
        EXPECT_EQ(counts_of[i].lost_messages + counts_of[i].cut_messages, missing_on(i, messages));
    }
}

TEST(two_lines_without_fault) {
    struct numi_lines_options options;
    numi_lines_defaults(&options);
    for (int merged = 0; merged < 2; merged++) {
        round_trip(20000, &options, merged);
        expect_whole(20000);
        expect_counts(20000);
        EXPECT_EQ(missing_on(0, 20000) + missing_on(1, 20000), 0);
        EXPECT_EQ(read_back.late[0] + read_back.late[1], 0);
        EXPECT_EQ(read_back.ends[0], 3);
        EXPECT_EQ(read_back.heartbeats[1], counts_of[1].heartbeats);
        EXPECT(counts_of[0].heartbeats > 100);
    }
}

TEST(two_lines_with_every_fault_lose_nothing_together) {
    struct numi_lines_options options;
    numi_lines_defaults(&options);
    options.seed = check_random();
    options.packet_ns = 1000000;
    for (int i = 0; i < 2; i++) {
        options.loss[i] = NUMI_LINES_SURE / 10 * (3 + (uint32_t)i * 3);
        options.duplicate[i] = NUMI_LINES_SURE / 20;
        options.reorder[i] = NUMI_LINES_SURE / 20;
    }
    options.message_max[0] = 3;
    options.message_max[1] = 7;
    options.skew_ns = -50000000;
    options.cut_count = 2;
    options.cuts[0] = (struct numi_lines_cut){36000000000000, 39600000000000, 0, 0};
    options.cuts[1] = (struct numi_lines_cut){39700000000000, 43200000000000, 1, 0};
    for (int merged = 0; merged < 2; merged++) {
        round_trip(50000, &options, merged);
        expect_whole(50000);
        expect_counts(50000);
        EXPECT(read_back.late[0] > 100 && read_back.late[1] > 100);
        EXPECT(counts_of[0].duplicates > 100 && counts_of[1].reordered > 100);
        EXPECT(counts_of[0].cut_messages > 100 && counts_of[1].cut_messages > 100);
        EXPECT(counts_of[0].lost_messages > 1000 && counts_of[1].lost_messages > 1000);
    }
}

/* B loses all that it may, so every message at the edge of a cut of A must be B's to keep. */
TEST(what_a_cut_takes_the_other_line_keeps) {
    struct numi_lines_options options;
    numi_lines_defaults(&options);
    options.packet_ns = 4000000000u;
    options.loss[1] = NUMI_LINES_SURE;
    options.message_max[0] = 3;
    options.message_max[1] = 7;
    options.cut_count = NUMI_LINES_CUT_MAX;
    for (uint64_t i = 0; i < NUMI_LINES_CUT_MAX; i++)
        options.cuts[i] = (struct numi_lines_cut){(36000 + 100 * i) * 1000000000,
                                                  (36020 + 103 * i) * 1000000000, 0, 0};
    round_trip(100000, &options, false);
    expect_whole(100000);
    expect_counts(100000);
    EXPECT(missing_on(1, 100000) > 80000);
}

TEST(lines_lose_what_they_are_told_to) {
    struct numi_lines_options options;
    numi_lines_defaults(&options);
    options.loss[0] = options.loss[1] = NUMI_LINES_SURE / 100;
    round_trip(100000, &options, false);
    expect_whole(100000);
    EXPECT(missing_on(0, 100000) > 800 && missing_on(0, 100000) < 1200);
    EXPECT(missing_on(1, 100000) > 800 && missing_on(1, 100000) < 1200);
    options.loss[0] = options.loss[1] = NUMI_LINES_SURE;
    options.both_loss = 1;
    round_trip(1000, &options, false);
    EXPECT_EQ(missing_on(0, 1000) + missing_on(1, 1000), 2000);
}

TEST(what_lines_refuse) {
    struct numi_lines_options good, options;
    struct numi_lines *lines;
    numi_lines_defaults(&good);
    good.cut_count = 2;
    good.cuts[0] = (struct numi_lines_cut){1000, 2000, 0, 0};
    good.cuts[1] = (struct numi_lines_cut){2000000, 3000000, 1, 0};
    EXPECT_EQ(numi_lines_open(&lines, &good, NULL, NULL, 0, NULL, 1), 0);
    numi_lines_close(lines);
    numi_lines_close(NULL);
#define REFUSED(field, value)                                                                      \
    options = good;                                                                                \
    options.field = value;                                                                         \
    EXPECT_EQ(numi_lines_open(&lines, &options, NULL, NULL, 0, NULL, 1), NUMI_ERR_ARGUMENT)
    REFUSED(mtu, 127);
    REFUSED(mtu, 9001);
    REFUSED(loss[1], NUMI_LINES_SURE + 1);
    REFUSED(duplicate[0], NUMI_LINES_SURE + 1);
    REFUSED(reorder[0], UINT32_MAX);
    REFUSED(displacement, 0);
    REFUSED(displacement, 33);
    REFUSED(cut_count, 17);
    REFUSED(cuts[0].line, 2);
    REFUSED(cuts[1].to_ns, 1);
    REFUSED(cuts[1].from_ns, 2100);
    EXPECT_CONTAINS(numi_error_detail(), "both_loss");
}

CHECK_MAIN
