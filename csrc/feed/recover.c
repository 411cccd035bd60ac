#include "feed/recover.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "feed/patience.h"

enum { NOBODY = 0xFFFF };

/* Messages in a row that are missing and have had the same fate. */
struct want {
    uint64_t from, to;
    int64_t known_ns;
    int64_t due_ns;    /* not to be asked for before */
    uint32_t attempts; /* requests that it was in, but for those answered in part */
    uint16_t request;  /* the one that waits for an answer, or NOBODY */
    uint16_t failed;   /* the server that let the last request go by, or NOBODY */
    bool is_given_up;
    bool is_told; /* given up, and the caller knows */
};

struct asked {
    bool is_waiting;
    bool is_wanted; /* found so by the step that runs */
    uint32_t server;
    uint64_t from, to;
    int64_t timeout_ns;
};

struct server {
    uint32_t failures; /* in a row */
    int64_t rests_until_ns;
};

struct numi_recover {
    struct numi_recover_options options;
    struct numi_recover_counts counts;
    uint8_t session[NUMI_MOLD_SESSION_SIZE];
    struct server servers[NUMI_RECOVER_SERVER_MAX];
    uint32_t next_server; /* whose turn it is */
    uint32_t waiting;
    struct asked asked[NUMI_RECOVER_OUTSTANDING_MAX];
    struct want *wants; /* ascending, apart */
    struct want *spare; /* the next step's */
    uint32_t want_count;
    uint32_t want_room;
};

/* ---- Options. */

void numi_recover_defaults(struct numi_recover_options *options) {
    *options = (struct numi_recover_options){
        .servers = 1,
        .policy = NUMI_RECOVER_ROUND_ROBIN,
        .request_max = 64,
        .coalesce = 8,
        .outstanding = 8,
        .attempts_max = 8,
        .failures_max = 3,
        .range_max = 4096,
        .patience_ns = 1000000,
        .timeout_ns = 10000000,
        .backoff_ns = 2000000,
        .backoff_max_ns = 200000000,
        .jitter_ns = 500000,
        .rest_ns = 1000000000,
        .give_up_ns = 2000000000,
    };
}

static int check_options(const struct numi_recover_options *options) {
    const struct numi_bound bounds[] = {
        {"servers", options->servers, 1, NUMI_RECOVER_SERVER_MAX},
        {"policy", options->policy, 0, NUMI_RECOVER_FAIL_OVER},
        {"request_max", options->request_max, 1, NUMI_RECOVER_REQUEST_MAX},
        {"coalesce", options->coalesce, 0, NUMI_RECOVER_REQUEST_MAX},
        {"outstanding", options->outstanding, 1, NUMI_RECOVER_OUTSTANDING_MAX},
        {"attempts_max", options->attempts_max, 1, NUMI_RECOVER_ATTEMPTS_MAX},
        {"failures_max", options->failures_max, 1, NUMI_RECOVER_ATTEMPTS_MAX},
        {"range_max", options->range_max, 1, NUMI_RECOVER_RANGE_MAX},
        {"patience_ns", options->patience_ns, 0, NUMI_PATIENCE_MAX},
        {"timeout_ns", options->timeout_ns, 1, NUMI_PATIENCE_MAX},
        {"backoff_ns", options->backoff_ns, 0, NUMI_PATIENCE_MAX},
        {"backoff_max_ns", options->backoff_max_ns, options->backoff_ns, NUMI_PATIENCE_MAX},
        {"jitter_ns", options->jitter_ns, 0, NUMI_PATIENCE_MAX},
        {"rest_ns", options->rest_ns, 0, NUMI_PATIENCE_MAX},
        {"give_up_ns", options->give_up_ns, 0, NUMI_PATIENCE_MAX},
    };
    return numi_bounds_check(bounds, sizeof bounds / sizeof bounds[0]);
}

int numi_recover_open(struct numi_recover **out, const struct numi_recover_options *options) {
    *out = NULL;
    int code = check_options(options);
    if (code != NUMI_OK)
        return code;
    struct numi_recover *recover = calloc(1, sizeof *recover);
    if (recover == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "recover");
    recover->options = *options;
    for (uint32_t i = 0; i < NUMI_RECOVER_SERVER_MAX; i++)
        recover->servers[i].rests_until_ns = INT64_MIN;
    /* Between two steps each outstanding request cuts a range at most twice: sent, answered. */
    recover->want_room = options->range_max + 2 * options->outstanding;
    recover->wants = calloc(recover->want_room, sizeof *recover->wants);
    recover->spare = calloc(recover->want_room, sizeof *recover->spare);
    if (recover->wants == NULL || recover->spare == NULL) {
        numi_recover_close(recover);
        return numi_error_set(NUMI_ERR_NO_MEMORY, "recover: range_max=%u", options->range_max);
    }
    *out = recover;
    return NUMI_OK;
}

void numi_recover_close(struct numi_recover *recover) {
    if (recover == NULL)
        return;
    free(recover->wants);
    free(recover->spare);
    free(recover);
}

/* ---- The wants follow the gaps. */

static bool same_fate(const struct want *one, const struct want *other) {
    return one->known_ns == other->known_ns && one->due_ns == other->due_ns &&
           one->attempts == other->attempts && one->request == other->request &&
           one->failed == other->failed && one->is_given_up == other->is_given_up &&
           one->is_told == other->is_told;
}

/* Behind the others of the next step; false where there is no room. */
static bool keep(struct numi_recover *recover, uint32_t *count, const struct want *want) {
    struct want *last = *count > 0 ? &recover->spare[*count - 1] : NULL;
    if (last != NULL && last->to == want->from && same_fate(last, want)) {
        last->to = want->to;
        return true;
    }
    if (*count == recover->options.range_max)
        return false;
    recover->spare[(*count)++] = *want;
    return true;
}

/* One gap: what is known of its parts stays known, the rest is new. `*at` is the first old want
 * that may reach into it. */
static bool follow_gap(struct numi_recover *recover, const struct numi_gap *gap, uint32_t *at,
                       uint32_t *count) {
    for (uint64_t from = gap->from; from < gap->to;) {
        while (*at < recover->want_count && recover->wants[*at].to <= from)
            (*at)++;
        const struct want *old = *at < recover->want_count ? &recover->wants[*at] : NULL;
        struct want want = {.request = NOBODY, .failed = NOBODY};
        uint64_t to = gap->to;
        if (old != NULL && old->from <= from) {
            want = *old;
            to = old->to < to ? old->to : to;
        } else {
            want.known_ns = gap->known_ns;
            want.due_ns = numi_later(gap->known_ns, recover->options.patience_ns);
            to = old != NULL && old->from < to ? old->from : to;
        }
        want.from = from;
        want.to = from = to;
        if (!keep(recover, count, &want))
            return false;
    }
    return true;
}

static void follow_gaps(struct numi_recover *recover, const struct numi_gap *gaps,
                        uint64_t gap_count) {
    uint32_t at = 0, count = 0;
    for (uint64_t i = 0; i < gap_count; i++)
        if (!follow_gap(recover, &gaps[i], &at, &count)) {
            recover->counts.deferred++;
            break;
        }
    struct want *wants = recover->wants;
    recover->wants = recover->spare;
    recover->spare = wants;
    recover->want_count = count;
}

static void begin_session(struct numi_recover *recover, const uint8_t *session) {
    memcpy(recover->session, session, sizeof recover->session);
    memset(recover->asked, 0, sizeof recover->asked);
    recover->want_count = recover->waiting = 0;
    recover->counts.sessions++;
}

static int check_gaps(const struct numi_gap *gaps, uint64_t gap_count) {
    for (uint64_t i = 0; i < gap_count; i++)
        if (gaps[i].from >= gaps[i].to || (i > 0 && gaps[i].from < gaps[i - 1].to))
            return numi_error_set(NUMI_ERR_ARGUMENT,
                                  "gap %llu, from %llu to %llu: allowed one that is not empty and "
                                  "begins where the one before ends, or behind",
                                  (unsigned long long)i, (unsigned long long)gaps[i].from,
                                  (unsigned long long)gaps[i].to);
    return NUMI_OK;
}

/* ---- Requests end: overtaken, in time-out. */

static int64_t wait_after(const struct numi_recover *recover, uint32_t attempts) {
    return numi_backoff(recover->options.backoff_ns, recover->options.backoff_max_ns, attempts - 1);
}

static void end_request(struct numi_recover *recover, uint32_t slot) {
    recover->asked[slot].is_waiting = false;
    recover->waiting--;
}

static void drop_overtaken(struct numi_recover *recover) {
    for (uint32_t slot = 0; slot < recover->options.outstanding; slot++)
        recover->asked[slot].is_wanted = false;
    for (uint32_t i = 0; i < recover->want_count; i++)
        if (recover->wants[i].request != NOBODY)
            recover->asked[recover->wants[i].request].is_wanted = true;
    for (uint32_t slot = 0; slot < recover->options.outstanding; slot++)
        if (recover->asked[slot].is_waiting && !recover->asked[slot].is_wanted) {
            end_request(recover, slot);
            recover->counts.overtaken++;
        }
}

static void blame(struct numi_recover *recover, uint32_t index, int64_t now_ns) {
    struct server *server = &recover->servers[index];
    if (++server->failures < recover->options.failures_max)
        return;
    server->failures = 0;
    server->rests_until_ns = numi_later(now_ns, recover->options.rest_ns);
    recover->counts.rests++;
}

static void time_out(struct numi_recover *recover, uint32_t slot, int64_t now_ns) {
    const struct asked *asked = &recover->asked[slot];
    for (uint32_t i = 0; i < recover->want_count; i++) {
        struct want *want = &recover->wants[i];
        if (want->request != slot)
            continue;
        int64_t wait = wait_after(recover, want->attempts);
        wait += numi_jitter(recover->options.seed, asked->from, want->attempts,
                            recover->options.jitter_ns);
        want->request = NOBODY;
        want->failed = (uint16_t)asked->server;
        want->due_ns = NUMI_PLANTED(REQUEST_ONCE) ? INT64_MAX : numi_later(now_ns, wait);
    }
    end_request(recover, slot);
    recover->counts.timeouts++;
    blame(recover, asked->server, now_ns);
}

static void give_up(struct numi_recover *recover, int64_t now_ns) {
    for (uint32_t i = 0; i < recover->want_count; i++) {
        struct want *want = &recover->wants[i];
        bool is_tried = want->request == NOBODY && want->attempts >= recover->options.attempts_max;
        if (want->is_given_up ||
            (!is_tried && now_ns < numi_later(want->known_ns, recover->options.give_up_ns)))
            continue;
        want->is_given_up = true;
        recover->counts.given_up += want->to - want->from;
    }
}

/* ---- Requests begin. */

static bool is_due(const struct want *want, int64_t now_ns) {
    return want->request == NOBODY && !want->is_given_up && want->due_ns <= now_ns;
}

/* The server to ask, rather not the one that `failed`. While all of them rest it is the one that
 * has the least left of it: the back-off bounds what it is asked, and the book waits. */
static uint32_t choose_server(struct numi_recover *recover, uint32_t failed, int64_t now_ns) {
    uint32_t count = recover->options.servers, second = NOBODY, resting = NOBODY;
    bool in_turn = recover->options.policy == NUMI_RECOVER_ROUND_ROBIN;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = ((in_turn ? recover->next_server : 0) + i) % count;
        if (recover->servers[index].rests_until_ns > now_ns) {
            if (resting == NOBODY ||
                recover->servers[index].rests_until_ns < recover->servers[resting].rests_until_ns)
                resting = index;
            continue;
        }
        if (index != failed)
            return index;
        second = index;
    }
    return second == NOBODY ? resting : second;
}

/* Room for one more want, behind the one at `i`, which ends at `cut` from now on. */
static void cut_want(struct numi_recover *recover, uint32_t i, uint64_t cut) {
    NUMI_REQUIRE(recover->want_count < recover->want_room);
    struct want *want = &recover->wants[i];
    memmove(want + 1, want, (recover->want_count - i) * sizeof *want);
    want[0].to = want[1].from = cut;
    recover->want_count++;
}

/* One request for what is due from `first` on. Returns the want behind it. */
static uint32_t ask(struct numi_recover *recover, uint32_t first, uint32_t server, int64_t now_ns,
                    struct numi_request *request) {
    uint32_t slot = 0, i = first;
    while (recover->asked[slot].is_waiting)
        slot++;
    const uint64_t from = recover->wants[first].from;
    const uint64_t limit = UINT64_MAX - from < recover->options.request_max
                               ? UINT64_MAX
                               : from + recover->options.request_max;
    uint64_t end = from;
    bool is_repeated = false;
    do {
        struct want *want = &recover->wants[i];
        if (want->to > limit)
            cut_want(recover, i, limit);
        end = want->to;
        is_repeated |= want->attempts > 0;
        want->attempts++;
        want->request = (uint16_t)slot;
        i++;
    } while (i < recover->want_count && is_due(&recover->wants[i], now_ns) &&
             recover->wants[i].from - end <= recover->options.coalesce &&
             recover->wants[i].from < limit);
    recover->asked[slot] = (struct asked){
        .is_waiting = true,
        .server = server,
        .from = from,
        .to = end,
        .timeout_ns = numi_later(now_ns, recover->options.timeout_ns),
    };
    *request = (struct numi_request){from, (uint32_t)(end - from), server, {0}, {0}};
    numi_mold_write_header(request->bytes, recover->session, from, (uint16_t)request->count);
    recover->waiting++;
    recover->next_server = (server + 1) % recover->options.servers;
    recover->counts.requests++;
    recover->counts.repeated += is_repeated;
    recover->counts.asked += request->count;
    return i;
}

static int ask_what_is_due(struct numi_recover *recover, int64_t now_ns,
                           struct numi_request *requests, uint32_t room) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < recover->want_count;) {
        if (count == room || recover->waiting == recover->options.outstanding)
            break;
        if (!is_due(&recover->wants[i], now_ns)) {
            i++;
            continue;
        }
        uint32_t server = choose_server(recover, recover->wants[i].failed, now_ns);
        i = ask(recover, i, server, now_ns, &requests[count++]);
    }
    return (int)count;
}

int numi_recover_step(struct numi_recover *recover, int64_t now_ns, const uint8_t *session,
                      const struct numi_gap *gaps, uint64_t gap_count,
                      struct numi_request *requests, uint32_t room) {
    int code = check_gaps(gaps, gap_count);
    if (code != NUMI_OK)
        return code;
    if (recover->counts.sessions == 0 ||
        memcmp(recover->session, session, sizeof recover->session) != 0)
        begin_session(recover, session);
    if (gap_count == 0 && recover->want_count == 0 && recover->waiting == 0)
        return 0;
    follow_gaps(recover, gaps, gap_count);
    drop_overtaken(recover);
    for (uint32_t slot = 0; slot < recover->options.outstanding; slot++)
        if (recover->asked[slot].is_waiting && recover->asked[slot].timeout_ns <= now_ns)
            time_out(recover, slot, now_ns);
    give_up(recover, now_ns);
    return ask_what_is_due(recover, now_ns, requests, room);
}

/* ---- Replies. */

/* The request that a reply is for, through `slot`. */
static int find_request(const struct numi_recover *recover, uint32_t server,
                        const struct numi_mold_header *header, uint32_t *slot) {
    int reply = NUMI_REPLY_UNASKED;
    for (uint32_t i = 0; i < recover->options.outstanding; i++) {
        const struct asked *asked = &recover->asked[i];
        if (!asked->is_waiting || asked->from != header->sequence)
            continue;
        if (asked->server != server) {
            reply = NUMI_REPLY_OTHER_SERVER;
            continue;
        }
        *slot = i;
        return header->message_count > asked->to - asked->from ? NUMI_REPLY_TOO_MANY
                                                               : NUMI_REPLY_OK;
    }
    return reply;
}

static int judge(const struct numi_recover *recover, uint32_t server, const uint8_t *payload,
                 uint64_t size, struct numi_mold_header *header, uint32_t *slot) {
    static const int of_reason[NUMI_MOLD_REASON_COUNT] = {
        NUMI_REPLY_OK, NUMI_REPLY_SHORT_HEADER, NUMI_REPLY_SHORT_BLOCK, NUMI_REPLY_TRAILING};
    int reply = of_reason[numi_mold_parse(payload, size, header)];
    if (reply != NUMI_REPLY_OK)
        return reply;
    if (recover->counts.sessions == 0 ||
        memcmp(recover->session, header->session, sizeof recover->session) != 0)
        return NUMI_REPLY_OTHER_SESSION;
    if (header->message_count == 0)
        return NUMI_REPLY_EMPTY;
    return find_request(recover, server, header, slot);
}

/* What came is not asked for again before the back-off, should the gap stay after all; what did not
 * fit into the packet is due at once, and has not failed. */
static void settle(struct numi_recover *recover, uint32_t slot, uint64_t end, int64_t now_ns) {
    for (uint32_t i = 0; i < recover->want_count; i++) {
        struct want *want = &recover->wants[i];
        if (want->request != slot)
            continue;
        if (want->from < end && end < want->to)
            cut_want(recover, i, end);
        want->request = NOBODY;
        if (want->from < end) {
            want->due_ns = numi_later(now_ns, wait_after(recover, want->attempts));
        } else {
            want->due_ns = now_ns;
            want->attempts--;
        }
        want->failed = NOBODY;
    }
    recover->counts.answered += end - recover->asked[slot].from;
    recover->counts.partial += end < recover->asked[slot].to;
    recover->servers[recover->asked[slot].server] = (struct server){0, INT64_MIN};
    end_request(recover, slot);
}

int numi_recover_reply(struct numi_recover *recover, int64_t now_ns, uint32_t server,
                       const uint8_t *payload, uint64_t size) {
    struct numi_mold_header header;
    uint32_t slot = 0;
    if (server >= recover->options.servers)
        return numi_error_set(NUMI_ERR_ARGUMENT, "server %u of %u", server,
                              recover->options.servers);
    int reply = judge(recover, server, payload, size, &header, &slot);
    recover->counts.replies[reply]++;
    if (reply == NUMI_REPLY_OK)
        settle(recover, slot, header.sequence + header.message_count, now_ns);
    return reply;
}

/* ---- What is known of it. */

int numi_recover_given_up(struct numi_recover *recover, struct numi_range *ranges, uint32_t room) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < recover->want_count && count < room; i++) {
        struct want *want = &recover->wants[i];
        if (!want->is_given_up || want->is_told)
            continue;
        want->is_told = true;
        ranges[count++] = (struct numi_range){want->from, want->to};
    }
    return (int)count;
}

uint32_t numi_recover_outstanding(const struct numi_recover *recover) {
    return recover->waiting;
}

const struct numi_recover_counts *numi_recover_counts(const struct numi_recover *recover) {
    return &recover->counts;
}

const char *numi_reply_name(uint32_t reply) {
#define NAME(name, text) #text,
    static const char *const names[NUMI_REPLY_COUNT] = {NUMI_REPLY_LIST(NAME)};
#undef NAME
    return reply < NUMI_REPLY_COUNT ? names[reply] : "unknown";
}
