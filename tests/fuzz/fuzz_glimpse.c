/* Four bytes choose small numbers, the rest are steps:
 *
 *   mark, servers | tries, gap | first of the live feed | spare | step: verb, what, where | ...
 *
 * A server sends messages of a snapshot that name their connection and their place, marks good and
 * bad, and what else a server may say; connections break; live packets of some sessions come, some
 * of them large enough to push others out. A twin knows what was said:
 *
 *   - a clear, then the snapshot's messages from the first on, none of another connection;
 *   - a tail only behind a good mark, of one session, from the sequence that the mark means, with
 *     all that was kept at or behind it, in its order, as it came; and no gap above the most;
 *   - after a loss nothing but a clear, and after the join nothing at all. */
#include "fuzz.h"

#include "base/error.h"
#include "feed/glimpse.h"

enum limit {
    STEP_SIZE = 3,
    LIVE_MAX = 256,
    SMALL_SIZE = 16, /* of a live message, but for large ones */
    LARGE_SIZE = 30000,
    SHOT_SIZE = 9,
    SESSIONS = 4,
    BASE = 100,
    PACKET_MAX = 40000,
};

/* A live packet that is kept. */
struct live {
    uint64_t sequence;
    uint32_t count, size; /* messages, bytes of each */
    uint8_t session, mark;
    int64_t rx_ns;
};

/* What was said on the connection that there is. */
struct talk {
    uint32_t number;                         /* 0: there is none */
    uint64_t first_sequence;                 /* of the login */
    uint32_t sent;                           /* sequenced messages */
    bool is_connected, is_accepted, is_wild; /* wild: bytes of no meaning came */
    bool has_mark, has_good_mark;            /* the first one, and whether it says something */
    uint32_t mark_index;                     /* messages before it */
    uint64_t first;                          /* that it means */
};

static struct numi_glimpse_options options;
static struct numi_glimpse *glimpse;
static struct numi_soup_client *client;
static int64_t now_ns;
static struct talk talk;
static struct talk said; /* of which parts come: its connection is over once it is whole */
static struct live lives[LIVE_MAX];
static uint32_t live_count, live_at; /* those from live_at on are not out yet */
static uint8_t session;
static uint64_t live_top;
static uint64_t overflow; /* as it was */

/* What has come out. */
static uint32_t last_kind;
static bool has_begun, has_heartbeat;
static uint64_t taken; /* messages of this snapshot */
static uint64_t losses_then, first;

static uint64_t count_losses(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < NUMI_GLIMPSE_LOSS_COUNT; i++)
        sum += numi_glimpse_counts(glimpse)->losses[i];
    return sum;
}

/* ---- Parts. */

static void judge_snapshot(const struct numi_glimpse_part *part) {
    struct numi_mold_header header;
    uint8_t *copy = exactly(part->payload, part->size);
    const uint8_t *at = copy + NUMI_MOLD_HEADER_SIZE;
    MUST(numi_mold_parse(copy, part->size, &header) == NUMI_MOLD_OK);
    MUST(header.message_count > 0 && header.sequence == taken + 1);
    for (uint32_t i = 0; i < header.message_count && !said.is_wild; i++) {
        uint16_t size;
        const uint8_t *message = numi_mold_next(&at, &size);
        MUST(said.is_accepted && said.first_sequence == 1);
        MUST(size == SHOT_SIZE && message[0] == 'A');
        MUST(numi_be32(message + 1) == said.number && numi_be32(message + 5) == taken + i + 1);
        MUST(!said.has_mark || taken + i < said.mark_index);
    }
    taken += header.message_count;
    free(copy);
}

static void name_session(uint8_t *name, uint8_t number) {
    memcpy(name, "LIVEFEED00", NUMI_MOLD_SESSION_SIZE);
    name[NUMI_MOLD_SESSION_SIZE - 1] = (uint8_t)('0' + number);
}

static uint32_t write_live(uint8_t *payload, const struct live *live, uint64_t from) {
    uint8_t name[NUMI_MOLD_SESSION_SIZE];
    name_session(name, live->session);
    uint64_t skipped = from > live->sequence ? from - live->sequence : 0;
    uint32_t count = live->count - (uint32_t)skipped;
    uint32_t size =
        numi_mold_write_header(payload, name, live->sequence + skipped, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++, size += 2 + live->size) {
        numi_put_be16(payload + size, (uint16_t)live->size);
        memset(payload + size + 2, live->mark, live->size);
        numi_put_be64(payload + size + 2, live->sequence + skipped + i);
    }
    return size;
}

/* The join's: the heartbeat that says where it begins. */
static void judge_heartbeat(const struct numi_glimpse_part *part) {
    struct numi_mold_header header;
    uint8_t name[NUMI_MOLD_SESSION_SIZE];
    uint64_t lowest = UINT64_MAX;
    first = numi_glimpse_first(glimpse);
    MUST(first > 0 && (said.is_wild || (said.has_good_mark && first == said.first)));
    MUST(said.is_wild || taken == said.mark_index);
    MUST(part->size == NUMI_MOLD_HEADER_SIZE && live_at < live_count);
    MUST(numi_mold_parse(part->payload, part->size, &header) == NUMI_MOLD_OK);
    MUST(header.sequence == first && header.count == 0);
    name_session(name, lives[live_at].session);
    MUST(memcmp(header.session, name, sizeof name) == 0);
    for (uint32_t i = live_at; i < live_count; i++)
        lowest = lives[i].sequence < lowest ? lives[i].sequence : lowest;
    MUST(lowest <= first || lowest - first <= options.gap_max);
    has_heartbeat = true;
}

static bool is_below(const struct live *live) {
    return live->sequence < first && live->sequence + live->count <= first;
}

static void judge_tail(const struct numi_glimpse_part *part) {
    static uint8_t wanted[PACKET_MAX];
    if (!has_heartbeat) {
        judge_heartbeat(part);
        return;
    }
    while (live_at < live_count && is_below(&lives[live_at]))
        live_at++;
    MUST(live_at < live_count);
    const struct live *live = &lives[live_at++];
    uint32_t size = write_live(wanted, live, first);
    MUST(part->size == size && memcmp(part->payload, wanted, size) == 0);
    MUST(part->rx_ns == live->rx_ns && part->flags == live->mark);
}

static void judge_part(const struct numi_glimpse_part *part, uint64_t losses) {
    MUST(part->kind == NUMI_GLIMPSE_CLEAR || (has_begun && losses == losses_then));
    MUST(part->kind >= last_kind || part->kind == NUMI_GLIMPSE_CLEAR);
    last_kind = part->kind;
    if (part->kind == NUMI_GLIMPSE_SNAPSHOT) {
        judge_snapshot(part);
    } else if (part->kind == NUMI_GLIMPSE_TAIL) {
        judge_tail(part);
    } else {
        MUST(part->payload == NULL && numi_glimpse_state(glimpse) == NUMI_GLIMPSE_TAKING);
        has_begun = true;
        has_heartbeat = false;
        taken = 0;
        losses_then = losses;
    }
}

static void take_parts(uint32_t most) {
    struct numi_glimpse_part part;
    uint64_t losses = count_losses();
    if (numi_glimpse_state(glimpse) == NUMI_GLIMPSE_TAKING)
        said = talk;
    for (; most > 0 && numi_glimpse_next(glimpse, now_ns, &part) == 1; most--) {
        MUST(numi_glimpse_state(glimpse) != NUMI_GLIMPSE_FAILED || losses < count_losses());
        judge_part(&part, losses);
        losses = count_losses();
    }
    if (numi_glimpse_state(glimpse) != NUMI_GLIMPSE_JOINED)
        return;
    for (; live_at < live_count; live_at++) /* nothing was left out */
        MUST(is_below(&lives[live_at]));
    MUST(has_heartbeat && numi_glimpse_next(glimpse, now_ns, &part) == 0 && part.payload == NULL);
}

/* ---- The connection, and what its server says. */

static void connect_as(int number) {
    if ((uint32_t)number != talk.number)
        talk = (struct talk){.number = (uint32_t)number};
}

static void advance(void) {
    int number = numi_glimpse_step(glimpse, now_ns);
    MUST(number >= 0);
    connect_as(number);
    uint64_t size;
    const uint8_t *out = numi_soup_client_outgoing(client, &size);
    touch(out, size);
    numi_soup_client_sent(client, size);
}

/* Whole, or nothing of it. */
static bool say(const struct numi_soup_packet *packet, const uint8_t *payload) {
    uint8_t bytes[128];
    if (!talk.is_connected)
        return false;
    uint32_t size = numi_soup_write(bytes, packet, payload);
    uint8_t *copy = exactly(bytes, size);
    uint32_t got = numi_soup_client_receive(client, now_ns, copy, size);
    MUST(got == 0 || got == size);
    free(copy);
    return got > 0;
}

static void say_control(uint8_t type, uint8_t what) {
    struct numi_soup_packet packet = {.type = type, .sequence = what % 16 == 15 ? 2 : 1};
    packet.reject_reason = what & 1 ? 'A' : 'S';
    memcpy(packet.session, "SNAPSHOT01", sizeof packet.session);
    if (!say(&packet, NULL) || type != NUMI_SOUP_LOGIN_ACCEPTED || talk.is_accepted)
        return;
    talk.is_accepted = true;
    talk.first_sequence = packet.sequence;
}

static void say_message(const uint8_t *message, uint32_t size) {
    struct numi_soup_packet packet = {.type = NUMI_SOUP_SEQUENCED, .payload_size = size};
    talk.sent += say(&packet, message);
}

static void say_shots(uint32_t count) {
    for (; count > 0; count--) {
        uint8_t message[SHOT_SIZE] = {'A'};
        numi_put_be32(message + 1, talk.number);
        numi_put_be32(message + 5, talk.sent + 1);
        say_message(message, sizeof message);
    }
}

/* 'G' and a place near the live feed's, or what is none. */
static void say_mark(uint8_t what, uint8_t where) {
    char message[1 + NUMI_SOUP_NUMBER_SIZE + 2];
    uint64_t number = BASE + where;
    uint32_t size = 1 + NUMI_SOUP_NUMBER_SIZE, before = talk.sent;
    number = what % 16 == 14 ? UINT64_MAX : what % 16 == 13 ? 0 : number;
    snprintf(message, sizeof message, "G%20llu", (unsigned long long)number);
    if (what % 16 == 12)
        message[1 + where % 20] = 'x';
    size = what % 16 == 11 ? where % size + (where % size == 0) : size + (what % 16 == 10);
    uint64_t means = number + (options.mark == NUMI_GLIMPSE_LAST_APPLIED);
    say_message((const uint8_t *)message, size);
    if (talk.sent == before || talk.has_mark)
        return;
    talk.has_mark = true;
    talk.mark_index = before;
    talk.has_good_mark = size == 1 + NUMI_SOUP_NUMBER_SIZE && what % 16 != 12 && means != 0;
    talk.first = means;
}

static void say_bytes(struct input *input, uint32_t size) {
    size = size < input->left ? size : (uint32_t)input->left;
    if (talk.is_connected && size > 0) {
        uint8_t *copy = exactly(input->at, size);
        talk.is_wild |= numi_soup_client_receive(client, now_ns, copy, size) > 0;
        free(copy);
    }
    input->at += size;
    input->left -= size;
}

/* ---- The live feed. */

static void forget_kept(void) {
    uint64_t gone = numi_glimpse_counts(glimpse)->overflow - overflow;
    MUST(gone <= live_count - live_at);
    live_at += (uint32_t)gone;
    overflow += gone;
}

static void keep(const struct live *live, bool is_cut) {
    static uint8_t bytes[PACKET_MAX];
    struct numi_glimpse_counts before = *numi_glimpse_counts(glimpse);
    bool is_joined = numi_glimpse_state(glimpse) == NUMI_GLIMPSE_JOINED;
    uint32_t size = write_live(bytes, live, 0) - is_cut;
    uint8_t *copy = exactly(bytes, size);
    int code = numi_glimpse_keep(glimpse, now_ns, copy, size, live->rx_ns, live->mark);
    const struct numi_glimpse_counts *counts = numi_glimpse_counts(glimpse);
    free(copy);
    MUST(code == !is_joined);
    MUST(!is_cut || counts->kept == before.kept);
    if (counts->kept == before.kept)
        return;
    if (live_count > live_at && lives[live_count - 1].session != live->session)
        live_at = live_count;
    lives[live_count++] = *live;
    forget_kept();
}

static void come(uint8_t verb, uint8_t what, uint8_t where) {
    if (live_count == LIVE_MAX)
        return;
    bool is_older = what >> 6 == 3 && session > 0, is_large = what >> 4 == 11;
    struct live live = {.sequence = live_top,
                        .count = what % 4,
                        .size = SMALL_SIZE,
                        .mark = where,
                        .session = (uint8_t)(session - is_older),
                        .rx_ns = now_ns};
    if (verb >> 4 & 1)
        live.sequence = where % 8 == 7 ? live_top + 20 : live_top - where % 8;
    if (is_large) {
        live.count = 1;
        live.size = LARGE_SIZE;
    }
    if (live.sequence + live.count > live_top && !is_older)
        live_top = live.sequence + live.count;
    keep(&live, where == 255);
}

/* ---- Steps. */

static void step(struct input *input, uint8_t verb, uint8_t what, uint8_t where) {
    static const uint8_t controls[] = {NUMI_SOUP_SERVER_HEARTBEAT, NUMI_SOUP_LOGIN_ACCEPTED,
                                       NUMI_SOUP_LOGIN_REJECTED,   NUMI_SOUP_END_OF_SESSION,
                                       NUMI_SOUP_UNSEQUENCED,      NUMI_SOUP_SERVER_HEARTBEAT};
    switch (verb & 15) {
    case 0:
    case 1:
        if (talk.number == 0 || talk.is_connected)
            break;
        numi_soup_client_connected(client, now_ns);
        talk.is_connected = true;
        if (what < 250)
            say_control(NUMI_SOUP_LOGIN_ACCEPTED, what);
        break;
    case 2:
    case 3:
        say_shots(1 + what % 8);
        break;
    case 4:
        say_mark(what, where);
        break;
    case 5:
        say_control(controls[what % 32 < 5 ? what % 32 : 5], where);
        break;
    case 6:
        if (what > 200)
            numi_soup_client_lost(client, now_ns);
        break;
    case 7:
        if (what > 240)
            say_bytes(input, where % 32);
        break;
    case 8:
    case 9:
    case 10:
        come(verb, what, where);
        break;
    case 11:
        if (what > 200 && session < SESSIONS - 1) {
            session++;
            live_top = BASE + where;
        }
        break;
    case 12:
        now_ns += (int64_t)what * 20;
        break;
    case 13:
        take_parts(1 + what % 4);
        break;
    default:
        take_parts(UINT32_MAX);
    }
    if (verb >> 5 & 1)
        take_parts(UINT32_MAX);
    advance();
    MUST(numi_glimpse_state(glimpse) <= NUMI_GLIMPSE_FAILED);
}

static void choose(struct input *input, struct numi_soup_client_options *of_client) {
    uint8_t mark = input_byte(input), tries = input_byte(input);
    numi_glimpse_defaults(&options);
    numi_soup_client_defaults(of_client);
    options.mark = mark & 1;
    options.keep_size = NUMI_GLIMPSE_KEEP_MIN;
    options.snapshots_max = tries % 4;
    options.gap_max = tries >> 4;
    options.snapshot_ns = 1000 + (mark >> 4) * 500;
    options.again_ns = (tries >> 2 & 3) * 100;
    of_client->servers = 1 + (mark >> 1 & 1);
    of_client->attempts_max = mark >> 2 & 3;
    of_client->backoff_ns = of_client->jitter_ns = 10;
    of_client->backoff_max_ns = 100;
    live_top = BASE + input_byte(input);
    input_byte(input);
}

static void judge_counts(void) {
    const struct numi_glimpse_counts *counts = numi_glimpse_counts(glimpse);
    uint32_t state = numi_glimpse_state(glimpse);
    MUST(count_losses() + counts->joins <= counts->snapshots + counts->joins);
    MUST(counts->below + counts->cut + counts->overflow <= counts->kept);
    MUST(counts->joins > 0 || (state != NUMI_GLIMPSE_JOINED && state != NUMI_GLIMPSE_JOINING));
    MUST(state != NUMI_GLIMPSE_FAILED || options.snapshots_max > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct numi_soup_client_options of_client;
    choose(&input, &of_client);
    now_ns = 0;
    live_count = live_at = last_kind = session = 0;
    overflow = taken = losses_then = first = 0;
    has_begun = has_heartbeat = false;
    talk = said = (struct talk){0};
    MUST(numi_glimpse_open(&glimpse, &options, &of_client) == NUMI_OK);
    client = numi_glimpse_client(glimpse);
    advance();
    while (input.left >= STEP_SIZE) {
        uint8_t verb = input_byte(&input), what = input_byte(&input);
        step(&input, verb, what, input_byte(&input));
        judge_counts();
    }
    take_parts(UINT32_MAX);
    numi_glimpse_close(glimpse);
    return 0;
}
