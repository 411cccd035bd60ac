#include "feed/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"

/* The copy of a packet that is held, until all its pieces are out. */
struct packet {
    uint64_t sequence; /* of the first message */
    uint32_t pieces;
    bool is_out; /* one of them is: the packet is delivered */
    int64_t rx_ns;
    uint16_t flags;
    uint8_t blocks[];
};

/* Messages in a row that no packet has brought before. Pieces do not overlap. */
struct piece {
    uint64_t sequence;
    uint64_t count;
    struct packet *packet;
};

/* What will come of a session. */
struct expected {
    uint8_t session[NUMI_MOLD_SESSION_SIZE];
    struct numi_coverage coverage;
};

/* What was pushed, where it lies. */
struct pushed {
    const uint8_t *payload;
    uint64_t size;
    int64_t rx_ns;
    uint16_t flags;
    struct numi_mold_header header;
};

struct numi_merge {
    struct numi_merge_counts counts;
    uint8_t session[NUMI_MOLD_SESSION_SIZE];
    uint8_t previous[NUMI_MOLD_SESSION_SIZE];
    bool in_session;
    bool has_previous;
    bool is_fresh; /* nothing of the session has gone out */
    bool is_flushing;
    bool is_waiting;           /* `pushed` begins a session, once the old one is flushed */
    bool has_run;              /* `run` goes out next */
    uint64_t next;             /* the sequence that the output goes on with */
    uint64_t announced;        /* all below it were sent */
    struct numi_coverage held; /* at or above `next` */
    struct numi_coverage lost; /* below it: declared gaps */
    struct piece *heap;        /* of what is held, the lowest sequence first */
    uint64_t piece_count, piece_room;
    uint64_t packets_held;
    struct packet *spent; /* its last piece was handed out: freed by the next call */
    struct pushed pushed;
    struct numi_merge_run run;
    struct expected *expected;
    uint64_t expected_count;
};

int numi_merge_open(struct numi_merge **out) {
    *out = calloc(1, sizeof **out);
    return *out != NULL ? NUMI_OK : numi_error_set(NUMI_ERR_NO_MEMORY, "merge");
}

static void free_spent(struct numi_merge *merge) {
    free(merge->spent);
    merge->spent = NULL;
}

static void let_go(struct numi_merge *merge, struct packet *packet) {
    if (--packet->pieces > 0)
        return;
    free_spent(merge);
    merge->spent = packet;
    merge->packets_held--;
}

void numi_merge_close(struct numi_merge *merge) {
    if (merge == NULL)
        return;
    for (uint64_t i = 0; i < merge->piece_count; i++)
        let_go(merge, merge->heap[i].packet);
    free_spent(merge);
    free(merge->heap);
    numi_coverage_close(&merge->held);
    numi_coverage_close(&merge->lost);
    for (uint64_t i = 0; i < merge->expected_count; i++)
        numi_coverage_close(&merge->expected[i].coverage);
    free(merge->expected);
    free(merge);
}

const struct numi_merge_counts *numi_merge_counts(const struct numi_merge *merge) {
    return &merge->counts;
}

/* ---- Pieces, the lowest first. */

static int push_piece(struct numi_merge *merge, struct piece piece) {
    if (merge->piece_count == merge->piece_room) {
        uint64_t room = merge->piece_room == 0 ? 64 : 2 * merge->piece_room;
        void *heap = realloc(merge->heap, room * sizeof *merge->heap);
        if (heap == NULL)
            return numi_error_set(NUMI_ERR_NO_MEMORY, "merge: %llu packets held",
                                  (unsigned long long)room);
        merge->heap = heap;
        merge->piece_room = room;
    }
    uint64_t at = merge->piece_count++;
    while (at > 0 && merge->heap[(at - 1) / 2].sequence > piece.sequence) {
        merge->heap[at] = merge->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    merge->heap[at] = piece;
    piece.packet->pieces++;
    return NUMI_OK;
}

static struct piece pop_piece(struct numi_merge *merge) {
    struct piece first = merge->heap[0], last = merge->heap[--merge->piece_count];
    uint64_t at = 0, child;
    while ((child = 2 * at + 1) < merge->piece_count) {
        if (child + 1 < merge->piece_count &&
            merge->heap[child + 1].sequence < merge->heap[child].sequence)
            child++;
        if (merge->heap[child].sequence >= last.sequence)
            break;
        merge->heap[at] = merge->heap[child];
        at = child;
    }
    merge->heap[at] = last;
    return first;
}

/* ---- Sessions. */

static bool same_session(const uint8_t *one, const uint8_t *other) {
    return memcmp(one, other, NUMI_MOLD_SESSION_SIZE) == 0;
}

/* NULL where nothing is known of a session. */
static const struct numi_coverage *expected_of(const struct numi_merge *merge,
                                               const uint8_t *session) {
    for (uint64_t i = 0; i < merge->expected_count; i++)
        if (same_session(merge->expected[i].session, session))
            return &merge->expected[i].coverage;
    return NULL;
}

static struct expected *expect_session(struct numi_merge *merge, const uint8_t *session) {
    for (uint64_t i = merge->expected_count; i > 0; i--)
        if (same_session(merge->expected[i - 1].session, session))
            return &merge->expected[i - 1];
    void *wider = realloc(merge->expected, (merge->expected_count + 1) * sizeof *merge->expected);
    if (wider == NULL)
        return NULL;
    merge->expected = wider;
    struct expected *fresh = &merge->expected[merge->expected_count++];
    memset(fresh, 0, sizeof *fresh);
    memcpy(fresh->session, session, sizeof fresh->session);
    return fresh;
}

/* A header that would take the sequence past 64 bits is none. */
static int parse(const uint8_t *payload, uint64_t size, struct numi_mold_header *header) {
    int reason = numi_mold_parse(payload, size, header);
    if (reason == NUMI_MOLD_OK && header->sequence > UINT64_MAX - header->message_count)
        return NUMI_MOLD_TRAILING;
    return reason;
}

int numi_merge_expect(struct numi_merge *merge, const uint8_t *payload, uint64_t size) {
    struct numi_mold_header header;
    if (parse(payload, size, &header) != NUMI_MOLD_OK)
        return NUMI_OK;
    struct expected *expected = expect_session(merge, header.session);
    if (expected == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "merge: %llu sessions",
                              (unsigned long long)merge->expected_count);
    return numi_coverage_add(&expected->coverage, header.sequence,
                             header.sequence + header.message_count);
}

static void begin_session(struct numi_merge *merge, const struct numi_mold_header *header) {
    const struct numi_coverage *expected = expected_of(merge, header->session);
    merge->has_previous = merge->in_session;
    memcpy(merge->previous, merge->session, sizeof merge->previous);
    memcpy(merge->session, header->session, sizeof merge->session);
    merge->in_session = merge->is_fresh = true;
    merge->is_flushing = merge->is_waiting = false;
    merge->next = merge->announced = header->sequence;
    if (expected != NULL && expected->range_count > 0 &&
        expected->ranges[0].from < header->sequence)
        merge->next = expected->ranges[0].from;
    numi_coverage_close(&merge->held);
    numi_coverage_close(&merge->lost);
    merge->counts.sessions++;
}

/* ---- A packet comes in. */

static const uint8_t *skip(const uint8_t *at, uint64_t count) {
    for (; count > 0; count--)
        at += 2 + numi_be16(at);
    return at;
}

static const uint8_t *blocks_of(const struct pushed *pushed) {
    return pushed->payload + NUMI_MOLD_HEADER_SIZE;
}

/* Straight through: nothing is held, and the packet goes on where the output stands. */
static void pass(struct numi_merge *merge, const struct pushed *pushed, uint64_t end) {
    uint64_t count = end - merge->next;
    const uint8_t *bytes = skip(blocks_of(pushed), merge->next - pushed->header.sequence);
    merge->run = (struct numi_merge_run){
        .bytes = bytes,
        .size = (uint64_t)(pushed->payload + pushed->size - bytes),
        .sequence = merge->next,
        .count = count,
        .rx_ns = pushed->rx_ns,
        .flags = pushed->flags,
    };
    merge->has_run = true;
    merge->next = end;
    merge->counts.ledger.frames[NUMI_FRAMES_DELIVERED]++;
    merge->counts.ledger.messages[NUMI_MESSAGES_NEW] += count;
}

static struct packet *copy_of(struct numi_merge *merge, const struct pushed *pushed) {
    uint64_t size = pushed->size - NUMI_MOLD_HEADER_SIZE;
    struct packet *packet = malloc(sizeof *packet + size);
    if (packet == NULL)
        return NULL;
    *packet = (struct packet){
        .sequence = pushed->header.sequence, .rx_ns = pushed->rx_ns, .flags = pushed->flags};
    memcpy(packet->blocks, blocks_of(pushed), size);
    merge->packets_held++;
    if (merge->packets_held > merge->counts.held_max)
        merge->counts.held_max = merge->packets_held;
    return packet;
}

static int hold_piece(struct numi_merge *merge, struct numi_range range, struct packet *packet) {
    int code = push_piece(merge, (struct piece){range.from, range.to - range.from, packet});
    return code == NUMI_OK ? numi_coverage_add(&merge->held, range.from, range.to) : code;
}

/* Every part of the packet that nobody has brought yet becomes a piece. Returns how many messages
 * that are. */
static int64_t hold(struct numi_merge *merge, const struct pushed *pushed, uint64_t end) {
    uint64_t at = pushed->header.sequence, fresh = 0;
    struct packet *packet = NULL;
    int code = NUMI_OK;
    at = at < merge->next ? merge->next : at;
    for (;;) {
        struct numi_range missing = numi_coverage_missing(&merge->held, at, end);
        if (missing.from == missing.to || code != NUMI_OK)
            break;
        packet = packet == NULL ? copy_of(merge, pushed) : packet;
        if (packet == NULL)
            return numi_error_set(NUMI_ERR_NO_MEMORY, "merge: a packet to hold");
        code = hold_piece(merge, missing, packet);
        fresh += missing.to - missing.from;
        at = missing.to;
    }
    return code == NUMI_OK ? (int64_t)fresh : code;
}

/* How many of [from, to) were declared lost. */
static uint64_t count_lost(const struct numi_merge *merge, uint64_t from, uint64_t to) {
    uint64_t count = 0, at = from;
    for (uint64_t i = 0; i < merge->lost.range_count && at < to; i++) {
        const struct numi_range *range = &merge->lost.ranges[i];
        uint64_t low = range->from > from ? range->from : from,
                 high = range->to < to ? range->to : to;
        count += low < high ? high - low : 0;
        at = range->to;
    }
    return count;
}

/* The ledger's rows for what of a packet is not new; `fresh` messages are. */
static void count_old(struct numi_merge *merge, const struct numi_mold_header *header,
                      uint64_t fresh, uint64_t below) {
    struct numi_ledger *ledger = &merge->counts.ledger;
    uint64_t stale = count_lost(merge, header->sequence, header->sequence + below);
    ledger->messages[NUMI_MESSAGES_STALE] += stale;
    ledger->messages[NUMI_MESSAGES_DUPLICATE] += header->message_count - fresh - stale;
    if (fresh == 0)
        ledger->frames[stale > 0 ? NUMI_FRAMES_STALE : NUMI_FRAMES_DUPLICATE]++;
}

static int take_messages(struct numi_merge *merge, const struct pushed *pushed) {
    const struct numi_mold_header *header = &pushed->header;
    struct numi_ledger *ledger = &merge->counts.ledger;
    uint64_t end = header->sequence + header->message_count;
    uint64_t below = header->sequence >= merge->next ? 0
                     : end <= merge->next            ? header->message_count
                                                     : merge->next - header->sequence;
    if (below < header->message_count && header->sequence + below == merge->next &&
        merge->piece_count == 0) {
        count_old(merge, header, header->message_count - below, below);
        pass(merge, pushed, end);
        return NUMI_OK;
    }
    int64_t fresh = hold(merge, pushed, end);
    if (fresh < 0)
        return (int)fresh;
    ledger->messages[NUMI_MESSAGES_HELD] += (uint64_t)fresh;
    ledger->frames[NUMI_FRAMES_HELD] += fresh > 0;
    count_old(merge, header, (uint64_t)fresh, below);
    return NUMI_OK;
}

static int take_packet(struct numi_merge *merge, const struct pushed *pushed) {
    const struct numi_mold_header *header = &pushed->header;
    uint64_t end = header->sequence + header->message_count;
    if (!merge->in_session || merge->is_waiting)
        begin_session(merge, header);
    merge->announced = end > merge->announced ? end : merge->announced;
    if (header->message_count > 0)
        return take_messages(merge, pushed);
    merge->counts.ledger.frames[NUMI_FRAMES_CONTROL]++;
    if (header->count == NUMI_MOLD_END_OF_SESSION)
        merge->counts.ends_of_session++;
    else
        merge->counts.heartbeats++;
    return NUMI_OK;
}

static void count_stale(struct numi_merge *merge, const struct numi_mold_header *header) {
    struct numi_ledger *ledger = &merge->counts.ledger;
    ledger->frames[header->message_count > 0 ? NUMI_FRAMES_STALE : NUMI_FRAMES_CONTROL]++;
    ledger->messages[NUMI_MESSAGES_STALE] += header->message_count;
}

int numi_merge_push(struct numi_merge *merge, const uint8_t *payload, uint64_t size, int64_t rx_ns,
                    uint16_t flags) {
    struct pushed *pushed = &merge->pushed;
    *pushed = (struct pushed){.payload = payload, .size = size, .rx_ns = rx_ns, .flags = flags};
    int reason = parse(payload, size, &pushed->header);
    merge->counts.mold_reasons[reason]++;
    if (reason != NUMI_MOLD_OK) {
        merge->counts.ledger.frames[NUMI_FRAMES_MALFORMED]++;
        return NUMI_OK;
    }
    merge->counts.ledger.messages[NUMI_MESSAGES_CARRIED] += pushed->header.message_count;
    if (!merge->in_session || same_session(merge->session, pushed->header.session))
        return take_packet(merge, pushed);
    if (merge->has_previous && same_session(merge->previous, pushed->header.session)) {
        count_stale(merge, &pushed->header);
        return NUMI_OK;
    }
    merge->is_flushing = merge->is_waiting = true;
    return NUMI_OK;
}

/* ---- The output. */

static void begin_run(struct numi_merge *merge, struct numi_merge_run *run) {
    run->begins_session = merge->is_fresh;
    merge->is_fresh = false;
}

static void declare_gap(struct numi_merge *merge, uint64_t to, struct numi_merge_run *run) {
    *run = (struct numi_merge_run){.sequence = merge->next, .count = to - merge->next};
    merge->counts.gaps++;
    merge->counts.missing += run->count;
    /* Without memory for it a late copy counts as a duplicate: nothing else is lost. */
    (void)numi_coverage_add(&merge->lost, merge->next, to);
    merge->next = to;
}

static void hand_out_piece(struct numi_merge *merge, struct numi_merge_run *run) {
    struct numi_ledger *ledger = &merge->counts.ledger;
    struct piece piece = pop_piece(merge);
    struct packet *packet = piece.packet;
    const uint8_t *bytes = skip(packet->blocks, piece.sequence - packet->sequence);
    *run = (struct numi_merge_run){
        .bytes = bytes,
        .size = (uint64_t)(skip(bytes, piece.count) - bytes),
        .sequence = piece.sequence,
        .count = piece.count,
        .rx_ns = packet->rx_ns,
        .flags = packet->flags,
    };
    ledger->messages[NUMI_MESSAGES_HELD] -= piece.count;
    ledger->messages[NUMI_MESSAGES_NEW] += piece.count;
    ledger->frames[NUMI_FRAMES_HELD] -= !packet->is_out;
    ledger->frames[NUMI_FRAMES_DELIVERED] += !packet->is_out;
    packet->is_out = true;
    merge->next = piece.sequence + piece.count;
    numi_coverage_drop_below(&merge->held, merge->next);
    let_go(merge, packet);
}

/* Where the gap ends that the output stands at; `next` itself where it may still be filled. */
static uint64_t end_of_gap(const struct numi_merge *merge) {
    const struct numi_coverage *expected = expected_of(merge, merge->session);
    if (expected != NULL && merge->in_session) {
        struct numi_range never = numi_coverage_missing(expected, merge->next, UINT64_MAX);
        if (never.from == merge->next && never.to != UINT64_MAX)
            return never.to;
    }
    if (!merge->is_flushing)
        return merge->next;
    if (merge->piece_count > 0)
        return merge->heap[0].sequence;
    return merge->announced > merge->next ? merge->announced : merge->next;
}

/* Without a look at a session that waits. */
static bool next_of_session(struct numi_merge *merge, struct numi_merge_run *run) {
    if (merge->has_run) {
        *run = merge->run;
        merge->has_run = false;
        return true;
    }
    if (merge->piece_count > 0 && merge->heap[0].sequence == merge->next) {
        hand_out_piece(merge, run);
        return true;
    }
    uint64_t end = end_of_gap(merge);
    if (end == merge->next)
        return false;
    declare_gap(merge, end, run);
    return true;
}

int numi_merge_next(struct numi_merge *merge, struct numi_merge_run *run) {
    free_spent(merge);
    while (!next_of_session(merge, run)) {
        if (!merge->is_waiting)
            return 0;
        int code = take_packet(merge, &merge->pushed);
        if (code != NUMI_OK)
            return code;
    }
    begin_run(merge, run);
    return 1;
}

void numi_merge_flush(struct numi_merge *merge) {
    merge->is_flushing = true;
}
