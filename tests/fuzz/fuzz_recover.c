/* Seven bytes choose small numbers, the rest are steps:
 *
 *   servers | requests | outstanding | attempts | times | waits | room | step: verb, what, where
 * ...
 *
 * Messages are lost, come from elsewhere, are asked for, answered in part, wrongly, late or never.
 * A twin keeps of each message what was done for it, and of each request whether it waits:
 *
 *   - no more requests wait than may, and each asks for what is missing, due, and asked of nobody;
 *   - what is due is asked as long as there is room, and again after a time-out;
 *   - a reply is judged by the requests that wait, and settles no other;
 *   - each message that stays missing is given up once, and in the end none is left.
 *
 * With little room for ranges only what holds without memory is judged. */
#include "fuzz.h"

#include "base/error.h"
#include "feed/recover.h"
#include "wire/bytes.h"

enum limit {
    STEP_SIZE = 3,
    SPAN = 96,
    ROOM = 16,
    FIRST = 1000,
    NOBODY = -1,
    FLOOD = 100, /* steps in which all that is left is given up */
};

enum fate { NOT_LOST, MISSING, CAME };

struct message {
    uint8_t fate;
    bool is_given_up, is_told;
    int slot; /* of the request that it is in, or NOBODY */
    uint32_t attempts;
    int64_t known_ns;
    int64_t due_ns, late_ns; /* asked for not before, and when there is room not after */
};

struct waiting {
    bool is_waiting;
    uint32_t server, from, to; /* of SPAN */
    int64_t timeout_ns;
};

static struct numi_recover_options options;
static struct numi_recover *recover;
static struct message messages[SPAN];
static struct waiting waiting[NUMI_RECOVER_OUTSTANDING_MAX];
static uint32_t failures[NUMI_RECOVER_SERVER_MAX];
static int64_t rests_until_ns[NUMI_RECOVER_SERVER_MAX];
static uint8_t session[NUMI_MOLD_SESSION_SIZE];
static bool has_session, has_memory; /* for every range that there can be */
static uint32_t room;
static int64_t now_ns;
static uint64_t requests, given_up, replies;

static void choose(struct input *input) {
    uint8_t servers = input_byte(input), sizes = input_byte(input), most = input_byte(input);
    uint8_t tries = input_byte(input), times = input_byte(input), waits = input_byte(input);
    room = 1 + input_byte(input) % ROOM;
    numi_recover_defaults(&options);
    has_memory = most < 192;
    options.servers = 1 + servers % 4;
    options.policy = servers >> 4 & 1;
    options.request_max = 1 + sizes % 16;
    options.coalesce = sizes >> 4 & 7;
    options.outstanding = 1 + most % 8;
    options.range_max = has_memory ? SPAN : 1 + most % 4;
    options.attempts_max = 1 + tries % 4;
    options.failures_max = 1 + (tries >> 4) % 4;
    options.patience_ns = times % 8;
    options.timeout_ns = 1 + (times >> 4) % 16;
    options.backoff_ns = waits % 8;
    options.backoff_max_ns = options.backoff_ns + (waits >> 3 & 3) * 8;
    options.jitter_ns = waits >> 5;
    options.rest_ns = (tries >> 6) * 16;
    options.give_up_ns = 20 + servers;
    options.seed = sizes;
}

/* ---- The twin. */

static uint32_t count_waiting(void) {
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < options.outstanding; slot++)
        count += waiting[slot].is_waiting;
    return count;
}

static bool is_missing(uint32_t at) {
    return messages[at].fate == MISSING;
}

static bool is_due(const struct message *message) {
    return message->fate == MISSING && message->slot == NOBODY && !message->is_given_up &&
           message->due_ns <= now_ns;
}

static void begin_session(void) {
    memset(waiting, 0, sizeof waiting);
    for (uint32_t at = 0; at < SPAN; at++)
        messages[at] = (struct message){.slot = NOBODY};
}

static void lose(uint32_t from, uint32_t count) {
    for (uint32_t at = from; at < SPAN && at < from + count; at++) {
        struct message *message = &messages[at];
        if (message->fate != NOT_LOST)
            continue;
        *message = (struct message){.fate = MISSING, .slot = NOBODY, .known_ns = now_ns};
        message->due_ns = message->late_ns = now_ns + options.patience_ns;
    }
}

static void bring(uint32_t from, uint32_t count) {
    for (uint32_t at = from; at < SPAN && at < from + count; at++)
        if (messages[at].fate == MISSING)
            messages[at].fate = CAME;
}

static void end_overtaken(void) {
    for (uint32_t slot = 0; slot < options.outstanding; slot++) {
        bool is_wanted = false;
        for (uint32_t at = 0; at < SPAN; at++)
            is_wanted |= is_missing(at) && messages[at].slot == (int)slot;
        waiting[slot].is_waiting &= is_wanted;
    }
}

static void time_out(uint32_t slot) {
    uint32_t server = waiting[slot].server;
    waiting[slot].is_waiting = false;
    for (uint32_t at = 0; at < SPAN; at++) {
        struct message *message = &messages[at];
        if (message->fate != MISSING || message->slot != (int)slot)
            continue;
        message->slot = NOBODY;
        message->due_ns = now_ns + options.backoff_ns;
        message->late_ns = now_ns + options.backoff_max_ns + options.jitter_ns;
    }
    if (++failures[server] < options.failures_max)
        return;
    failures[server] = 0;
    rests_until_ns[server] = now_ns + options.rest_ns;
}

/* What a step does before it asks. */
static void pass_time(void) {
    end_overtaken();
    for (uint32_t slot = 0; slot < options.outstanding; slot++)
        if (waiting[slot].is_waiting && waiting[slot].timeout_ns <= now_ns)
            time_out(slot);
    for (uint32_t at = 0; at < SPAN; at++) {
        struct message *message = &messages[at];
        bool is_tried = message->slot == NOBODY && message->attempts >= options.attempts_max;
        if (message->fate != MISSING || message->is_given_up ||
            (!is_tried && now_ns < message->known_ns + options.give_up_ns))
            continue;
        message->is_given_up = true;
        given_up++;
    }
}

/* ---- Requests. */

static void must_be_rested(uint32_t server) {
    for (uint32_t other = 0; other < options.servers; other++)
        MUST(rests_until_ns[server] <= now_ns || rests_until_ns[other] > now_ns);
}

/* Where the twin has all the core's memory: its messages are due, the others were not lost. */
static void judge_asked(uint32_t from, uint32_t to, uint32_t slot) {
    for (uint32_t at = from, foreign = 0; at < to; at++) {
        foreign = is_missing(at) ? 0 : foreign + 1;
        MUST(foreign <= options.coalesce);
        if (!is_missing(at))
            continue;
        MUST(!has_memory || is_due(&messages[at]));
        messages[at].slot = (int)slot;
        messages[at].attempts++;
    }
}

static void judge_request(const struct numi_request *request) {
    struct numi_mold_header header;
    MUST(numi_mold_parse_request(request->bytes, sizeof request->bytes, &header) == NUMI_MOLD_OK);
    MUST(header.sequence == request->sequence && header.message_count == request->count);
    MUST(memcmp(header.session, session, sizeof session) == 0);
    MUST(request->count >= 1 && request->count <= options.request_max);
    MUST(request->server < options.servers && request->sequence >= FIRST);
    MUST(request->sequence + request->count <= FIRST + SPAN);
    uint32_t from = (uint32_t)(request->sequence - FIRST), to = from + request->count, slot = 0;
    MUST(is_missing(from) && is_missing(to - 1));
    if (has_memory)
        must_be_rested(request->server);
    while (has_memory && waiting[slot].is_waiting)
        slot++;
    MUST(slot < options.outstanding);
    judge_asked(from, to, slot);
    waiting[slot] = (struct waiting){true, request->server, from, to, now_ns + options.timeout_ns};
}

static uint64_t list_gaps(struct numi_gap *gaps) {
    uint64_t count = 0;
    for (uint32_t at = 0; at < SPAN; at++) {
        struct numi_gap *last = count > 0 ? &gaps[count - 1] : NULL;
        if (!is_missing(at))
            continue;
        if (last != NULL && last->to == FIRST + at && last->known_ns == messages[at].known_ns)
            last->to++;
        else
            gaps[count++] = (struct numi_gap){FIRST + at, FIRST + at + 1, messages[at].known_ns};
    }
    return count;
}

static void judge_step(uint32_t count) {
    const struct numi_recover_counts *counts = numi_recover_counts(recover);
    uint32_t outstanding = numi_recover_outstanding(recover);
    MUST(outstanding <= options.outstanding && count <= room);
    MUST(counts->requests == requests && counts->repeated <= requests);
    if (!has_memory)
        return;
    MUST(outstanding == count_waiting());
    MUST(counts->given_up == given_up && counts->deferred == 0);
    for (uint32_t at = 0; at < SPAN && outstanding < options.outstanding && count < room; at++)
        MUST(!is_due(&messages[at]) || messages[at].late_ns > now_ns);
}

static void plan(void) {
    struct numi_gap gaps[SPAN];
    struct numi_request asked[ROOM];
    uint64_t gap_count = list_gaps(gaps);
    has_session = true;
    pass_time();
    int count = numi_recover_step(recover, now_ns, session, gaps, gap_count, asked, room);
    MUST(count >= 0 && (uint32_t)count <= room);
    requests += (uint64_t)count;
    for (int i = 0; i < count; i++)
        judge_request(&asked[i]);
    judge_step((uint32_t)count);
}

/* ---- Replies. */

static int expected_reply(uint32_t server, uint64_t sequence, uint32_t count, uint32_t *slot) {
    int reply = NUMI_REPLY_UNASKED;
    for (uint32_t i = 0; i < options.outstanding; i++) {
        if (!waiting[i].is_waiting || FIRST + waiting[i].from != sequence)
            continue;
        *slot = i;
        if (waiting[i].server == server)
            return count > waiting[i].to - waiting[i].from ? NUMI_REPLY_TOO_MANY : NUMI_REPLY_OK;
        reply = NUMI_REPLY_OTHER_SERVER;
    }
    return reply;
}

/* What came is not asked for soon, what did not is due at once. */
static void settle(uint32_t slot, uint32_t end) {
    for (uint32_t at = 0; at < SPAN; at++) {
        struct message *message = &messages[at];
        if (message->slot != (int)slot || message->fate != MISSING)
            continue;
        message->slot = NOBODY;
        bool has_come = at < end;
        message->attempts -= !has_come;
        message->due_ns = now_ns + (has_come ? options.backoff_ns : 0);
        message->late_ns = now_ns + (has_come ? options.backoff_max_ns : 0);
    }
    failures[waiting[slot].server] = 0;
    rests_until_ns[waiting[slot].server] = INT64_MIN;
    waiting[slot].is_waiting = false;
}

/* `bend`: 1 a byte too few, 2 one too many, 3 another session, 4 another server, 5 one message more
 * than was asked for, 6 a heartbeat, 7 from one behind; else as it should be. */
static void reply(uint32_t number, uint32_t count, uint32_t bend, bool comes) {
    uint8_t name[NUMI_MOLD_SESSION_SIZE], payload[NUMI_MOLD_HEADER_SIZE + 3 * SPAN + 1] = {0};
    uint32_t slot = number % options.outstanding, length = waiting[slot].to - waiting[slot].from;
    uint32_t server = (waiting[slot].server + (bend == 4)) % options.servers;
    uint64_t sequence = FIRST + waiting[slot].from + (bend == 7);
    count = bend == 5 ? length + 1 : bend == 6 || length == 0 ? 0 : 1 + count % length;
    memcpy(name, session, sizeof name);
    name[0] ^= bend == 3;
    uint32_t size = numi_mold_write_header(payload, name, sequence, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++, size += 3)
        memcpy(payload + size, (uint8_t[]){0, 1, 'x'}, 3);
    size = bend == 1 ? size - 1 : size + (bend == 2);
    uint8_t *copy = exactly(payload, size);
    int code = numi_recover_reply(recover, now_ns, server, copy, size);
    free(copy);
    replies++;
    MUST(code >= 0 && code < NUMI_REPLY_COUNT);
    MUST(strcmp(numi_reply_name((uint32_t)code), "unknown") != 0);
    MUST((bend != 1 && bend != 2) || code != NUMI_REPLY_OK);
    MUST(bend != 3 || code == NUMI_REPLY_OTHER_SESSION);
    if (code == NUMI_REPLY_OK && comes)
        bring((uint32_t)(sequence - FIRST), count);
    if (!has_memory || (bend >= 1 && bend <= 3))
        return;
    int wanted = !has_session ? NUMI_REPLY_OTHER_SESSION
                 : count == 0 ? NUMI_REPLY_EMPTY
                              : expected_reply(server, sequence, count, &slot);
    MUST(code == wanted);
    if (code == NUMI_REPLY_OK)
        settle(slot, (uint32_t)(sequence - FIRST) + count);
    MUST(numi_recover_outstanding(recover) == count_waiting());
}

/* ---- Giving up. */

static void take_given_up(uint32_t range_max, bool declares) {
    struct numi_range ranges[SPAN];
    int count = numi_recover_given_up(recover, ranges, range_max);
    uint64_t before = FIRST;
    MUST(count >= 0 && (uint32_t)count <= range_max);
    for (int i = 0; i < count; i++) {
        MUST(ranges[i].from >= before && ranges[i].to > ranges[i].from);
        before = ranges[i].to;
        MUST(before <= FIRST + SPAN);
        for (uint64_t at = ranges[i].from - FIRST; at < before - FIRST; at++) {
            struct message *message = &messages[at];
            MUST(!has_memory || message->fate != NOT_LOST);
            MUST(!has_memory || (message->is_given_up && !message->is_told));
            message->is_told = true;
            message->fate = declares ? CAME : message->fate;
        }
    }
    for (uint32_t at = 0; at < SPAN && has_memory && (uint32_t)count < range_max; at++)
        MUST(messages[at].fate != MISSING || messages[at].is_told || !messages[at].is_given_up);
}

/* Gaps out of order are refused, and nothing has changed. */
static void plan_wrongly(uint32_t what) {
    const struct numi_gap gaps[2] = {{FIRST + 9, FIRST + 9 + what % 2, 0},
                                     {FIRST + 1, FIRST + 9, 0}};
    struct numi_recover_counts before = *numi_recover_counts(recover);
    struct numi_request asked[ROOM];
    MUST(numi_recover_step(recover, now_ns, session, gaps, 2, asked, ROOM) == NUMI_ERR_ARGUMENT);
    MUST(memcmp(&before, numi_recover_counts(recover), sizeof before) == 0);
    MUST(numi_recover_reply(recover, now_ns, options.servers, session, 0) == NUMI_ERR_ARGUMENT);
}

static void step(uint8_t verb, uint8_t what, uint8_t where) {
    now_ns += verb >> 4 & 7;
    switch (verb & 15) {
    case 0:
    case 1:
        lose(where % SPAN, 1 + what % 16);
        break;
    case 2:
        bring(where % SPAN, 1 + what % 16);
        break;
    case 3:
        now_ns += what;
        break;
    case 4:
        take_given_up(1 + what % 4, where & 1);
        break;
    case 5:
        if (what > 250)
            plan_wrongly(where);
        else if (what > 240) {
            session[9]++;
            begin_session();
            plan();
        }
        break;
    case 6:
    case 7:
        reply(where, what >> 3, what & 7, verb >> 7);
        break;
    case 8:
    case 9:
        reply(where, what, 0, true);
        break;
    default:
        plan();
    }
}

/* Nobody answers any more: all that is left is given up. */
static void finish(void) {
    uint32_t left = SPAN;
    for (uint32_t at = 0; at < SPAN; at++)
        messages[at].fate = messages[at].is_told ? CAME : messages[at].fate;
    for (uint32_t i = 0; i < FLOOD && left > 0; i++) {
        now_ns += options.give_up_ns;
        plan();
        take_given_up(SPAN, true);
        left = 0;
        for (uint32_t at = 0; at < SPAN; at++)
            left += is_missing(at);
    }
    MUST(left == 0);
    plan();
    MUST(numi_recover_outstanding(recover) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    choose(&input);
    memcpy(session, "RECOVER000", sizeof session);
    begin_session();
    memset(failures, 0, sizeof failures);
    for (uint32_t server = 0; server < NUMI_RECOVER_SERVER_MAX; server++)
        rests_until_ns[server] = INT64_MIN;
    has_session = false;
    now_ns = 0;
    requests = given_up = replies = 0;
    MUST(numi_recover_open(&recover, &options) == NUMI_OK);
    while (input.left >= STEP_SIZE) {
        uint8_t verb = input_byte(&input), what = input_byte(&input);
        step(verb, what, input_byte(&input));
    }
    finish();
    const struct numi_recover_counts *counts = numi_recover_counts(recover);
    uint64_t judged = 0;
    for (uint32_t i = 0; i < NUMI_REPLY_COUNT; i++)
        judged += counts->replies[i];
    MUST(judged == replies && counts->partial <= counts->replies[NUMI_REPLY_OK]);
    MUST(counts->replies[NUMI_REPLY_OK] + counts->timeouts + counts->overtaken <= requests);
    numi_recover_close(recover);
    return 0;
}
