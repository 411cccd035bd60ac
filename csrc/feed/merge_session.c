#include "feed/merge_private.h"

/* ---- What is known beforehand. */

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
    struct numi_merge_packet packet = {.payload = payload, .size = size};
    struct arrival arrival = {.packet = &packet};
    if (numi_merge_parse(merge, &arrival) != NUMI_MOLD_OK)
        return NUMI_OK;
    struct expected *expected = expect_session(merge, arrival.session);
    if (expected == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "merge: %llu sessions",
                              (unsigned long long)merge->expected_count);
    return numi_coverage_add(&expected->coverage, arrival.sequence,
                             arrival.sequence + arrival.message_count);
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
    merge->first = merge->whole = first_of(merge, session, sequence);
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
    uint32_t count = arrival->message_count;
    drop(merge, arrival);
    ledger->frames[count > 0 ? NUMI_FRAMES_STALE : NUMI_FRAMES_CONTROL]++;
    ledger->messages[NUMI_MESSAGES_STALE] += count;
}

/* ---- A session that was not heard before. */

static void count_candidate(struct numi_merge *merge, int64_t sign) {
    struct numi_ledger *ledger = &merge->counts.ledger;
    ledger->frames[NUMI_FRAMES_HELD] += (uint64_t)sign;
    ledger->messages[NUMI_MESSAGES_HELD] += (uint64_t)sign * merge->candidate.arrival.message_count;
}

/* What it tells is known from now on. */
static void release_candidate(struct numi_merge *merge) {
    merge->has_candidate = false;
    merge->candidate.arrival.now_ns = merge->now_ns;
    count_candidate(merge, -1);
}

static void drop_candidate(struct numi_merge *merge) {
    if (!merge->has_candidate)
        return;
    release_candidate(merge);
    merge->counts.strays++;
    take_stale(merge, &merge->candidate.arrival);
}

static int begin_candidate(struct numi_merge *merge, const struct arrival *arrival) {
    const uint8_t *payload = keep(arrival);
    if (payload == NULL)
        return NUMI_ERR_NO_MEMORY;
    struct kept *candidate = &merge->candidate;
    put_aside(candidate, arrival);
    candidate->packet.payload = candidate->arrival.session = payload;
    candidate->arrival.is_ours = true;
    merge->has_candidate = true;
    count_candidate(merge, 1);
    return NUMI_OK;
}

/* The packet waits until the session before is out. */
static void turn(struct numi_merge *merge, const struct arrival *arrival) {
    put_aside(&merge->waiting, arrival);
    merge->is_waiting = merge->is_turning = true;
}

static int take_unknown(struct numi_merge *merge, struct arrival *arrival) {
    bool agrees =
        merge->has_candidate && same_session(merge->candidate.arrival.session, arrival->session);
    if (!agrees)
        drop_candidate(merge);
    if (!agrees && !merge->has_ended && merge->options.agree > 1)
        return begin_candidate(merge, arrival);
    turn(merge, arrival);
    return NUMI_OK;
}

/* Whether the numbering of the session begins anew with this packet; not before any of it is out.
 */
static bool restarts(const struct numi_merge *merge, const struct arrival *arrival) {
    return merge->options.restart_ns > 0 && !merge->is_fresh && arrival->sequence == 1 &&
           arrival->message_count > 0 && merge->window.next > 1 + arrival->message_count &&
           merge->advanced_ns != INT64_MIN &&
           arrival->now_ns - merge->advanced_ns >= merge->options.restart_ns;
}

int numi_merge_take(struct numi_merge *merge, struct arrival *arrival) {
    if (!merge->in_session)
        begin_session(merge, arrival->session, arrival->sequence);
    if (!same_session(merge->session, arrival->session)) {
        if (!is_over(merge, arrival->session))
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
    const struct arrival *waiting = &merge->waiting.arrival;
    uint64_t first = waiting->sequence, other = merge->candidate.arrival.sequence;
    begin_session(merge, waiting->session, merge->has_candidate && other < first ? other : first);
}

/* What was kept until all before it was out. 1, 0 where there is none. */
int numi_merge_take_kept(struct numi_merge *merge) {
    struct kept kept;
    if (merge->is_turning)
        begin_waiting(merge);
    if (merge->has_candidate && same_session(merge->session, merge->candidate.arrival.session)) {
        release_candidate(merge);
        put_aside(&kept, &merge->candidate.arrival);
    } else if (merge->is_waiting) {
        merge->is_waiting = false;
        put_aside(&kept, &merge->waiting.arrival);
    } else if (merge->is_ending && merge->has_candidate) {
        release_candidate(merge);
        turn(merge, &merge->candidate.arrival);
        return 1;
    } else
        return 0;
    int code = numi_merge_take(merge, &kept.arrival);
    return code == NUMI_OK ? 1 : code;
}
