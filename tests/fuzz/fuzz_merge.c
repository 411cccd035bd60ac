/* Six bytes choose small numbers, the rest are steps:
 *
 *   window | held | times | lines | base | flags | step: verb, what, where | step | ...
 *
 * Packets go on, fall behind, come again, come broken, jump ahead, name other sessions; between
 * them time passes, gaps are given up, all is flushed. A run says which packet it is of by its
 * time, so each message is held against what was pushed:
 *
 *   - in order, every sequence once, as a message or in a declared gap, and no packet's twice;
 *   - of the first packet that found its place with it, and no gap over one that did;
 *   - frames are held by nobody but those that wait, and the pool has them all in the end;
 *   - what the counts say is what was seen to come and go. */
#include "fuzz.h"

#include "base/error.h"
#include "feed/merge.h"

enum flag {
    NO_POOL = 1,
    HANDS_OVER = 2, /* and some runs' frames come back late */
    BY_OFFSET = 4,  /* one message a packet */
    FOUR_BYTES = 8, /* likewise, of the number */
    UNLIKE = 16,    /* copies of a message differ */
    EXPECTS = 32,   /* all that will come is said beforehand */
    FROM_FIRST = 64,
    MANY = 128, /* packets are pushed together, as far as that goes */
};

enum limit {
    STEP_SIZE = 3,
    SPAN = 48,
    SENT_MAX = 400,
    FRAME_SIZE = 128,
    COUNT_MAX = 6, /* messages of a packet */
    SESSIONS = 6,
    LATE_MAX = 2, /* runs whose frames are not back yet */
    TOGETHER = 4, /* packets that wait to be pushed */
    GAP_MAX = 256,
    LOST_MAX = 1024,
    OFFSET = 3,
};

/* A packet as it was pushed. */
struct sent {
    uint64_t sequence, era;
    uint32_t count, size;
    uint8_t session, line;
    bool is_whole, ends_session;
    bool is_taken; /* each of its messages found its place, or was old */
    uint8_t out;   /* its messages that came out, a bit each */
    uint8_t bytes[FRAME_SIZE];
};

static struct numi_merge_options options;
static struct numi_merge *merge;
static struct numi_pool pool;
static uint8_t flags;
static uint64_t base;
static bool is_foretelling; /* packets are only said to come */

static struct sent sent[SENT_MAX];
static uint32_t sent_count;
static uint8_t session; /* the one that packets are of */
static uint64_t top;    /* where it goes on */
static int64_t now_ns;

/* The last of those that were sent, which wait to be pushed. */
static struct numi_merge_packet packets[TOGETHER];
static uint32_t packet_count;

/* What came out. */
static uint64_t era, next; /* sessions that had begun; behind the last run */
static uint64_t carried, delivered, gap_count, missing;
static struct numi_gap lost[LOST_MAX]; /* what was before the session, and its declared gaps */
static uint32_t lost_count;
static bool is_flushing;
static uint32_t late[LATE_MAX], late_count;

/* ---- What was chosen. */

static void choose(struct input *input) {
    static const uint64_t bases[8] = {1, 1, 5, 1000, UINT32_MAX - 60, 1000, UINT64_MAX - 300, 0};
    static const uint32_t compared[4] = {0, 1, 4, 64};
    uint8_t window = input_byte(input), held = input_byte(input), times = input_byte(input);
    uint8_t lines = input_byte(input);
    base = bases[input_byte(input) & 7];
    flags = input_byte(input);
    if ((flags & BY_OFFSET) && (flags & FOUR_BYTES) && base > UINT32_MAX)
        base = UINT32_MAX - 20;
    if ((flags & BY_OFFSET) && (flags & EXPECTS))
        flags &= ~FOUR_BYTES; /* what is foretold does not wrap */
    numi_merge_defaults(&options);
    options.window = window % 16;
    options.window_max = window & 16 && options.window > 0 ? options.window * 4 : 0;
    options.first_sequence = flags & FROM_FIRST ? base + 3 : 0;
    options.pending_max = held % 8 == 7 && flags & NO_POOL ? 0 : 1 + held % 8;
    options.compared = compared[held >> 4 & 3];
    options.agree = 1 + (held >> 6 & 1);
    options.primary = held >> 7;
    options.gap_timeout_ns = times % 16 * 2;
    options.silence_ns = (times >> 4 & 3) * 10;
    options.restart_ns = (times >> 6) * 5;
    options.dwell_ns = lines % 16;
    options.leave_after = 1 + (lines >> 4 & 3);
    options.return_after = 1 + (lines >> 6);
    options.numbering = flags & BY_OFFSET ? NUMI_NUMBERED_BY_OFFSET : NUMI_NUMBERED_BY_MOLD;
    options.sequence_offset = OFFSET;
    options.sequence_size = flags & FOUR_BYTES ? 4 : 8;
    options.hands_over = (flags & (HANDS_OVER | NO_POOL)) == HANDS_OVER;
}

static bool is_bare(void) {
    return (flags & BY_OFFSET) != 0;
}

/* ---- Packets. */

static void name_session(uint8_t *name, uint8_t number) {
    memcpy(name, "MERGETEST0", NUMI_MOLD_SESSION_SIZE);
    name[NUMI_MOLD_SESSION_SIZE - 1] = (uint8_t)('0' + number);
}

static uint32_t put_message(uint8_t *at, uint64_t sequence) {
    uint32_t size = 9 + sequence % 5;
    numi_put_be16(at, (uint16_t)size);
    memset(at + 2, (int)sequence, size);
    numi_put_be64(at + 2, sequence);
    at[2 + 8] = flags & UNLIKE ? (uint8_t)sent_count : 0;
    return 2 + size;
}

static void write_bare(struct sent *one) {
    one->size = OFFSET + options.sequence_size + 1;
    memset(one->bytes, 'x', one->size);
    if (options.sequence_size == 4)
        numi_put_be32(one->bytes + OFFSET, (uint32_t)one->sequence);
    else
        numi_put_be64(one->bytes + OFFSET, one->sequence);
    one->bytes[one->size - 1] = flags & UNLIKE ? (uint8_t)sent_count : 0;
}

/* `count` as on the wire. */
static void write_packet(struct sent *one, uint16_t count) {
    uint8_t name[NUMI_MOLD_SESSION_SIZE];
    if (is_bare()) {
        one->count = 1;
        write_bare(one);
    } else {
        name_session(name, one->session);
        one->size = numi_mold_write_header(one->bytes, name, one->sequence, count);
        one->count = count == NUMI_MOLD_END_OF_SESSION ? 0 : count;
        for (uint32_t i = 0; i < one->count; i++)
            one->size += put_message(one->bytes + one->size, one->sequence + i);
    }
    one->ends_session = !is_bare() && count == NUMI_MOLD_END_OF_SESSION;
    one->is_whole = one->sequence <= UINT64_MAX - one->count;
}

/* An earlier one once more. */
static void repeat(struct sent *one, uint8_t where) {
    if (sent_count == 0)
        return;
    uint8_t line = one->line;
    *one = sent[sent_count - 1 - where % 16 % sent_count];
    one->line = line;
    one->out = 0;
}

static void break_packet(struct sent *one, uint8_t where) {
    if (!one->is_whole)
        return;
    if (!is_bare() && where % 8 == 0)
        one->bytes[one->size++] = 0;
    else
        one->size = is_bare() ? where % 4 : where % one->size;
    one->is_whole = false;
}

/* ---- Runs. */

static bool is_current(const struct sent *one) {
    uint8_t name[NUMI_MOLD_SESSION_SIZE] = {0};
    const uint8_t *current = numi_merge_session(merge);
    if (!is_bare())
        name_session(name, one->session);
    return current != NULL && memcmp(current, name, sizeof name) == 0;
}

static void note_lost(uint64_t from, uint64_t to) {
    MUST(lost_count < LOST_MAX);
    lost[lost_count++] = (struct numi_gap){.from = from, .to = to};
}

/* How many of its messages nobody will ever bring. */
static uint64_t count_lost(const struct sent *one) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < lost_count; i++)
        for (uint64_t at = one->sequence; at < one->sequence + one->count; at++)
            count += at >= lost[i].from && at < lost[i].to;
    return count;
}

static bool overlaps(const struct sent *one, uint64_t from, uint64_t to) {
    return one->count > 0 && one->sequence < to && from < one->sequence + one->count;
}

/* No packet before number `end` found its place with a message of [from, to). */
static void must_be_unknown(uint64_t from, uint64_t to, uint64_t end) {
    for (uint64_t i = 0; i < end; i++)
        MUST(!sent[i].is_taken || sent[i].era != era || !overlaps(&sent[i], from, to));
}

static void judge_messages(const struct numi_merge_run *run) {
    uint8_t name[NUMI_MOLD_SESSION_SIZE] = {0};
    MUST(run->rx_ns >= 0 && run->rx_ns < sent_count);
    struct sent *one = &sent[run->rx_ns];
    uint64_t skipped = run->sequence - one->sequence;
    MUST(one->is_whole && run->line == one->line && run->flags == (uint16_t)(run->rx_ns * 3));
    MUST(run->sequence >= one->sequence && skipped + run->count <= one->count);
    const uint8_t *wanted = one->bytes, *end = one->bytes + one->size;
    if (!is_bare()) {
        name_session(name, one->session);
        wanted = numi_mold_skip(one->bytes + NUMI_MOLD_HEADER_SIZE, skipped);
        end = numi_mold_skip(wanted, run->count);
    }
    MUST(memcmp(numi_merge_session(merge), name, sizeof name) == 0);
    MUST(run->is_bare == is_bare() && run->size == (uint64_t)(end - wanted));
    MUST(memcmp(run->bytes, wanted, run->size) == 0);
    for (uint64_t i = skipped; i < skipped + run->count; i++) {
        MUST((one->out >> i & 1) == 0);
        one->out |= (uint8_t)(1u << i);
    }
    must_be_unknown(run->sequence, next, (uint64_t)run->rx_ns);
    delivered += run->count;
}

static void judge_gap(const struct numi_merge_run *run) {
    MUST(run->size == 0 && !run->release);
    must_be_unknown(run->sequence, next, sent_count);
    note_lost(run->sequence, next);
    gap_count++;
    missing += run->count;
}

/* A session begins with a packet that named it; not for one packet alone, as long as others may
 * come and the end of the one before was not told. */
static void judge_begin(const struct numi_merge_run *run) {
    uint64_t begun = numi_merge_counts(merge)->sessions;
    bool is_named = options.first_sequence != 0 || flags & EXPECTS;
    uint32_t agree = is_flushing || era == 0 ? 2 : 0;
    MUST(begun > era);
    era = begun;
    MUST(options.first_sequence == 0 || run->sequence == options.first_sequence);
    for (uint32_t i = 0; i < sent_count - packet_count + (packet_count > 0); i++) {
        is_named |= sent[i].is_whole && sent[i].sequence == run->sequence;
        agree += sent[i].is_whole && (is_current(&sent[i]) || sent[i].ends_session);
    }
    MUST(is_named && agree >= options.agree);
    lost_count = 0;
    note_lost(0, run->sequence);
}

static void give_late(uint32_t wanted) {
    for (; late_count > wanted; late_count--) {
        MUST(numi_pool_give(&pool, late[0]) == NUMI_OK);
        memmove(late, late + 1, sizeof late - sizeof late[0]);
    }
}

static void judge_run(const struct numi_merge_run *run) {
    MUST(run->count > 0 && run->sequence <= UINT64_MAX - run->count);
    if (run->begins_session)
        judge_begin(run);
    else
        MUST(run->sequence == next);
    MUST(era == numi_merge_counts(merge)->sessions);
    next = run->sequence + run->count;
    if (run->bytes == NULL)
        judge_gap(run);
    else
        judge_messages(run);
    MUST(!run->release || options.hands_over);
    if (!run->release)
        return;
    give_late(LATE_MAX - 1);
    late[late_count++] = run->frame;
}

/* ---- What is known between packets. */

static void judge_gaps(void) {
    struct numi_gap gaps[GAP_MAX];
    uint32_t count = numi_merge_gaps(merge, gaps, GAP_MAX);
    uint64_t at = numi_merge_sequence(merge);
    bool is_current = era == numi_merge_counts(merge)->sessions;
    MUST(!is_current || at == next);
    for (uint32_t i = 0; i < count; i++) {
        MUST(gaps[i].from >= at && gaps[i].to > gaps[i].from && gaps[i].known_ns <= now_ns);
        MUST(i > 0 || gaps[i].from == at);
        at = gaps[i].to;
        if (is_current)
            must_be_unknown(gaps[i].from, gaps[i].to, sent_count);
    }
}

static void judge_frames(const struct numi_ledger *ledger) {
    struct numi_pool_ledger of_pool;
    if (flags & NO_POOL)
        return;
    numi_pool_ledger(&pool, &of_pool);
    uint64_t held = of_pool.held - late_count - packet_count,
             waiting = ledger->frames[NUMI_FRAMES_HELD];
    MUST(numi_ledger_check_pool(&of_pool) == 0);
    MUST(of_pool.return_drops == 0 && of_pool.misses == 0);
    /* Beside those that wait for a gap, one of a session that nobody else has named. */
    MUST(held >= waiting && held <= options.pending_max + (options.agree > 1));
    MUST(ledger->messages[NUMI_MESSAGES_HELD] > 0 || held == waiting);
}

static void judge_lines(const struct numi_ledger *ledger) {
    const struct numi_line_counts *lines = numi_merge_copies(merge)->lines;
    uint64_t first = 0, held = ledger->messages[NUMI_MESSAGES_HELD];
    for (uint32_t line = 0; line < NUMI_LINE_COUNT; line++) {
        const struct numi_line_counts *of = &lines[line];
        MUST(of->first + of->second + of->repeated <= of->messages);
        MUST(of->packets <= of->messages && of->late <= of->packets);
        first += of->first;
    }
    MUST(first >= delivered && first <= delivered + held);
    MUST(flags & UNLIKE || numi_merge_copies(merge)->disagreements == 0);
}

static void judge_counts(void) {
    const struct numi_merge_counts *counts = numi_merge_counts(merge);
    const struct numi_ledger *ledger = &counts->ledger;
    uint64_t frames = 0, reasons = 0;
    for (int row = NUMI_FRAMES_RECEIVED; row < NUMI_FRAME_ROW_COUNT; row++)
        frames += ledger->frames[row];
    for (int reason = 0; reason < NUMI_MOLD_REASON_COUNT; reason++)
        reasons += counts->mold_reasons[reason];
    MUST(frames == sent_count - packet_count && reasons == frames);
    MUST(reasons - counts->mold_reasons[NUMI_MOLD_OK] == ledger->frames[NUMI_FRAMES_MALFORMED]);
    MUST(numi_ledger_check_messages(ledger) == 0);
    MUST(ledger->messages[NUMI_MESSAGES_CARRIED] == carried);
    MUST(ledger->messages[NUMI_MESSAGES_NEW] == delivered);
    MUST(counts->gaps == gap_count && counts->missing == missing);
    MUST(counts->heartbeats + counts->ends_of_session <= ledger->frames[NUMI_FRAMES_CONTROL]);
    MUST(options.pending_max == 0 || counts->held_max <= options.pending_max + 1);
    judge_frames(ledger);
    judge_lines(ledger);
    judge_gaps();
}

static uint32_t drain(void) {
    const struct numi_merge_run *run;
    uint32_t runs = 0;
    int code;
    for (; (code = numi_merge_next(merge, &run)) == 1; runs++)
        judge_run(run);
    MUST(code == 0);
    return runs;
}

/* ---- Steps. */

/* The last of those that were sent becomes a packet. */
static void pack(const struct sent *one) {
    struct numi_frame *frame = flags & NO_POOL ? NULL : numi_pool_take(&pool);
    uint64_t number = sent_count - 1;
    MUST(frame != NULL || flags & NO_POOL);
    uint8_t *payload =
        frame == NULL ? exactly(one->bytes, one->size) : numi_pool_slot(&pool, frame->index);
    if (frame != NULL)
        memcpy(payload, one->bytes, one->size);
    packets[packet_count++] = (struct numi_merge_packet){
        .payload = payload,
        .size = one->size,
        .now_ns = now_ns,
        .rx_ns = (int64_t)number,
        .frame = frame == NULL ? 0 : frame->index,
        .flags = (uint16_t)(number * 3),
        .line = one->line,
    };
}

/* The first `count` packets are pushed. */
static void unpack(uint32_t count) {
    for (uint32_t i = 0; i < count && flags & NO_POOL; i++)
        free((void *)(uintptr_t)packets[i].payload);
    packet_count -= count;
    memmove(packets, packets + count, packet_count * sizeof packets[0]);
}

static void push_one(void) {
    const uint64_t *messages = numi_merge_counts(merge)->ledger.messages;
    struct sent *one = &sent[packets[0].rx_ns];
    uint64_t out = messages[NUMI_MESSAGES_OUT_OF_WINDOW], stale = messages[NUMI_MESSAGES_STALE];
    uint64_t gaps = gap_count, begun = numi_merge_counts(merge)->sessions;
    bool finds_session = is_current(one);
    carried += one->is_whole ? one->count : 0;
    int code = numi_merge_push(merge, &packets[0]);
    MUST(code >= 0);
    uint32_t runs = drain();
    MUST(code > 0 || runs == 0);
    MUST(code != NUMI_MERGE_ONE || runs == 1);
    unpack(1);
    one->is_taken = one->is_whole && finds_session && out == messages[NUMI_MESSAGES_OUT_OF_WINDOW];
    one->era = numi_merge_counts(merge)->sessions;
    if (one->is_whole && finds_session && gaps == gap_count && era == begun && one->era == begun)
        MUST(messages[NUMI_MESSAGES_STALE] - stale == count_lost(one));
}

/* As many as can be at once: each is of the session, and brings what comes next, or nothing. */
static uint32_t push_many(void) {
    struct numi_merge_run runs[TOGETHER];
    const struct numi_merge_run *none;
    uint32_t run_count;
    uint32_t taken = numi_merge_push_many(merge, packets, packet_count, runs, &run_count);
    MUST(taken <= packet_count && run_count <= taken);
    for (uint32_t i = 0; i < taken; i++) {
        struct sent *one = &sent[packets[i].rx_ns];
        MUST(one->is_whole && one->count > 0 && is_current(one));
        MUST(era != numi_merge_counts(merge)->sessions || count_lost(one) == 0);
        one->is_taken = true;
        one->era = numi_merge_counts(merge)->sessions;
        carried += one->count;
    }
    for (uint32_t i = 0; i < run_count; i++) {
        MUST(runs[i].bytes != NULL && runs[i].release == (options.hands_over != 0));
        judge_run(&runs[i]);
    }
    MUST(taken == 0 || numi_merge_next(merge, &none) == 0);
    unpack(taken);
    return taken;
}

static void push_all(void) {
    while (packet_count > 0)
        if (!(flags & MANY) || push_many() == 0)
            push_one();
}

/* A sequence at most as far as there are any. */
static uint64_t ahead(uint64_t from, uint64_t by) {
    return from > UINT64_MAX - by ? UINT64_MAX : from + by;
}

static void write_kind(struct sent *one, uint8_t kind, uint8_t what, uint8_t where) {
    uint16_t count = (uint16_t)(1 + what % COUNT_MAX);
    one->sequence = kind < 4    ? ahead(top, what % 4 == 3 ? what >> 3 & 3 : 0)
                    : kind < 6  ? ahead(base, where % SPAN)
                    : kind == 6 ? top - (top - base < where % 8 ? 0 : where % 8)
                    : kind < 10 ? ahead(top, where % 8)
                                : ahead(top, 100u + where);
    if (kind == 15)
        one->sequence = base < UINT32_MAX - 60 ? 1 : base;
    if (kind == 8 || kind == 9)
        count = kind == 8 ? 0 : NUMI_MOLD_END_OF_SESSION;
    write_packet(one, count);
    if (kind < 4 && one->is_whole)
        top = one->sequence + one->count;
    if (kind == 7 || kind == 11)
        repeat(one, where);
    if (kind == 11)
        break_packet(one, where);
}

static void send(uint8_t verb, uint8_t what, uint8_t where) {
    if (sent_count == SENT_MAX)
        return;
    struct sent *one = &sent[sent_count];
    uint8_t line = verb >> 4 & 3, older = verb >> 6 == 2 && session > 0;
    *one = (struct sent){.line = line < 3 ? line : 1, .session = (uint8_t)(session - older)};
    write_kind(one, verb & 15, what, where);
    one->is_taken = false;
    sent_count++;
    if (is_foretelling) {
        MUST(numi_merge_expect(merge, one->bytes, one->size) == NUMI_OK);
        return;
    }
    pack(one);
    if (!(flags & MANY) || packet_count == TOGETHER)
        push_all();
}

static void wait(uint8_t where) {
    now_ns += where % 64;
    numi_merge_advance(merge, now_ns);
    drain();
    MUST(numi_merge_due(merge) > now_ns); /* all that was due is done */
}

static void flush(void) {
    struct numi_gap gap;
    const struct numi_ledger *ledger = &numi_merge_counts(merge)->ledger;
    numi_merge_flush(merge);
    is_flushing = true;
    drain();
    is_flushing = false;
    MUST(numi_merge_gaps(merge, &gap, 1) == 0);
    MUST(ledger->frames[NUMI_FRAMES_HELD] + ledger->messages[NUMI_MESSAGES_HELD] == 0);
}

static void give_up(uint8_t what, uint8_t where) {
    uint64_t from = ahead(numi_merge_sequence(merge), where % 8);
    numi_merge_give_up(merge, from, ahead(from, 1 + what % 12));
    drain();
}

static void step(uint8_t verb, uint8_t what, uint8_t where) {
    uint8_t kind = verb & 15;
    bool is_packet = kind < 12 || (kind == 15 && where < 128);
    if (!is_packet)
        push_all();
    if (kind == 14) {
        session += session < SESSIONS - 1;
        top = base + where % SPAN;
    } else if (is_packet) {
        now_ns += what >> 5;
        send(verb, what, where);
    } else if (is_foretelling) {
        return;
    } else if (kind == 12) {
        wait(where);
    } else if (kind == 13) {
        give_up(what, where);
    } else {
        flush();
    }
    if (is_foretelling)
        return;
    judge_counts();
    give_late(what % (LATE_MAX + 1));
}

/* Steps from the first one on; with numbers of four bytes, the first packet says where. */
static void run_steps(struct input input) {
    sent_count = session = 0;
    top = base;
    now_ns = 100;
    if (is_bare())
        step(0, 0, 0);
    while (input.left >= STEP_SIZE) {
        uint8_t verb = input_byte(&input), what = input_byte(&input);
        step(verb, what, input_byte(&input));
    }
    push_all();
    if (!is_foretelling)
        judge_counts();
}

/* Only what a line missed, and no other brought, has another rescued. */
static void judge_records(void) {
    const struct numi_line_counts *lines = numi_merge_copies(merge)->lines;
    uint64_t first = 0;
    numi_merge_settle(merge);
    uint64_t recovered = lines[NUMI_LINE_RECOVERY].rescued;
    MUST(lines[NUMI_LINE_A].missing == lines[NUMI_LINE_B].rescued + recovered);
    MUST(lines[NUMI_LINE_B].missing == lines[NUMI_LINE_A].rescued + recovered);
    for (uint32_t line = 0; line < NUMI_LINE_COUNT; line++)
        first += lines[line].first;
    MUST(first == delivered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    choose(&input);
    /* Held, one of a session not heard before, those that are pushed, and those that come late. */
    uint32_t frames = options.pending_max + 1 + (flags & MANY ? TOGETHER : 1) +
                      (options.hands_over ? LATE_MAX : 0);
    era = next = carried = delivered = gap_count = missing = late_count = 0;
    packet_count = lost_count = 0;
    MUST(numi_pool_open(&pool, frames, FRAME_SIZE, NUMI_PAGES_4K, NUMI_NODE_ANY) == NUMI_OK);
    MUST(numi_merge_open(&merge, &options, flags & NO_POOL ? NULL : &pool) == NUMI_OK);
    is_foretelling = flags & EXPECTS;
    if (is_foretelling)
        run_steps(input);
    is_foretelling = false;
    run_steps(input);
    bool ends_open = size % 2 == 0; /* close gives back what is held */
    if (!ends_open) {
        flush();
        judge_counts();
        judge_records();
    }
    numi_merge_close(merge);
    give_late(0);
    MUST(pool.available == frames && pool.return_drops == 0 && pool.misses == 0);
    numi_pool_close(&pool);
    return 0;
}
