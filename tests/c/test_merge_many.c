#include "check.h"

#include "feed/merge.h"

/* Many packets at once say the same as each by itself: twins get the same traffic, one packet by
 * packet, one in batches, and all that is to be seen of them is compared. */

enum {
    POOL = 512,
    PENDING = 64,
    BATCH = 32,
    ROUNDS = 400,
    SLOT = 256,
    RUN_MAX = 4096,
};

struct twin {
    struct numi_pool pool;
    struct numi_merge *merge;
    struct numi_merge_run runs[RUN_MAX];
    uint32_t run_count;
};

static struct twin one, many;

/* ---- Traffic: two lines that lose, repeat and delay, and now and then something else. */

struct traffic {
    uint64_t sequence; /* of the front */
    uint32_t session;
    int64_t now_ns;
};

struct drawn {
    uint8_t bytes[SLOT];
    uint32_t size;
    uint8_t line;
    int64_t now_ns;
};

static uint32_t write_messages(uint8_t *at, uint64_t sequence, uint32_t count, bool differs) {
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t length = (uint16_t)(14 + (sequence + i) % 30);
        numi_put_be16(at + size, length);
        memset(at + size + 2, (int)(sequence + i), length);
        at[size + 2] ^= differs;
        size += 2u + length;
    }
    return size;
}

static void draw(struct traffic *traffic, struct drawn *drawn) {
    uint8_t session[NUMI_MOLD_SESSION_SIZE];
    char name[16];
    bool is_odd = check_below(40) == 0;
    uint64_t back = is_odd ? check_below(60) : check_below(3);
    uint64_t sequence = traffic->sequence > back ? traffic->sequence - back : 1;
    uint32_t count = 1 + (check_below(4) == 0) * check_below(4);
    if (check_below(2) == 0)
        traffic->sequence += check_below(30) == 0 ? check_below(8) : 1;
    bool is_new = check_below(400) == 0;
    traffic->session += is_new;
    count = is_new || (is_odd && check_below(3) == 0) ? 0 : count; /* a heartbeat */
    traffic->now_ns += check_below(500) == 0 ? 5000 : check_below(20);
    snprintf(name, sizeof name, "SESSION%03u", traffic->session);
    memcpy(session, name, sizeof session);
    numi_mold_write_header(drawn->bytes, session, sequence, (uint16_t)count);
    drawn->size = NUMI_MOLD_HEADER_SIZE + write_messages(drawn->bytes + NUMI_MOLD_HEADER_SIZE,
                                                         sequence, count, check_below(200) == 0);
    drawn->size -= check_below(300) == 0 ? check_below(drawn->size) : 0;
    drawn->line = (uint8_t)(check_below(20) == 0 ? NUMI_LINE_RECOVERY : check_below(2));
    drawn->now_ns = traffic->now_ns - (int64_t)check_below(3);
}

/* ---- The twins. */

static void open_twin(struct twin *twin, uint32_t compared, uint32_t agree) {
    struct numi_merge_options options;
    numi_merge_defaults(&options);
    options.pending_max = PENDING;
    options.compared = compared;
    options.agree = agree;
    options.window = 128;
    options.gap_timeout_ns = 300;
    options.silence_ns = 2000;
    options.dwell_ns = 100;
    options.hands_over = 1;
    NEED(numi_pool_open(&twin->pool, POOL, SLOT, NUMI_PAGES_AUTO, NUMI_NODE_ANY) == NUMI_OK);
    NEED(numi_merge_open(&twin->merge, &options, &twin->pool) == NUMI_OK);
    twin->run_count = 0;
}

static struct numi_merge_packet place(struct twin *twin, const struct drawn *drawn) {
    struct numi_frame *frame = numi_pool_take(&twin->pool);
    NEED(frame != NULL);
    uint8_t *slot = numi_pool_slot(&twin->pool, frame->index);
    memcpy(slot, drawn->bytes, drawn->size);
    return (struct numi_merge_packet){.payload = slot,
                                      .size = drawn->size,
                                      .now_ns = drawn->now_ns,
                                      .rx_ns = drawn->now_ns + 7,
                                      .frame = frame->index,
                                      .flags = drawn->size & 0xFF,
                                      .line = drawn->line};
}

/* What the frame holds may go before the twins are compared: the first byte stands for it. */
static void take_run(struct twin *twin, const struct numi_merge_run *run) {
    NEED(twin->run_count < RUN_MAX);
    struct numi_merge_run *kept = &twin->runs[twin->run_count++];
    memset(kept, 0, sizeof *kept);
    *kept = *run;
    kept->frame = run->bytes == NULL ? 0 : run->bytes[2];
    kept->bytes = NULL;
    if (run->release)
        numi_pool_give(&twin->pool, run->frame);
}

static void push_one(struct twin *twin, const struct numi_merge_packet *packet) {
    const struct numi_merge_run *run;
    int code = numi_merge_push(twin->merge, packet);
    NEED(code >= 0);
    while (numi_merge_next(twin->merge, &run) == 1)
        take_run(twin, run);
}

static void push_batch(struct twin *twin, const struct numi_merge_packet *packets, uint32_t count) {
    struct numi_merge_run runs[BATCH];
    uint32_t run_count;
    for (uint32_t taken = 0; taken < count;) {
        taken +=
            numi_merge_push_many(twin->merge, packets + taken, count - taken, runs, &run_count);
        for (uint32_t i = 0; i < run_count; i++)
            take_run(twin, &runs[i]);
        if (taken < count)
            push_one(twin, &packets[taken++]);
    }
}

static void compare_twins(void) {
    const struct numi_copies *copies = numi_merge_copies(one.merge);
    const struct numi_copies *others = numi_merge_copies(many.merge);
    NEED(one.run_count == many.run_count);
    for (uint32_t i = 0; i < one.run_count; i++) {
        EXPECT_EQ(one.runs[i].sequence, many.runs[i].sequence);
        EXPECT_EQ(one.runs[i].count, many.runs[i].count);
        EXPECT_EQ(one.runs[i].size, many.runs[i].size);
        EXPECT_EQ(one.runs[i].rx_ns, many.runs[i].rx_ns);
        EXPECT_EQ(one.runs[i].frame, many.runs[i].frame);
        EXPECT_EQ(one.runs[i].flags, many.runs[i].flags);
        EXPECT_EQ(one.runs[i].line, many.runs[i].line);
        EXPECT_EQ(one.runs[i].begins_session, many.runs[i].begins_session);
    }
    EXPECT(memcmp(numi_merge_counts(one.merge), numi_merge_counts(many.merge),
                  sizeof(struct numi_merge_counts)) == 0);
    EXPECT(memcmp(copies->lines, others->lines, sizeof copies->lines) == 0);
    EXPECT_EQ(copies->disagreements, others->disagreements);
    EXPECT(memcmp(numi_merge_preference(one.merge), numi_merge_preference(many.merge),
                  sizeof(struct numi_preference)) == 0);
    EXPECT_EQ(numi_merge_sequence(one.merge), numi_merge_sequence(many.merge));
    EXPECT_EQ(numi_merge_due(one.merge), numi_merge_due(many.merge));
    EXPECT_EQ(one.pool.available, many.pool.available);
    one.run_count = many.run_count = 0;
}

static void advance_twin(struct twin *twin, int64_t now_ns) {
    const struct numi_merge_run *run;
    numi_merge_advance(twin->merge, now_ns);
    while (numi_merge_next(twin->merge, &run) == 1)
        take_run(twin, run);
}

static void close_twin(struct twin *twin) {
    numi_merge_close(twin->merge);
    EXPECT_EQ(twin->pool.available, POOL);
    EXPECT_EQ(twin->pool.return_drops, 0);
    numi_pool_close(&twin->pool);
}

static void compare_over(uint32_t compared, uint32_t agree, uint32_t batch_max) {
    struct numi_merge_packet packets[BATCH];
    struct traffic traffic = {.sequence = 1};
    struct drawn drawn;
    open_twin(&one, compared, agree);
    open_twin(&many, compared, agree);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = 1 + check_below(batch_max);
        for (uint32_t i = 0; i < count; i++) {
            draw(&traffic, &drawn);
            const struct numi_merge_packet packet = place(&one, &drawn);
            packets[i] = place(&many, &drawn);
            push_one(&one, &packet);
        }
        push_batch(&many, packets, count);
        if (check_below(10) == 0) {
            advance_twin(&one, traffic.now_ns);
            advance_twin(&many, traffic.now_ns);
        }
        compare_twins();
    }
    EXPECT(numi_merge_counts(one.merge)->ledger.frames[NUMI_FRAMES_DELIVERED] > 0);
    close_twin(&one);
    close_twin(&many);
}

TEST(many_at_once_are_as_each_by_itself) {
    for (uint32_t turn = 0; turn < 40; turn++)
        compare_over(turn % 2 == 0 ? 64 : 0, 1 + turn / 2 % 2, 1 + check_below(BATCH));
}

TEST(a_merge_that_keeps_its_frames_takes_none_of_many) {
    struct numi_merge_options options;
    struct numi_merge_run runs[1];
    struct traffic traffic = {.sequence = 1};
    struct drawn drawn;
    uint32_t run_count = 7;
    numi_merge_defaults(&options);
    options.pending_max = PENDING;
    NEED(numi_pool_open(&one.pool, POOL, SLOT, NUMI_PAGES_AUTO, NUMI_NODE_ANY) == NUMI_OK);
    NEED(numi_merge_open(&one.merge, &options, &one.pool) == NUMI_OK);
    do {
        draw(&traffic, &drawn);
        const struct numi_merge_packet first = place(&one, &drawn);
        push_one(&one, &first);
    } while (numi_merge_sequence(one.merge) == 0);
    const struct numi_merge_packet again = place(&one, &drawn);
    EXPECT_EQ(numi_merge_push_many(one.merge, &again, 1, runs, &run_count), 0);
    EXPECT_EQ(run_count, 0);
    push_one(&one, &again);
    close_twin(&one);
}

CHECK_MAIN
