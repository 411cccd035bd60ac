#include "check.h"

#include <stdatomic.h>

#include "base/error.h"
#include "feed/feed.h"
#include "port/sim.h"
#include "run/run.h"

/* Two lines of a feed from a schedule, whatever steps it. */

enum {
    MESSAGES = 4000,
    ARRIVALS = 2 * MESSAGES,
    POOL = 8192,
    CANCEL_SIZE = 23,
    PAYLOAD_SIZE = NUMI_MOLD_HEADER_SIZE + 2 + CANCEL_SIZE,
    END_NS = 1 << 30,
};

static uint8_t payloads[ARRIVALS * PAYLOAD_SIZE];
static struct numi_sim_arrival arrivals[ARRIVALS];
static uint64_t arrival_count;

static void write_payload(uint8_t *payload, uint64_t sequence) {
    static const uint8_t session[NUMI_MOLD_SESSION_SIZE] = "TESTFEED01";
    uint8_t *message = payload + NUMI_MOLD_HEADER_SIZE + 2;
    numi_mold_write_header(payload, session, sequence, 1);
    numi_put_be16(payload + NUMI_MOLD_HEADER_SIZE, CANCEL_SIZE);
    memset(message, 0, CANCEL_SIZE);
    message[0] = 'X';
    numi_put_be64(message + 11, sequence);
}

/* Each line loses one message in sixteen, and now and then one comes late; both lose [from, to).
 * Half of all come at once on both lines. */
static void draw_schedule_without(uint64_t from, uint64_t to) {
    arrival_count = 0;
    for (uint64_t sequence = 1; sequence <= MESSAGES; sequence++)
        for (uint8_t line = 0; line < 2; line++) {
            if (check_below(16) == 0 || (sequence >= from && sequence < to))
                continue;
            uint64_t offset = arrival_count * PAYLOAD_SIZE;
            uint64_t late =
                check_below(8) == 0 && sequence < MESSAGES - 4 && from == to ? check_below(4) : 0;
            arrivals[arrival_count++] = (struct numi_sim_arrival){
                .at_ns = (int64_t)(100 * sequence + line * check_below(2)),
                .offset = offset,
                .size = PAYLOAD_SIZE,
                .line = line};
            write_payload(payloads + offset, sequence + late);
            payloads[offset + PAYLOAD_SIZE - 1] = line; /* which copy was first is to be seen */
        }
}

static void draw_schedule(void) {
    draw_schedule_without(0, 0);
}

struct setup {
    struct numi_pool pool;
    struct numi_port *ports[2];
    struct numi_feed *feed;
};

static struct numi_feed_options options_of(uint32_t batch, uint32_t staged, uint32_t event_max) {
    struct numi_feed_options options;
    numi_feed_defaults(&options);
    options.hashes = 1;
    options.batch = batch;
    options.staged = staged;
    options.event_max = event_max;
    options.merge.pending_max = 256;
    options.merge.gap_timeout_ns = 2000;
    options.merge.dwell_ns = 700;
    options.merge.return_after = 3;
    return options;
}

static void open_ports(struct setup *setup) {
    NEED(numi_pool_open(&setup->pool, POOL, 128, NUMI_PAGES_AUTO, NUMI_NODE_ANY) == NUMI_OK);
    for (uint32_t line = 0; line < 2; line++) {
        const struct numi_sim_schedule schedule = {.arrivals = arrivals,
                                                   .arrival_count = arrival_count,
                                                   .payloads = payloads,
                                                   .payload_size = sizeof payloads,
                                                   .line = line};
        NEED(numi_port_open_sim(&setup->ports[line], &schedule, &setup->pool) == NUMI_OK);
    }
}

static void open_setup(struct setup *setup, uint32_t batch, uint32_t staged, uint32_t event_max) {
    const struct numi_feed_options options = options_of(batch, staged, event_max);
    open_ports(setup);
    NEED(numi_feed_open(&setup->feed, &options, &setup->pool, setup->ports, 2) == NUMI_OK);
}

/* The hash of all events; every frame is home, every ledger closed. */
static uint64_t close_setup(struct setup *setup) {
    struct numi_feed_counts counts;
    struct numi_pool_ledger pool;
    uint64_t hash = numi_feed_event_hash(setup->feed);
    numi_feed_counts(setup->feed, &counts);
    EXPECT_EQ(numi_ledger_check_frames(&counts.ledger), 0);
    EXPECT_EQ(numi_ledger_check_messages(&counts.ledger), 0);
    EXPECT_EQ(counts.frames, arrival_count);
    numi_feed_close(setup->feed);
    numi_pool_ledger(&setup->pool, &pool);
    EXPECT_EQ(pool.available, POOL);
    EXPECT_EQ(pool.misses + pool.return_drops, 0);
    for (uint32_t line = 0; line < 2; line++)
        numi_port_close(setup->ports[line]);
    numi_pool_close(&setup->pool);
    return hash;
}

static uint64_t hash_of_steps(uint32_t batch, uint32_t staged, uint32_t event_max, uint32_t budget,
                              int64_t turn_ns) {
    struct setup setup;
    open_setup(&setup, batch, staged, event_max);
    for (int64_t now = 0; now < 100 * (MESSAGES + 100); now += turn_ns)
        while (numi_feed_step(setup.feed, now, budget) > 0)
            ;
    numi_feed_flush(setup.feed);
    while (numi_feed_step(setup.feed, END_NS, budget) > 0)
        ;
    return close_setup(&setup);
}

static uint64_t hash_of_threads(uint32_t staged) {
    const int32_t cpus[2] = {NUMI_RUN_ANY_CPU, NUMI_RUN_ANY_CPU};
    struct setup setup;
    struct numi_run *run;
    struct numi_run_counts counts;
    open_setup(&setup, 64, staged, 64);
    const struct numi_run_feed what = {
        .feed = setup.feed, .cpus = cpus, .cpu_count = staged == 0 ? 1 : 2, .time = {.ns = END_NS}};
    NEED(numi_run_open_feed(&run, &what) == NUMI_OK);
    EXPECT_EQ(numi_run_wait(run, 60000000000), 1);
    for (uint32_t i = 0; i < numi_run_stages(run); i++) {
        numi_run_counts(run, i, &counts);
        EXPECT_EQ(counts.code, NUMI_OK);
        EXPECT(counts.has_ended && counts.busy > 0 && counts.steps >= counts.busy);
    }
    numi_run_close(run);
    return close_setup(&setup);
}

TEST(neither_batch_nor_budget_nor_stages_nor_turns_change_the_events) {
    draw_schedule();
    uint64_t wanted = hash_of_steps(64, 0, 4096, 1 << 20, 1 << 29);
    EXPECT_EQ(hash_of_steps(1, 0, 4096, 1, 1 << 29), wanted);
    EXPECT_EQ(hash_of_steps(7, 0, 1, 100, 333), wanted);
    EXPECT_EQ(hash_of_steps(64, 16, 4096, 64, 1 << 29), wanted);
    EXPECT_EQ(hash_of_steps(1, 2, 3, 5, 1000), wanted);
}

static void add_arrival(int64_t at_ns, uint8_t line, uint64_t sequence) {
    uint64_t offset = arrival_count * PAYLOAD_SIZE;
    arrivals[arrival_count++] = (struct numi_sim_arrival){
        .at_ns = at_ns, .offset = offset, .size = PAYLOAD_SIZE, .line = line};
    write_payload(payloads + offset, sequence);
    payloads[offset + PAYLOAD_SIZE - 1] = line; /* the lines say different things */
}

/* B was preferred at once, A is again from 110 + dwell on: before both bring the third message. */
TEST(a_dwell_that_is_over_decides_ties_whoever_has_looked) {
    uint64_t hashes[2];
    arrival_count = 0;
    add_arrival(100, 1, 1);
    add_arrival(110, 0, 2);
    add_arrival(300, 0, 3);
    add_arrival(300, 1, 3);
    for (int looks = 0; looks < 2; looks++) {
        struct numi_feed_options options = options_of(64, 0, 64);
        struct setup setup;
        options.merge.leave_after = options.merge.return_after = 1;
        options.merge.dwell_ns = 100;
        open_ports(&setup);
        NEED(numi_feed_open(&setup.feed, &options, &setup.pool, setup.ports, 2) == NUMI_OK);
        for (int64_t now_ns = looks ? 250 : 1000; now_ns <= 1000; now_ns += 250)
            while (numi_feed_step(setup.feed, now_ns, 64) > 0)
                ;
        hashes[looks] = close_setup(&setup);
    }
    EXPECT_EQ(hashes[0], hashes[1]);
}

TEST(nor_do_threads) {
    draw_schedule();
    uint64_t wanted = hash_of_steps(64, 0, 4096, 1 << 20, 1 << 29);
    EXPECT_EQ(hash_of_threads(0), wanted);
    EXPECT_EQ(hash_of_threads(2), wanted);
    EXPECT_EQ(hash_of_threads(64), wanted);
}

/* A feed and its recovery, each in a thread; the server is the thread that asks. */
struct recovering {
    struct numi_feed *feed;
    struct numi_recovery *recovery;
    _Atomic bool is_over;
};

static int64_t step_feed(void *argument, int64_t now_ns) {
    struct recovering *self = argument;
    int64_t done = numi_feed_step(self->feed, now_ns, 64);
    if (done != 0 || numi_merge_sequence(numi_feed_merge(self->feed)) <= MESSAGES)
        return done;
    atomic_store(&self->is_over, true);
    return NUMI_RUN_DONE;
}

/* One message for each request; now and then no answer, a wrong one, or two. */
static int64_t step_server(void *argument, int64_t now_ns) {
    struct recovering *self = argument;
    struct numi_request requests[8];
    uint8_t payload[PAYLOAD_SIZE];
    int count = numi_recovery_ask(self->recovery, now_ns, requests, 8);
    NEED(count >= 0);
    for (int i = 0; i < count; i++) {
        write_payload(payload, requests[i].sequence);
        uint64_t size = sizeof payload - (check_below(8) == 0);
        int times = size < sizeof payload ? 2 : 1 + (check_below(4) == 0);
        for (int time = 0; time < times; time++, size = sizeof payload)
            (void)numi_recovery_reply(self->recovery, now_ns, requests[i].server, payload, size);
    }
    return atomic_load(&self->is_over) ? NUMI_RUN_DONE : count;
}

TEST(recovery_fills_gaps_from_a_thread_of_its_own) {
    struct setup setup;
    struct numi_port *ports[3];
    struct numi_run *run;
    struct recovering self = {0};
    struct numi_recovery_options options;
    draw_schedule_without(1000, 1300);
    numi_recovery_defaults(&options);
    options.recover.give_up_ns = 3600000000000;
    options.recover.attempts_max = 1000;
    options.recover.timeout_ns = 1000000;
    options.packets = 4;
    options.packet_size = 128;
    NEED(numi_recovery_open(&self.recovery, &options) == NUMI_OK);
    open_ports(&setup);
    NEED(numi_recovery_open_port(&ports[2], self.recovery, &setup.pool) == NUMI_OK);
    memcpy(ports, setup.ports, sizeof setup.ports);
    struct numi_feed_options feed = options_of(64, 0, 4096);
    feed.merge.gap_timeout_ns = 0;
    feed.merge.pending_max = MESSAGES;
    NEED(numi_feed_open(&setup.feed, &feed, &setup.pool, ports, 3) == NUMI_OK);
    NEED(numi_feed_recover(setup.feed, self.recovery) == NUMI_OK);
    self.feed = setup.feed;
    const struct numi_run_stage stages[] = {{step_feed, &self, NUMI_RUN_ANY_CPU},
                                            {step_server, &self, NUMI_RUN_ANY_CPU}};
    struct numi_clock *clock;
    NEED(numi_clock_open(&clock, 0) == NUMI_OK);
    const struct numi_run_time time = {.clock = clock,
                                       .ns = END_NS - numi_clock_now(clock, NUMI_DOMAIN_MONO),
                                       .domain = NUMI_DOMAIN_MONO};
    NEED(numi_run_open(&run, stages, 2, &time) == NUMI_OK);
    EXPECT_EQ(numi_run_wait(run, 60000000000), 1);
    numi_run_close(run);
    numi_clock_close(clock);
    EXPECT_EQ(numi_merge_counts(numi_feed_merge(setup.feed))->missing, 0);
    EXPECT(numi_recovery_planner_counts(self.recovery)->answered >= 300);
    arrival_count += numi_port_counts(ports[2])->handed_out;
    (void)close_setup(&setup);
    numi_port_close(ports[2]);
    numi_recovery_close(self.recovery);
}

static int64_t count_turns(void *self, int64_t now_ns) {
    uint64_t *turns = self;
    EXPECT(now_ns >= 0);
    return ++*turns == 100 ? NUMI_ERR_SYSTEM : (int64_t)(*turns % 2);
}

TEST(a_thread_ends_with_the_error_of_its_step) {
    uint64_t turns = 0;
    struct numi_run *run;
    struct numi_run_counts counts;
    const struct numi_run_stage stage = {count_turns, &turns, NUMI_RUN_ANY_CPU};
    NEED(numi_run_open(&run, &stage, 1, &(struct numi_run_time){.ns = 5}) == NUMI_OK);
    EXPECT_EQ(numi_run_wait(run, 60000000000), 1);
    numi_run_counts(run, 0, &counts);
    EXPECT_EQ(counts.code, NUMI_ERR_SYSTEM);
    EXPECT_EQ(counts.steps, 100);
    EXPECT_EQ(counts.busy, 50);
    numi_run_close(run);
    EXPECT_EQ(numi_run_open(&run, &stage, 0, &(struct numi_run_time){.ns = 5}), NUMI_ERR_ARGUMENT);
}

CHECK_MAIN
