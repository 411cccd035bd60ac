#include "feed/merge_private.h"

/* ---- What is known beforehand. */

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

int numi_merge_expect(struct numi_merge *merge, const uint8_t *payload, uint64_t size) {
    struct numi_mold_header header;
    if (numi_merge_parse(merge, payload, size, &header) != NUMI_MOLD_OK)
        return NUMI_OK;
    struct expected *expected = expect_session(merge, header.session);
    if (expected == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "merge: %llu sessions",
                              (unsigned long long)merge->expected_count);
    return numi_coverage_add(&expected->coverage, header.sequence,
                             header.sequence + header.message_count);
}

/* Behind the sequences from the output on that will never come; the output where they may. */
uint64_t numi_merge_end_of_never(const struct numi_merge *merge) {
    const struct numi_coverage *expected =
        merge->expected_count == 0 ? NULL : expected_of(merge, merge->session);
    uint64_t next = merge->window.next;
    if (expected == NULL || !merge->in_session)
        return next;
    struct numi_range never = numi_coverage_missing(expected, next, UINT64_MAX);
    return never.from == next && never.to != UINT64_MAX ? never.to : next;
}

/* ---- Sessions. */

static bool is_over(const struct numi_merge *merge, const uint8_t *session) {
    for (uint64_t i = 0; i < NUMI_MERGE_SESSIONS && i < merge->over_count; i++)
        if (same_session(merge->over[i], session))
            return true;
    return false;
}

static uint64_t first_of(const struct numi_merge *merge, const uint8_t *session,
                         uint64_t sequence) {
    if (merge->options.first_sequence != 0)
        return merge->options.first_sequence;
    const struct numi_coverage *expected = expected_of(merge, session);
    if (expected != NULL && expected->range_count > 0 && expected->ranges[0].from < sequence)
        return expected->ranges[0].from;
    return sequence;
}

static void begin_session(struct numi_merge *merge, const uint8_t *session, uint64_t sequence) {
    if (merge->in_session && !same_session(merge->session, session)) {
        memcpy(merge->over[merge->over_count % NUMI_MERGE_SESSIONS], merge->session,
               NUMI_MOLD_SESSION_SIZE);
        merge->over_count++;
    }
    memmove(merge->session, session, sizeof merge->session);
    merge->in_session = merge->is_fresh = true;
    merge->has_ended = merge->is_turning = false;
    merge->first = first_of(merge, session, sequence);
    merge->far = (struct far){0};
    memset(merge->tops, 0, sizeof merge->tops);
    numi_window_begin(&merge->window, merge->first);
    numi_copies_end(&merge->copies);
    numi_coverage_clear(&merge->lost);
    merge->counts.sessions++;
}

/* Of a session that is over, or that never began. */
static void take_stale(struct numi_merge *merge, const struct arrival *arrival) {
    struct numi_ledger *ledger = &merge->counts.ledger;
    uint32_t count = arrival->header.message_count;
    drop(merge, arrival);
    ledger->frames[count > 0 ? NUMI_FRAMES_STALE : NUMI_FRAMES_CONTROL]++;
    ledger->messages[NUMI_MESSAGES_STALE] += count;
}

/* ---- A session that was not heard before. */

static void count_candidate(struct numi_merge *merge, int64_t sign) {
    struct numi_ledger *ledger = &merge->counts.ledger;
    ledger->frames[NUMI_FRAMES_HELD] += (uint64_t)sign;
    ledger->messages[NUMI_MESSAGES_HELD] += (uint64_t)sign * merge->candidate.header.message_count;
}

/* What it tells is known from now on. */
static void release_candidate(struct numi_merge *merge) {
    merge->has_candidate = false;
    merge->candidate.packet.now_ns = merge->now_ns;
    count_candidate(merge, -1);
}

static void drop_candidate(struct numi_merge *merge) {
    if (!merge->has_candidate)
        return;
    release_candidate(merge);
    merge->counts.strays++;
    take_stale(merge, &merge->candidate);
}

static int begin_candidate(struct numi_merge *merge, struct arrival *arrival) {
    int code = keep(arrival);
    if (code != NUMI_OK)
        return code;
    merge->candidate = *arrival;
    merge->has_candidate = true;
    count_candidate(merge, 1);
    return NUMI_OK;
}

/* The packet waits until the session before is out. */
static void turn(struct numi_merge *merge, const struct arrival *arrival) {
    merge->waiting = *arrival;
    merge->is_waiting = merge->is_turning = true;
}

static int take_unknown(struct numi_merge *merge, struct arrival *arrival) {
    bool agrees = merge->has_candidate &&
                  same_session(merge->candidate.header.session, arrival->header.session);
    if (!agrees)
        drop_candidate(merge);
    if (!agrees && !merge->has_ended && merge->options.agree > 1)
        return begin_candidate(merge, arrival);
    turn(merge, arrival);
    return NUMI_OK;
}

/* Whether the numbering of the session begins anew with this packet. */
static bool restarts(const struct numi_merge *merge, const struct arrival *arrival) {
    const struct numi_mold_header *header = &arrival->header;
    return merge->options.restart_ns > 0 && header->sequence == 1 && header->message_count > 0 &&
           merge->window.next > 1 + header->message_count && merge->advanced_ns != INT64_MIN &&
           arrival->packet.now_ns - merge->advanced_ns >= merge->options.restart_ns;
}

int numi_merge_take(struct numi_merge *merge, struct arrival *arrival) {
    const struct numi_mold_header *header = &arrival->header;
    if (!merge->in_session)
        begin_session(merge, header->session, header->sequence);
    if (!same_session(merge->session, header->session)) {
        if (!is_over(merge, header->session))
            return take_unknown(merge, arrival);
        take_stale(merge, arrival);
        return NUMI_OK;
    }
    if (NUMI_UNLIKELY(restarts(merge, arrival))) {
        merge->counts.restarts++;
        turn(merge, arrival);
        return NUMI_OK;
    }
    return numi_merge_take_in_session(merge, arrival);
}

/* The session that waits begins, with the lower of its first two packets. */
static void begin_waiting(struct numi_merge *merge) {
    const struct numi_mold_header *header = &merge->waiting.header;
    uint64_t first = header->sequence, other = merge->candidate.header.sequence;
    begin_session(merge, header->session, merge->has_candidate && other < first ? other : first);
}

/* What was kept until all before it was out. 1, 0 where there is none. */
int numi_merge_take_kept(struct numi_merge *merge) {
    struct arrival arrival;
    if (merge->is_turning)
        begin_waiting(merge);
    if (merge->has_candidate && same_session(merge->session, merge->candidate.header.session)) {
        release_candidate(merge);
        arrival = merge->candidate;
    } else if (merge->is_waiting) {
        arrival = merge->waiting;
        merge->is_waiting = false;
    } else if (merge->is_ending && merge->has_candidate) {
        release_candidate(merge);
        turn(merge, &merge->candidate);
        return 1;
    } else
        return 0;
    int code = numi_merge_take(merge, &arrival);
    return code == NUMI_OK ? 1 : code;
}
