/* Six bytes choose small numbers, the rest are arrivals of two lines:
 *
 *   window | held | times | lines | flags | turn | arrival: verb, what, where | arrival | ...
 *
 * They are fed at once in batches of 64, and in one of four other ways: one by one, in two stages,
 * with little room for events, and, where no gap is declared for its age, in turns. The same
 * events, the same books, the same ledger, and the pool's sum was enough. The events are in order,
 * every sequence in one of them or in a gap, but for messages that are none. */
#include "fuzz.h"

#include "base/error.h"
#include "feed/feed.h"
#include "port/sim.h"

enum flag {
    TIES = 1,     /* arrivals come at the same time */
    UNLIKE = 2,   /* copies of a message differ */
    SESSIONS = 4, /* others are named */
    NO_BOOKS = 8,
    FROM_FIRST = 16,
    STRANGE = 32, /* some messages are none */
};

enum limit {
    ARRIVAL_SIZE = 3,
    ARRIVAL_MAX = 256,
    COUNT_MAX = 3, /* messages of a packet */
    FRAME_SIZE = 128,
    CANCEL_SIZE = 23,
    BASE = 1000,
    END_NS = 1 << 20,
};

/* How the feed is stepped. */
struct way {
    uint32_t batch, staged, event_max, budget;
    int64_t turn_ns;
};

/* What came of it. */
struct outcome {
    uint64_t event_hash;
    uint8_t state_hash[16];
    struct numi_feed_counts counts;
    struct numi_merge_counts merge;
    uint64_t switches;
};

static struct numi_feed_options options;
static uint8_t flags;
static struct numi_sim_arrival arrivals[ARRIVAL_MAX];
static uint8_t payloads[ARRIVAL_MAX * FRAME_SIZE];
static uint32_t arrival_count;
static int64_t turn_ns;
static uint32_t way_index; /* of the one that is held against a single step */

static void choose(struct input *input) {
    uint8_t window = input_byte(input), held = input_byte(input), times = input_byte(input);
    uint8_t lines = input_byte(input);
    flags = input_byte(input);
    uint8_t turn = input_byte(input);
    turn_ns = 1 + turn % 40;
    way_index = turn >> 6;
    numi_feed_defaults(&options);
    options.hashes = 1;
    options.keeps_books = !(flags & NO_BOOKS);
    options.books.order_max = 64;
    options.books.cache_size = 8192;
    struct numi_merge_options *merge = &options.merge;
    merge->window = window % 16;
    merge->window_max = window & 16 && merge->window > 0 ? merge->window * 4 : 0;
    merge->first_sequence = flags & FROM_FIRST ? BASE : 0;
    merge->pending_max = 1 + held % 8;
    merge->compared = held & 16 ? 4 : 0;
    merge->agree = 1 + (held >> 6 & 1);
    merge->primary = held >> 7;
    merge->gap_timeout_ns = times & 8 ? times % 8 * 4 : 0;
    merge->silence_ns = (times >> 4 & 3) * 10;
    merge->restart_ns = (times >> 6) * 5;
    merge->dwell_ns = lines % 16 * 4;
    merge->leave_after = 1 + (lines >> 4 & 3);
    merge->return_after = 1 + (lines >> 6);
}

/* ---- Arrivals. */

static void write_message(uint8_t *message, uint64_t sequence, uint8_t what) {
    memset(message, 0, CANCEL_SIZE);
    message[0] = flags & STRANGE && sequence % 7 == 0 ? '?' : 'X';
    message[2] = sequence % 3;
    numi_put_be64(message + 11, sequence);
    message[22] = flags & UNLIKE ? what : 0;
}

static uint32_t write_packet(uint8_t *payload, uint8_t session, uint64_t sequence, uint32_t count,
                             uint8_t what) {
    uint8_t name[NUMI_MOLD_SESSION_SIZE];
    memcpy(name, "FEEDTEST00", sizeof name);
    name[sizeof name - 1] = (uint8_t)('0' + session);
    uint32_t size = numi_mold_write_header(payload, name, sequence, (uint16_t)count);
    for (uint32_t i = 0; i < count && count != NUMI_MOLD_END_OF_SESSION; i++) {
        numi_put_be16(payload + size, CANCEL_SIZE);
        write_message(payload + size + 2, sequence + i, what);
        size += 2 + CANCEL_SIZE;
    }
    return size;
}

/* Verbs: most go on where their line was, some before or ahead of it. */
static void add_arrival(struct input *input, uint64_t *tops, int64_t *at_ns, uint8_t *session) {
    uint8_t verb = input_byte(input), what = input_byte(input), where = input_byte(input);
    uint8_t kind = verb & 15, line = verb >> 4 & 1;
    uint32_t count = 1 + what % COUNT_MAX;
    uint64_t sequence = kind < 8    ? tops[line]
                        : kind == 8 ? tops[line] - where % 8
                        : kind < 12 ? tops[line] + where % 8
                                    : tops[!line];
    if (kind == 12 && flags & SESSIONS && where < 64)
        *session += *session < 3;
    if (kind == 13)
        count = where & 1 ? 0 : where % 16 == 2 ? NUMI_MOLD_END_OF_SESSION : count;
    if (kind == 14)
        sequence = where < 32 ? 1 : where < 64 ? tops[line] + 100 : sequence;
    *at_ns += flags & TIES && verb & 64 ? 0 : verb >> 5 & 1 ? where >> 3 : 1;
    uint8_t *payload = payloads + arrival_count * FRAME_SIZE;
    bool is_older = kind == 15 && *session > 0 && where & 1;
    uint32_t size = write_packet(payload, (uint8_t)(*session - is_older), sequence, count, what);
    if (kind == 15 && where > 240)
        size -= where - 240;
    if (kind < 8 || kind > 12)
        tops[line] = sequence + (count == NUMI_MOLD_END_OF_SESSION ? 0 : count);
    arrivals[arrival_count++] = (struct numi_sim_arrival){
        .at_ns = *at_ns,
        .offset = (uint64_t)(payload - payloads),
        .size = size,
        .line = line,
    };
}

static void draw_arrivals(struct input *input) {
    uint64_t tops[2] = {BASE, BASE};
    int64_t at_ns = 100;
    uint8_t session = 0;
    arrival_count = 0;
    while (input->left >= ARRIVAL_SIZE && arrival_count < ARRIVAL_MAX)
        add_arrival(input, tops, &at_ns, &session);
}

/* ---- A feed, from its opening to its end. */

struct setup {
    struct numi_pool pool;
    struct numi_port *ports[2];
    struct numi_feed *feed;
    uint64_t next;  /* behind the last event */
    uint64_t begun; /* times that events began elsewhere */
};

static void open_setup(struct setup *setup, const struct way *way) {
    struct numi_feed_options own = options;
    own.batch = way->batch;
    own.staged = way->staged;
    own.event_max = way->event_max;
    uint32_t frames = own.merge.pending_max + 3 + 2 * way->batch + way->staged;
    *setup = (struct setup){0};
    MUST(numi_pool_open(&setup->pool, frames, FRAME_SIZE, NUMI_PAGES_4K, NUMI_NODE_ANY) == NUMI_OK);
    for (uint32_t line = 0; line < 2; line++) {
        const struct numi_sim_schedule schedule = {.arrivals = arrivals,
                                                   .arrival_count = arrival_count,
                                                   .payloads = payloads,
                                                   .payload_size = sizeof payloads,
                                                   .line = line};
        MUST(numi_port_open_sim(&setup->ports[line], &schedule, &setup->pool) == NUMI_OK);
    }
    MUST(numi_feed_open(&setup->feed, &own, &setup->pool, setup->ports, 2) == NUMI_OK);
}

/* Goes on where the last one stopped, but for a message that is none. */
static bool goes_on(const struct setup *setup, uint64_t sequence) {
    bool is_strange = flags & STRANGE && setup->next % 7 == 0;
    return sequence == setup->next || (is_strange && sequence == setup->next + 1);
}

/* Events of a step are of one session. */
static void judge_events(struct setup *setup, const struct way *way) {
    uint32_t count;
    const struct numi_event *events = numi_feed_events(setup->feed, &count);
    MUST(count <= way->event_max);
    for (uint32_t i = 0; i < count; i++) {
        const struct numi_event *event = &events[i];
        bool is_gap = event->kind == NUMI_EVENT_GAP;
        setup->begun += !goes_on(setup, event->sequence);
        MUST(i == 0 || goes_on(setup, event->sequence));
        MUST(is_gap || event->order == event->sequence);
        setup->next = (is_gap ? event->aux : event->sequence) + 1;
        MUST(setup->next > event->sequence);
    }
}

static void step_to(struct setup *setup, const struct way *way, int64_t now_ns) {
    int64_t done;
    while ((done = numi_feed_step(setup->feed, now_ns, way->budget)) > 0)
        judge_events(setup, way);
    MUST(done == 0);
}

static void judge_frames(struct setup *setup, const struct outcome *outcome) {
    const struct numi_ledger *ledger = &outcome->counts.ledger;
    uint64_t handed_out = 0;
    for (uint32_t line = 0; line < 2; line++) {
        const struct numi_port_counts *counts = numi_port_counts(setup->ports[line]);
        MUST(counts->no_frame == 0);
        handed_out += counts->handed_out;
    }
    MUST(handed_out == arrival_count && outcome->counts.frames == arrival_count);
    MUST(numi_ledger_check_frames(ledger) == 0 && numi_ledger_check_messages(ledger) == 0);
    MUST(ledger->frames[NUMI_FRAMES_HELD] == 0);
    MUST(outcome->counts.events + outcome->counts.rejected ==
         ledger->messages[NUMI_MESSAGES_NEW] + outcome->merge.gaps);
}

static void close_setup(struct setup *setup) {
    struct numi_pool_ledger pool;
    numi_feed_close(setup->feed);
    numi_pool_ledger(&setup->pool, &pool);
    MUST(pool.available == pool.size && pool.misses + pool.return_drops == 0);
    for (uint32_t line = 0; line < 2; line++)
        numi_port_close(setup->ports[line]);
    numi_pool_close(&setup->pool);
}

static void feed_all(const struct way *way, struct outcome *outcome) {
    struct setup setup;
    memset(outcome, 0, sizeof *outcome);
    open_setup(&setup, way);
    int64_t last_ns = arrival_count > 0 ? arrivals[arrival_count - 1].at_ns : 0;
    if (way->turn_ns > 0)
        for (int64_t now_ns = 0; now_ns < last_ns; now_ns += way->turn_ns)
            step_to(&setup, way, now_ns);
    step_to(&setup, way, last_ns);
    step_to(&setup, way, END_NS);
    numi_feed_flush(setup.feed);
    step_to(&setup, way, END_NS);
    outcome->event_hash = numi_feed_event_hash(setup.feed);
    if (options.keeps_books)
        MUST(numi_feed_state_hash(setup.feed, outcome->state_hash) == NUMI_OK);
    numi_feed_counts(setup.feed, &outcome->counts);
    outcome->merge = *numi_merge_counts(numi_feed_merge(setup.feed));
    outcome->switches = numi_merge_preference(numi_feed_merge(setup.feed))->switches;
    MUST(setup.begun <= outcome->merge.sessions);
    judge_frames(&setup, outcome);
    close_setup(&setup);
}

static void must_be_same(const struct outcome *one, const struct outcome *other) {
    MUST(one->event_hash == other->event_hash);
    MUST(memcmp(one->state_hash, other->state_hash, sizeof one->state_hash) == 0);
    MUST(memcmp(&one->counts.ledger, &other->counts.ledger, sizeof one->counts.ledger) == 0);
    MUST(one->counts.events == other->counts.events);
    MUST(one->counts.rejected == other->counts.rejected);
    MUST(one->merge.gaps == other->merge.gaps && one->merge.missing == other->merge.missing);
    MUST(one->merge.sessions == other->merge.sessions && one->merge.jumps == other->merge.jumps);
    MUST(one->switches == other->switches);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct outcome wanted, outcome;
    choose(&input);
    draw_arrivals(&input);
    /* Gaps that are due at different times are one where time jumps past all of them. */
    if (options.merge.gap_timeout_ns > 0)
        turn_ns = 0;
    const struct way at_once = {64, 0, 1024, 1 << 20, 0};
    const struct way ways[4] = {
        {1, 0, 1024, 1, 0},
        {7, 0, 1, 100, turn_ns},
        {64, 16, 64, 64, 0},
        {1, 2, 3, 5, turn_ns},
    };
    feed_all(&at_once, &wanted);
    feed_all(&ways[way_index], &outcome);
    must_be_same(&wanted, &outcome);
    return 0;
}
