#include "check.h"

#include "base/error.h"
#include "feed/merge.h"

enum {
    SESSIONS = 8,
    PAYLOAD_MAX = 4096,
    OUT_MAX = 1 << 14,
    NEAR_END = 200, /* of what is left before the greatest sequence */
};

/* ---- Packets in. Session numbers stand for their names. */

struct payload {
    uint8_t bytes[PAYLOAD_MAX];
    uint64_t size;
};

static void name_session(uint8_t *session, int number) {
    char name[NUMI_MOLD_SESSION_SIZE + 1];
    snprintf(name, sizeof name, "SESSION%03d", number);
    memcpy(session, name, NUMI_MOLD_SESSION_SIZE);
}

/* A message is its sequence, the packet that brings it, and some bytes by its sequence. */
static uint32_t size_of_message(uint64_t sequence) {
    return 12 + sequence % 5;
}

static void write_header(struct payload *payload, int session, uint64_t sequence, uint16_t count) {
    uint8_t name[NUMI_MOLD_SESSION_SIZE];
    name_session(name, session);
    payload->size = numi_mold_write_header(payload->bytes, name, sequence, count);
}

static struct payload packet(int session, uint64_t sequence, uint32_t count, uint32_t copy) {
    struct payload payload = {.size = 0};
    write_header(&payload, session, sequence, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = payload.bytes + payload.size;
        uint32_t size = size_of_message(sequence + i);
        NEED(payload.size + 2 + size <= PAYLOAD_MAX);
        numi_put_be16(at, (uint16_t)size);
        numi_put_be64(at + 2, sequence + i);
        numi_put_be32(at + 10, copy);
        payload.size += 2 + size;
    }
    return payload;
}

static struct payload heartbeat(int session, uint64_t sequence) {
    return packet(session, sequence, 0, 0);
}

static struct payload end_of_session(int session, uint64_t sequence) {
    struct payload payload = {.size = 0};
    write_header(&payload, session, sequence, NUMI_MOLD_END_OF_SESSION);
    return payload;
}

/* ---- What came out, message by message. */

struct out {
    uint64_t sequence;
    uint32_t copy;       /* of which packet */
    bool is_missing;     /* in a declared gap */
    bool begins_gap;     /* is its first */
    bool begins_session; /* the first of its session */
};

static struct numi_merge *merge;
static struct out out[OUT_MAX];
static uint32_t out_count;
static uint64_t pushed; /* packets */

static void begin(void) {
    struct numi_merge_options options;
    numi_merge_defaults(&options);
    options.window = options.pending_max = 0;
    options.gap_timeout_ns = 0;
    options.agree = 1;
    NEED(numi_merge_open(&merge, &options, NULL) == NUMI_OK);
    out_count = 0;
    pushed = 0;
}

/* Numbers stand for the times. */
static int push_bytes(const uint8_t *bytes, uint64_t size, uint32_t copy) {
    struct numi_merge_packet packet = {
        .payload = bytes, .size = size, .now_ns = copy, .rx_ns = copy, .flags = (uint16_t)copy};
    int code = numi_merge_push(merge, &packet);
    return code < 0 ? code : NUMI_OK;
}

static void append(struct out one) {
    NEED(out_count < OUT_MAX);
    out[out_count++] = one;
}

static void take_gap(const struct numi_merge_run *run) {
    EXPECT_EQ(run->size, 0);
    NEED(run->count < OUT_MAX);
    for (uint64_t i = 0; i < run->count; i++)
        append((struct out){.sequence = run->sequence + i,
                            .is_missing = true,
                            .begins_gap = i == 0,
                            .begins_session = i == 0 && run->begins_session});
}

/* All of a run are of one packet, whose number its time and its flags have. */
static void take_messages(const struct numi_merge_run *run) {
    const uint8_t *at = run->bytes;
    for (uint64_t i = 0; i < run->count; i++) {
        uint16_t size;
        const uint8_t *message = numi_mold_next(&at, &size);
        EXPECT_EQ(numi_be64(message), run->sequence + i);
        EXPECT_EQ(size, size_of_message(run->sequence + i));
        EXPECT_EQ(numi_be32(message + 8), run->rx_ns);
        EXPECT_EQ(run->flags, (uint16_t)run->rx_ns);
        append((struct out){.sequence = run->sequence + i,
                            .copy = (uint32_t)run->rx_ns,
                            .begins_session = i == 0 && run->begins_session});
    }
    EXPECT(at == run->bytes + run->size);
}

static uint64_t sum_of_frames(const struct numi_ledger *ledger) {
    uint64_t sum = 0;
    for (int row = NUMI_FRAMES_RECEIVED + 1; row < NUMI_FRAME_ROW_COUNT; row++)
        sum += ledger->frames[row];
    return sum;
}

static void expect_ledger(void) {
    const struct numi_merge_counts *counts = numi_merge_counts(merge);
    EXPECT_EQ(numi_ledger_check_messages(&counts->ledger), 0);
    EXPECT_EQ(counts->ledger.frames[NUMI_FRAMES_RECEIVED], 0); /* whoever received them counts */
    EXPECT_EQ(sum_of_frames(&counts->ledger), pushed);
    EXPECT_EQ(counts->mold_reasons[0] + counts->mold_reasons[1] + counts->mold_reasons[2] +
                  counts->mold_reasons[3],
              pushed);
}

/* Takes all there is; how many runs. */
static uint32_t drain(void) {
    const struct numi_merge_run *run;
    uint32_t runs = 0;
    int code;
    while ((code = numi_merge_next(merge, &run)) == 1) {
        EXPECT(run->count > 0);
        if (run->bytes == NULL)
            take_gap(run);
        else
            take_messages(run);
        runs++;
    }
    EXPECT_EQ(code, 0);
    expect_ledger();
    return runs;
}

/* Pushes a packet that says to be number `copy`, from memory that is gone afterwards. */
static uint32_t push(struct payload payload, uint32_t copy) {
    uint8_t *bytes = malloc(payload.size + 1);
    NEED(bytes != NULL);
    memcpy(bytes, payload.bytes, payload.size);
    EXPECT_EQ(push_bytes(bytes, payload.size, copy), NUMI_OK);
    pushed++;
    uint32_t runs = drain();
    free(bytes);
    return runs;
}

static uint32_t push_packet(uint64_t sequence, uint32_t count, uint32_t copy) {
    return push(packet(1, sequence, count, copy), copy);
}

static uint32_t flush(void) {
    numi_merge_flush(merge);
    return drain();
}

static void finish(void) {
    flush();
    EXPECT_EQ(numi_merge_counts(merge)->ledger.frames[NUMI_FRAMES_HELD], 0);
    EXPECT_EQ(numi_merge_counts(merge)->ledger.messages[NUMI_MESSAGES_HELD], 0);
    numi_merge_close(merge);
    merge = NULL;
}

/* What came out, as words: "1a 2a -3 -4 5b", a the packet 1; gaps are negative. */
static void expect_out(const char *wanted) {
    static char got[1 << 16];
    size_t size = 0;
    got[0] = 0;
    for (uint32_t i = 0; i < out_count && size < sizeof got - 64; i++) {
        const char *space = i > 0 ? " " : "";
        unsigned long long sequence = out[i].sequence;
        if (out[i].is_missing)
            size += (size_t)snprintf(got + size, 64, "%s-%llu", space, sequence);
        else
            size += (size_t)snprintf(got + size, 64, "%s%llu%c", space, sequence,
                                     'a' + (int)out[i].copy - 1);
    }
    EXPECT_TEXT(got, wanted);
    out_count = 0;
}

static void expect_frames(uint64_t delivered, uint64_t duplicate, uint64_t stale, uint64_t held) {
    const uint64_t *frames = numi_merge_counts(merge)->ledger.frames;
    EXPECT_EQ(frames[NUMI_FRAMES_DELIVERED], delivered);
    EXPECT_EQ(frames[NUMI_FRAMES_DUPLICATE], duplicate);
    EXPECT_EQ(frames[NUMI_FRAMES_STALE], stale);
    EXPECT_EQ(frames[NUMI_FRAMES_HELD], held);
}

static void expect_messages(uint64_t new, uint64_t duplicate, uint64_t stale, uint64_t held) {
    const uint64_t *messages = numi_merge_counts(merge)->ledger.messages;
    EXPECT_EQ(messages[NUMI_MESSAGES_NEW], new);
    EXPECT_EQ(messages[NUMI_MESSAGES_DUPLICATE], duplicate);
    EXPECT_EQ(messages[NUMI_MESSAGES_STALE], stale);
    EXPECT_EQ(messages[NUMI_MESSAGES_HELD], held);
}

static void expect_gaps(uint64_t gaps, uint64_t missing) {
    EXPECT_EQ(numi_merge_counts(merge)->gaps, gaps);
    EXPECT_EQ(numi_merge_counts(merge)->missing, missing);
}

/* ---- One session. */

TEST(nothing_comes_of_nothing) {
    begin();
    EXPECT_EQ(drain(), 0);
    EXPECT_EQ(flush(), 0);
    EXPECT_EQ(numi_merge_counts(merge)->sessions, 0);
    finish();
    numi_merge_close(NULL);
}

TEST(in_order) {
    begin();
    EXPECT_EQ(push_packet(1, 2, 1), 1);
    EXPECT_EQ(push_packet(3, 1, 2), 1);
    EXPECT_EQ(push_packet(4, 3, 3), 1);
    expect_out("1a 2a 3b 4c 5c 6c");
    expect_frames(3, 0, 0, 0);
    expect_messages(6, 0, 0, 0);
    EXPECT_EQ(numi_merge_counts(merge)->held_max, 0);
    EXPECT_EQ(flush(), 0);
    expect_gaps(0, 0);
    finish();
}

TEST(what_goes_straight_through_is_not_copied) {
    struct payload whole = packet(1, 1, 5, 1);
    const struct numi_merge_run *run;
    begin();
    EXPECT_EQ(push_bytes(whole.bytes, whole.size, 1), NUMI_OK);
    EXPECT_EQ(numi_merge_next(merge, &run), 1);
    EXPECT(run->bytes == whole.bytes + NUMI_MOLD_HEADER_SIZE);
    EXPECT(run->bytes + run->size == whole.bytes + whole.size);
    EXPECT(run->begins_session);
    whole = packet(1, 3, 5, 2); /* two of which were there */
    EXPECT_EQ(push_bytes(whole.bytes, whole.size, 2), NUMI_OK);
    EXPECT_EQ(numi_merge_next(merge, &run), 1);
    EXPECT_EQ(run->sequence, 6);
    EXPECT_EQ(run->count, 2);
    EXPECT(run->bytes + run->size == whole.bytes + whole.size);
    EXPECT(!run->begins_session);
    numi_merge_close(merge); /* with a next that was not called to its end */
}

TEST(the_output_begins_with_the_first_packet) {
    begin();
    push_packet(100, 2, 1);
    push_packet(98, 2, 2); /* before it: nobody has waited for them */
    push_packet(99, 4, 3);
    expect_out("100a 101a 102c");
    expect_messages(3, 2, 3, 0);
    expect_frames(2, 0, 1, 0);
    finish();
}

TEST(duplicates) {
    begin();
    push_packet(1, 4, 1);
    push_packet(1, 4, 2);
    push_packet(2, 2, 3);
    push_packet(4, 1, 4);
    push_packet(5, 1, 5);
    push_packet(1, 5, 6);
    expect_out("1a 2a 3a 4a 5e");
    expect_frames(2, 4, 0, 0);
    expect_messages(5, 12, 0, 0);
    finish();
}

TEST(reordering) {
    begin();
    push_packet(1, 1, 1);
    EXPECT_EQ(push_packet(6, 2, 2), 0);
    EXPECT_EQ(push_packet(4, 2, 3), 0);
    EXPECT_EQ(push_packet(8, 1, 4), 0);
    expect_frames(1, 0, 0, 3);
    expect_messages(1, 0, 0, 5);
    EXPECT_EQ(push_packet(2, 2, 5), 4);
    expect_out("1a 2e 3e 4c 5c 6b 7b 8d");
    expect_frames(5, 0, 0, 0);
    EXPECT_EQ(numi_merge_counts(merge)->held_max, 4);
    expect_gaps(0, 0);
    finish();
}

/* The first copy of each message wins, whatever packets it came in. */
TEST(overlap_with_different_cuts) {
    begin();
    push_packet(1, 2, 1);
    push_packet(5, 2, 2); /* 5 6 */
    push_packet(4, 4, 3); /* 4 and 7 */
    push_packet(9, 1, 4); /* 9 */
    push_packet(6, 6, 5); /* 8, 10 and 11 */
    push_packet(5, 6, 6); /* nothing */
    expect_messages(2, 11, 0, 8);
    expect_frames(1, 1, 0, 4);
    push_packet(2, 11, 7); /* 3 and 12 */
    expect_out("1a 2a 3g 4c 5b 6b 7c 8e 9d 10e 11e 12g");
    expect_frames(6, 1, 0, 0);
    finish();
}

TEST(a_gap_that_is_filled) {
    begin();
    push_packet(1, 3, 1);
    push_packet(7, 2, 2);
    push_packet(4, 1, 3); /* in part */
    expect_out("1a 2a 3a 4c");
    push_packet(5, 1, 4);
    push_packet(6, 1, 5);
    expect_out("5d 6e 7b 8b");
    expect_gaps(0, 0);
    finish();
}

TEST(a_gap_that_is_not) {
    begin();
    push_packet(1, 3, 1);
    push_packet(7, 2, 2);
    push_packet(10, 1, 3);
    push_packet(5, 1, 4);
    EXPECT_EQ(flush(), 6);
    expect_out("1a 2a 3a -4 5d -6 7b 8b -9 10c");
    expect_gaps(3, 3);
    EXPECT_EQ(flush(), 0);
    finish();
}

TEST(heartbeats_ahead_of_the_data) {
    begin();
    EXPECT_EQ(push(heartbeat(1, 3), 1), 0);
    push_packet(3, 2, 2);
    EXPECT_EQ(push(heartbeat(1, 5), 3), 0);
    EXPECT_EQ(push(heartbeat(1, 9), 4), 0);
    EXPECT_EQ(push(heartbeat(1, 2), 5), 0);
    expect_out("3b 4b");
    EXPECT_EQ(flush(), 1);
    expect_out("-5 -6 -7 -8");
    expect_gaps(1, 4);
    EXPECT_EQ(numi_merge_counts(merge)->heartbeats, 4);
    EXPECT_EQ(numi_merge_counts(merge)->ledger.frames[NUMI_FRAMES_CONTROL], 4);
    finish();
}

TEST(a_heartbeat_alone_is_no_gap) {
    begin();
    push(heartbeat(1, 1000), 1);
    EXPECT_EQ(flush(), 0);
    EXPECT_EQ(numi_merge_counts(merge)->sessions, 1);
    finish();
}

TEST(the_end_of_a_session_says_how_far_it_went) {
    begin();
    push_packet(1, 2, 1);
    push(end_of_session(1, 5), 2);
    push(end_of_session(1, 5), 3);
    expect_out("1a 2a");
    push_packet(3, 1, 4); /* may come still */
    flush();
    expect_out("3d -4");
    EXPECT_EQ(numi_merge_counts(merge)->ends_of_session, 2);
    EXPECT_EQ(numi_merge_counts(merge)->heartbeats, 0);
    finish();
}

TEST(malformed) {
    static const struct {
        uint64_t size;
        int reason;
    } cuts[] = {{0, NUMI_MOLD_SHORT_HEADER},
                {19, NUMI_MOLD_SHORT_HEADER},
                {20, NUMI_MOLD_SHORT_BLOCK},
                {21, NUMI_MOLD_SHORT_BLOCK},
                {40, NUMI_MOLD_SHORT_BLOCK}};
    struct payload whole = packet(1, 3, 2, 2);
    begin();
    push_packet(1, 2, 1);
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct payload cut = whole;
        cut.size = cuts[i].size;
        EXPECT_EQ(push(cut, 2), 0);
    }
    whole.size++;
    EXPECT_EQ(push(whole, 2), 0);
    const struct numi_merge_counts *counts = numi_merge_counts(merge);
    EXPECT_EQ(counts->mold_reasons[NUMI_MOLD_SHORT_HEADER], 2);
    EXPECT_EQ(counts->mold_reasons[NUMI_MOLD_SHORT_BLOCK], 3);
    EXPECT_EQ(counts->mold_reasons[NUMI_MOLD_TRAILING], 1);
    EXPECT_EQ(counts->ledger.frames[NUMI_FRAMES_MALFORMED], 6);
    EXPECT_EQ(counts->ledger.messages[NUMI_MESSAGES_CARRIED], 2);
    EXPECT_EQ(numi_merge_expect(merge, whole.bytes, whole.size), NUMI_OK); /* no word of it */
    flush();
    expect_out("1a 2a");
    finish();
}

/* ---- What will come is known beforehand. */

static void expect(struct payload payload) {
    EXPECT_EQ(numi_merge_expect(merge, payload.bytes, payload.size), NUMI_OK);
}

TEST(expected_gaps_are_declared_at_once) {
    begin();
    expect(packet(1, 1, 3, 0));
    expect(packet(1, 7, 2, 0));
    expect(packet(1, 9, 1, 0));
    expect(packet(1, 12, 1, 0));
    EXPECT_EQ(push_packet(1, 3, 1), 2);
    expect_out("1a 2a 3a -4 -5 -6");
    expect_gaps(1, 3);
    EXPECT_EQ(push_packet(9, 1, 2), 0); /* 7 and 8 will come */
    EXPECT_EQ(push_packet(7, 2, 3), 3);
    expect_out("7c 8c 9b -10 -11");
    push_packet(12, 1, 4);
    expect_out("12d");
    push(heartbeat(1, 15), 5);
    expect_out(""); /* what comes behind all of it, nobody has said */
    flush();
    expect_out("-13 -14");
    expect_gaps(3, 7);
    finish();
}

TEST(the_output_begins_with_the_first_expected) {
    begin();
    expect(packet(1, 3, 2, 0));
    expect(packet(1, 1, 1, 0));
    EXPECT_EQ(push_packet(3, 2, 1), 0);
    EXPECT_EQ(push_packet(1, 1, 2), 3);
    expect_out("1b -2 3a 4a");
    finish();
}

TEST(what_comes_after_its_gap_is_stale) {
    begin();
    expect(packet(1, 1, 3, 0));
    expect(packet(1, 7, 2, 0));
    push_packet(1, 3, 1);
    push_packet(4, 3, 2); /* all of it lost */
    expect_frames(1, 0, 1, 0);
    expect_messages(3, 0, 3, 0);
    push_packet(3, 5, 3); /* a duplicate, three lost, one new */
    expect_frames(2, 0, 1, 0);
    expect_messages(4, 1, 6, 0);
    push_packet(2, 3, 4); /* two duplicates, one lost */
    expect_frames(2, 0, 2, 0);
    expect_messages(4, 3, 7, 0);
    push_packet(2, 2, 5);
    expect_frames(2, 1, 2, 0);
    push_packet(8, 1, 6);
    expect_out("1a 2a 3a -4 -5 -6 7c 8f");
    expect_messages(5, 5, 7, 0);
    finish();
}

/* More comes than was said. */
TEST(expectations_may_be_exceeded) {
    begin();
    expect(packet(1, 1, 2, 0));
    expect(packet(2, 1, 2, 0));
    expect(packet(1, 5, 2, 0));
    push_packet(1, 2, 1);
    push_packet(8, 2, 2);
    push_packet(5, 2, 3);
    expect_out("1a 2a -3 -4 5c 6c");
    push_packet(7, 1, 4);
    expect_out("7d 8b 9b");
    push(packet(3, 1, 1, 5), 5); /* a session of which nothing was said */
    push(packet(3, 3, 1, 6), 6);
    expect_out("1e");
    flush();
    expect_out("-2 3f");
    finish();
}

/* ---- Sessions. */

TEST(a_new_session_flushes_the_old_one) {
    begin();
    push_packet(1, 2, 1);
    push_packet(5, 1, 2);
    push(heartbeat(1, 8), 3);
    expect_out("1a 2a");
    EXPECT_EQ(push(packet(2, 1, 2, 4), 4), 4);
    EXPECT(out[0].is_missing && !out[0].begins_session);
    EXPECT(out[5].begins_session);
    expect_out("-3 -4 5b -6 -7 1d 2d");
    EXPECT_EQ(numi_merge_counts(merge)->sessions, 2);
    expect_frames(3, 0, 0, 0);
    finish();
}

TEST(sessions_that_are_over_are_stale) {
    begin();
    push_packet(1, 2, 1);
    push(packet(2, 1, 2, 2), 2);
    push_packet(3, 2, 3);
    push(heartbeat(1, 9), 4);
    push(end_of_session(1, 9), 5);
    push(packet(2, 3, 1, 6), 6);
    expect_out("1a 2a 1b 2b 3f");
    expect_frames(3, 0, 1, 0);
    expect_messages(5, 0, 2, 0);
    EXPECT_EQ(numi_merge_counts(merge)->ledger.frames[NUMI_FRAMES_CONTROL], 2);
    EXPECT_EQ(numi_merge_counts(merge)->heartbeats, 0); /* of a session that is over */
    push(packet(3, 1, 1, 7), 7);
    push(packet(2, 4, 1, 8), 8);
    push_packet(20, 1, 9); /* of the first */
    EXPECT_EQ(numi_merge_counts(merge)->sessions, 3);
    expect_out("1g");
    finish();
}

/* A session may begin with a word that carries nothing, or with a packet that has to be held. */
TEST(how_sessions_begin) {
    begin();
    expect(packet(2, 1, 1, 0));
    expect(packet(2, 4, 1, 0));
    push_packet(1, 1, 1);
    push(heartbeat(2, 1), 2);
    EXPECT_EQ(push(packet(2, 4, 1, 3), 3), 0);
    EXPECT_EQ(push(packet(2, 1, 1, 4), 4), 3);
    EXPECT(out[0].begins_session && out[1].begins_session && !out[2].begins_session);
    expect_out("1a 1d -2 -3 4c");
    push(end_of_session(3, 1), 5);
    push(packet(4, 7, 1, 6), 6);
    EXPECT(out[0].begins_session);
    expect_out("7f");
    EXPECT_EQ(numi_merge_counts(merge)->sessions, 4);
    finish();
}

/* A gap may be the first that goes out of a session. */
TEST(a_session_that_begins_with_a_gap) {
    begin();
    push(heartbeat(1, 1), 1);
    push(heartbeat(1, 4), 2);
    push_packet(6, 1, 3);
    flush();
    EXPECT(out[0].is_missing && out[0].begins_session && !out[1].begins_session);
    expect_out("-1 -2 -3 -4 -5 6c");
    expect_gaps(1, 5);
    finish();
}

/* ---- At the end of the sequences. */

TEST(sequences_near_the_greatest) {
    begin();
    push_packet(UINT64_MAX - 6, 2, 1);
    push_packet(UINT64_MAX - 2, 2, 2);
    EXPECT_EQ(push_packet(UINT64_MAX - 1, 2, 3), 0); /* would end past the greatest */
    EXPECT_EQ(push_packet(UINT64_MAX, 1, 4), 0);
    EXPECT_EQ(numi_merge_counts(merge)->mold_reasons[NUMI_MOLD_TRAILING], 2);
    push(heartbeat(1, UINT64_MAX), 5);
    push(end_of_session(1, UINT64_MAX), 6);
    flush();
    EXPECT_EQ(out_count, 6);
    for (uint32_t i = 0; i < out_count; i++) {
        EXPECT_EQ(out[i].sequence, UINT64_MAX - 6 + i);
        EXPECT_EQ(out[i].is_missing, i == 2 || i == 3);
    }
    EXPECT_EQ(numi_merge_counts(merge)->ledger.messages[NUMI_MESSAGES_CARRIED], 4);
    finish();
}

TEST(expected_up_to_the_greatest) {
    begin();
    expect(packet(1, UINT64_MAX - 9, 2, 0));
    expect(packet(1, UINT64_MAX - 5, 2, 0));
    expect(packet(1, UINT64_MAX - 1, 1, 0));
    expect(packet(1, UINT64_MAX, 1, 0)); /* none that could be */
    push_packet(UINT64_MAX - 5, 2, 2);
    EXPECT_EQ(push_packet(UINT64_MAX - 9, 2, 1), 4);
    push_packet(UINT64_MAX - 1, 1, 3);
    EXPECT_EQ(out_count, 9);
    EXPECT_EQ(flush(), 0);
    expect_gaps(2, 4);
    finish();
}

/* From the least sequence to the greatest: a gap of nearly all there are. */
TEST(the_widest_gap) {
    const struct numi_merge_run *run;
    begin();
    push_packet(0, 1, 1);
    push_packet(UINT64_MAX - 1, 1, 2);
    expect_out("0a");
    numi_merge_flush(merge);
    EXPECT_EQ(numi_merge_next(merge, &run), 1);
    EXPECT(run->bytes == NULL);
    EXPECT_EQ(run->sequence, 1);
    EXPECT_EQ(run->count, UINT64_MAX - 2);
    EXPECT_EQ(drain(), 1);
    expect_gaps(1, UINT64_MAX - 2);
    finish();
}

/* ---- Against sets: what must come out of packets that overlap as they like. */

enum { SPAN = 400, PACKETS = 120 };

/* A session as it was pushed: who brought each sequence first. */
struct naive {
    int session;
    bool is_over[SESSIONS + 1];
    uint64_t base;        /* of the sequences in `first` */
    uint64_t start, end;  /* of what is to come out, by what was pushed and said */
    uint32_t first[SPAN]; /* number of the packet; 0: nobody */
    struct out out[OUT_MAX];
    uint32_t out_count;
    uint64_t carried, stale, new, gaps, missing;
};

static void naive_append(struct naive *naive, struct out one) {
    NEED(naive->out_count < OUT_MAX);
    naive->out[naive->out_count++] = one;
}

/* The session is over: all of it comes out. */
static void naive_end(struct naive *naive) {
    bool in_gap = false, is_first = true;
    for (uint64_t at = naive->start; at < naive->end; at++, is_first = false) {
        uint32_t copy = naive->first[at - naive->base];
        naive_append(naive, (struct out){.sequence = at,
                                         .copy = copy,
                                         .is_missing = copy == 0,
                                         .begins_gap = copy == 0 && !in_gap,
                                         .begins_session = is_first});
        naive->gaps += copy == 0 && !in_gap;
        naive->missing += copy == 0;
        naive->new += copy != 0;
        in_gap = copy == 0;
    }
}

static void naive_begin(struct naive *naive, int session, uint64_t start) {
    if (naive->session != 0)
        naive_end(naive);
    naive->is_over[naive->session] = true;
    naive->session = session;
    naive->start = naive->end = start;
    memset(naive->first, 0, sizeof naive->first);
}

/* `least` is the least sequence that was expected of the session, where anything was. */
static void naive_push(struct naive *naive, int session, uint64_t from, uint64_t count,
                       uint32_t copy, uint64_t least) {
    naive->carried += count;
    if (naive->is_over[session]) {
        naive->stale += count;
        return;
    }
    if (session != naive->session)
        naive_begin(naive, session, from < least ? from : least);
    naive->end = from + count > naive->end ? from + count : naive->end;
    for (uint64_t at = from; at < from + count; at++) {
        naive->stale += at < naive->start;
        if (naive->first[at - naive->base] == 0)
            naive->first[at - naive->base] = copy;
    }
}

struct arrival {
    int session;
    uint64_t from;
    uint32_t count;
};

/* Mostly onwards, a few back, some far. */
static void draw_arrivals(struct arrival *arrivals, uint32_t count, uint64_t base, int sessions) {
    uint64_t at = check_below(SPAN / 4);
    int session = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (check_below(count) < (uint64_t)sessions) {
            session += session < SESSIONS - 1;
            at = check_below(SPAN / 4);
        }
        uint64_t kind = check_below(8);
        uint32_t length = (uint32_t)check_below(8);
        uint64_t from = kind < 4   ? at
                        : kind < 6 ? at - check_below(at < 20 ? at + 1 : 20)
                                   : at + check_below(20);
        from = from > SPAN - 8 ? SPAN - 8 : from;
        at = kind < 4 ? from + length : at;
        int late = check_below(10) == 0 && session > 1;
        arrivals[i] = (struct arrival){session - late, base + from, length};
    }
}

/* The least that is expected of a session; heartbeats expect nothing. */
static uint64_t least_of(const struct arrival *arrivals, uint32_t count, int session) {
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++)
        if (arrivals[i].session == session && arrivals[i].count > 0 && arrivals[i].from < least)
            least = arrivals[i].from;
    return least;
}

static void expect_same_out(const struct naive *naive) {
    EXPECT_EQ(out_count, naive->out_count);
    for (uint32_t i = 0; i < out_count && i < naive->out_count; i++) {
        EXPECT_EQ(out[i].sequence, naive->out[i].sequence);
        EXPECT_EQ(out[i].copy, naive->out[i].copy);
        EXPECT_EQ(out[i].is_missing, naive->out[i].is_missing);
        EXPECT_EQ(out[i].begins_gap, naive->out[i].begins_gap);
        EXPECT_EQ(out[i].begins_session, naive->out[i].begins_session);
    }
}

static void expect_same_counts(const struct naive *naive) {
    const struct numi_ledger *ledger = &numi_merge_counts(merge)->ledger;
    EXPECT_EQ(ledger->messages[NUMI_MESSAGES_CARRIED], naive->carried);
    EXPECT_EQ(ledger->messages[NUMI_MESSAGES_NEW], naive->new);
    EXPECT_EQ(ledger->messages[NUMI_MESSAGES_STALE], naive->stale);
    EXPECT_EQ(ledger->messages[NUMI_MESSAGES_DUPLICATE],
              naive->carried - naive->new - naive->stale);
    expect_gaps(naive->gaps, naive->missing);
}

static void compare_with_sets(bool expects, int sessions) {
    static struct naive naive;
    struct arrival arrivals[PACKETS];
    memset(&naive, 0, sizeof naive);
    naive.base = check_below(4) == 0 ? UINT64_MAX - SPAN - check_below(NEAR_END) : check_below(5);
    uint32_t count = 1 + (uint32_t)check_below(PACKETS);
    draw_arrivals(arrivals, count, naive.base, sessions);
    begin();
    for (uint32_t i = 0; expects && i < count; i++)
        expect(packet(arrivals[i].session, arrivals[i].from, arrivals[i].count, 0));
    for (uint32_t i = 0; i < count; i++) {
        const struct arrival *one = &arrivals[i];
        uint64_t least = expects ? least_of(arrivals, count, one->session) : UINT64_MAX;
        naive_push(&naive, one->session, one->from, one->count, i + 1, least);
        push(packet(one->session, one->from, one->count, i + 1), i + 1);
    }
    naive_begin(&naive, SESSIONS, 0);
    flush();
    expect_same_out(&naive);
    expect_same_counts(&naive);
    finish();
}

TEST(a_session_against_sets) {
    for (int round = 0; round < 2000 && check.failures == 0; round++)
        compare_with_sets(false, 0);
}

TEST(an_expected_session_against_sets) {
    for (int round = 0; round < 2000 && check.failures == 0; round++)
        compare_with_sets(true, 0);
}

TEST(sessions_against_sets) {
    for (int round = 0; round < 2000 && check.failures == 0; round++)
        compare_with_sets(false, 4);
}

CHECK_MAIN
