#include "feed/merge_private.h"
#include "wire/bytes.h"

/* Time goes on to a packet's, and its line has been heard. */
static inline int64_t note_time(struct numi_merge *merge, const struct numi_merge_packet *packet) {
    int64_t now_ns = packet->now_ns < merge->now_ns ? merge->now_ns : packet->now_ns;
    merge->now_ns = now_ns;
    if (NUMI_UNLIKELY(merge->alarm_ns < now_ns)) {
        merge->due_ns = now_ns - 1;
        numi_merge_raise_alarms(merge);
    }
    if (packet->line > NUMI_LINE_B)
        return now_ns;
    struct numi_line_state *state = &merge->counts.lines[packet->line];
    state->last_ns = now_ns;
    if (NUMI_UNLIKELY(state->is_silent)) {
        state->is_silent = false;
        numi_merge_look_at_alarms(merge);
    }
    return now_ns;
}

/* What was due before now happens before what came now. */
static inline void note_due(struct numi_merge *merge) {
    merge->due_ns = merge->now_ns - 1;
}

/* ---- The plain way: packets of the session by MoldUDP64, while nothing waits, which go on where
 * the output stands or are old in whole. All the rest is numi_merge_take's; it says the same of
 * these. */

/* What stands fast on the way, and what became of the packets. */
struct plain {
    uint64_t session; /* its first eight letters, and the last two */
    uint16_t session_end;
    uint64_t next; /* where the output stands */
    uint64_t fresh_messages;
    uint64_t old_messages;
    uint32_t runs;
    uint32_t old_packets;
    bool releases; /* runs say that their frame is to be given back */
};

static inline struct plain begin_plain(const struct numi_merge *merge, bool releases) {
    struct plain plain = {.next = merge->window.next, .releases = releases};
    memcpy(&plain.session, merge->session, sizeof plain.session);
    memcpy(&plain.session_end, merge->session + sizeof plain.session, sizeof plain.session_end);
    return plain;
}

static inline bool is_of_session(const struct plain *plain, const uint8_t *payload) {
    uint64_t session;
    uint16_t end;
    memcpy(&session, payload, sizeof session);
    memcpy(&end, payload + sizeof session, sizeof end);
    return (session == plain->session) & (end == plain->session_end);
}

/* One message to a packet is what there mostly is. */
static inline bool are_whole(const uint8_t *payload, uint64_t size, uint32_t count) {
    if (NUMI_LIKELY((count == 1) & (size >= NUMI_MOLD_HEADER_SIZE + 2)))
        return size == NUMI_MOLD_HEADER_SIZE + 2u + numi_be16(payload + NUMI_MOLD_HEADER_SIZE);
    return numi_mold_check_blocks(payload, size, count) == NUMI_MOLD_OK;
}

__attribute__((noinline)) static void note_all(struct numi_merge *merge,
                                               const struct numi_merge_packet *packet,
                                               uint64_t sequence, uint32_t count, bool is_first) {
    const uint8_t *at = packet->payload + NUMI_MOLD_HEADER_SIZE;
    for (; count > 0; count--, sequence++) {
        uint16_t size;
        const uint8_t *message = numi_mold_next(&at, &size);
        if (is_first)
            numi_copies_first(&merge->copies, sequence, message, size, packet->line, merge->now_ns);
        else
            numi_copies_again(&merge->copies, sequence, message, size, packet->line, merge->now_ns);
    }
}

__attribute__((always_inline)) static inline void
note_copies(struct numi_merge *merge, const struct numi_merge_packet *packet, uint64_t sequence,
            uint32_t count, int64_t now_ns, bool is_first) {
    const uint8_t *message = packet->payload + NUMI_MOLD_HEADER_SIZE + 2;
    uint32_t size = (uint32_t)packet->size - (NUMI_MOLD_HEADER_SIZE + 2);
    if (NUMI_UNLIKELY(merge->copies.count == 0))
        return;
    if (NUMI_UNLIKELY(count != 1))
        note_all(merge, packet, sequence, count, is_first);
    else if (is_first)
        numi_copies_first(&merge->copies, sequence, message, size, packet->line, now_ns);
    else
        numi_copies_again(&merge->copies, sequence, message, size, packet->line, now_ns);
}

static inline void pass_plain(struct numi_merge *merge, struct plain *plain,
                              const struct numi_merge_packet *packet, uint32_t count,
                              int64_t now_ns, struct numi_merge_run *run) {
    note_copies(merge, packet, plain->next, count, now_ns, true);
    run->bytes = packet->payload + NUMI_MOLD_HEADER_SIZE;
    run->size = packet->size - NUMI_MOLD_HEADER_SIZE;
    run->sequence = plain->next;
    run->count = count;
    run->rx_ns = packet->rx_ns;
    run->frame = packet->frame;
    run->flags = packet->flags;
    run->line = packet->line;
    run->begins_session = run->is_bare = false;
    run->release = plain->releases;
    plain->next += count;
    plain->fresh_messages += count;
    plain->runs++;
    merge->copies.lines[packet->line].first += count;
    merge->advanced_ns = now_ns;
    numi_merge_prefer(merge, packet->line, now_ns);
}

/* Whether the packet was one of these. Inlined, so that what stands fast stays in registers. */
__attribute__((always_inline)) static inline bool take_plain(struct numi_merge *merge,
                                                             struct plain *plain,
                                                             const struct numi_merge_packet *packet,
                                                             struct numi_merge_run *runs) {
    const uint8_t *payload = packet->payload;
    if (NUMI_UNLIKELY(packet->size < NUMI_MOLD_HEADER_SIZE))
        return false;
    uint32_t count = numi_be16(payload + 18);
    uint64_t sequence = numi_be64(payload + 10), end = sequence + count;
    bool is_next = sequence == plain->next;
    bool is_old = (end <= plain->next) & (sequence >= merge->whole);
    bool carries = (count - 1u < NUMI_MOLD_END_OF_SESSION - 1u) & (end > sequence);
    if (NUMI_UNLIKELY(!((is_next | is_old) & carries & is_of_session(plain, payload))) ||
        !are_whole(payload, packet->size, count))
        return false;
    int64_t now_ns = note_time(merge, packet);
    note_line(merge, packet->line, sequence, count);
    if (is_next) {
        pass_plain(merge, plain, packet, count, now_ns, &runs[plain->runs]);
        return true;
    }
    note_copies(merge, packet, sequence, count, now_ns, false);
    plain->old_messages += count;
    plain->old_packets++;
    if (merge->pool != NULL)
        numi_pool_give(merge->pool, packet->frame);
    return true;
}

static inline void end_plain(struct numi_merge *merge, const struct plain *plain) {
    struct numi_ledger *ledger = &merge->counts.ledger;
    note_due(merge);
    merge->window.next = merge->window.top = plain->next;
    merge->counts.mold_reasons[NUMI_MOLD_OK] += plain->runs + plain->old_packets;
    ledger->frames[NUMI_FRAMES_DELIVERED] += plain->runs;
    ledger->frames[NUMI_FRAMES_DUPLICATE] += plain->old_packets;
    ledger->messages[NUMI_MESSAGES_CARRIED] += plain->fresh_messages + plain->old_messages;
    ledger->messages[NUMI_MESSAGES_NEW] += plain->fresh_messages;
    ledger->messages[NUMI_MESSAGES_DUPLICATE] += plain->old_messages;
}

static inline bool goes_plainly(const struct numi_merge *merge) {
    return merge->is_plain & merge->in_session & !has_more(merge);
}

uint32_t numi_merge_push_many(struct numi_merge *merge, const struct numi_merge_packet *packets,
                              uint32_t count, struct numi_merge_run *runs, uint32_t *run_count) {
    uint32_t taken = 0;
    *run_count = 0;
    if (NUMI_UNLIKELY(!goes_plainly(merge) || (merge->pool != NULL && !merge->options.hands_over)))
        return 0;
    struct plain plain = begin_plain(merge, merge->pool != NULL);
    merge->is_ending = false;
    const struct numi_preference *preference = &merge->preference;
    uint32_t preferred = count > 0 ? numi_preference_at(preference, packets[0].now_ns) : 0;
    while (taken < count && take_plain(merge, &plain, &packets[taken], runs)) {
        taken++;
        if (taken < count &&
            NUMI_UNLIKELY(numi_preference_at(preference, packets[taken].now_ns) != preferred))
            break;
    }
    end_plain(merge, &plain);
    *run_count = plain.runs;
    if (plain.runs > 0) {
        runs[0].begins_session = merge->is_fresh;
        merge->is_fresh = false;
    }
    return taken;
}

/* ---- One packet. */

static inline int push_plain(struct numi_merge *merge, const struct numi_merge_packet *packet) {
    struct plain plain = begin_plain(merge, false);
    if (!take_plain(merge, &plain, packet, &merge->run))
        return NUMI_ERR_NOT_FOUND;
    end_plain(merge, &plain);
    if (plain.runs == 0)
        return 0;
    merge->has_run = true;
    merge->spends = merge->pool != NULL;
    merge->spent_payload = packet->payload;
    merge->spent_frame = packet->frame;
    return NUMI_MERGE_ONE;
}

int numi_merge_push(struct numi_merge *merge, const struct numi_merge_packet *packet) {
    NUMI_CHECK(packet->line < NUMI_LINE_COUNT && !merge->has_run && !merge->is_waiting);
    free_spent(merge);
    merge->is_ending = false;
    int code = goes_plainly(merge) ? push_plain(merge, packet) : NUMI_ERR_NOT_FOUND;
    if (NUMI_LIKELY(code >= 0))
        return code;
    struct arrival arrival = {
        .packet = packet, .now_ns = note_time(merge, packet), .is_ours = merge->pool != NULL};
    note_due(merge);
    int reason = numi_merge_parse(merge, &arrival);
    merge->counts.mold_reasons[reason]++;
    if (NUMI_UNLIKELY(reason != NUMI_MOLD_OK)) {
        drop(merge, &arrival);
        merge->counts.ledger.frames[NUMI_FRAMES_MALFORMED]++;
        return has_more(merge);
    }
    merge->counts.ledger.messages[NUMI_MESSAGES_CARRIED] += arrival.message_count;
    if (NUMI_UNLIKELY(numi_merge_has_due(merge))) {
        put_aside(&merge->waiting, &arrival);
        merge->is_waiting = true;
        return 1;
    }
    code = numi_merge_take(merge, &arrival);
    return code < 0 ? code : has_more(merge);
}
