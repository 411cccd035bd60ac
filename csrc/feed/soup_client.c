#include "feed/soup_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "feed/patience.h"

enum {
    OUT_SIZE = 128, /* login, heartbeat and logout together */
    SESSION_SIZE = NUMI_MOLD_SESSION_SIZE,
    MESSAGES_MAX = NUMI_MOLD_END_OF_SESSION - 1,
    /* A payload up to payload_max, or one message of any size. */
    PAYLOAD_SIZE = NUMI_MOLD_HEADER_SIZE + 2 + NUMI_SOUP_CLIENT_PAYLOAD_MAX,
};

struct numi_soup_client {
    struct numi_soup_client_options options;
    struct numi_soup_client_counts counts;
    uint32_t state;
    uint32_t server;
    bool has_tried;    /* that server */
    uint32_t attempts; /* without a login in a row */
    int32_t connection;
    uint64_t next; /* sequence */
    char session[SESSION_SIZE];
    int64_t due_ns;    /* waiting: when to connect; on the way to live: when it is too late */
    int64_t heard_ns;  /* the last byte in */
    int64_t said_ns;   /* the last word out */
    uint32_t from, to; /* what is unread in `in` */
    uint32_t out_size;
    uint8_t out[OUT_SIZE];
    uint8_t payload[PAYLOAD_SIZE];
    uint8_t in[NUMI_SOUP_CLIENT_ROOM];
};

/* ---- Options. */

void numi_soup_client_defaults(struct numi_soup_client_options *options) {
    *options = (struct numi_soup_client_options){
        .servers = 1,
        .payload_max = 1400,
        .sequence = 1,
        .heartbeat_ns = 1000000000,
        .silence_ns = INT64_C(15000000000),
        .login_ns = INT64_C(5000000000),
        .backoff_ns = 100000000,
        .backoff_max_ns = INT64_C(10000000000),
        .jitter_ns = 20000000,
    };
    memset(options->username, ' ', sizeof options->username);
    memset(options->password, ' ', sizeof options->password);
    memset(options->session, ' ', sizeof options->session);
}

static int check_options(const struct numi_soup_client_options *options) {
    const struct numi_bound bounds[] = {
        {"servers", options->servers, 1, NUMI_SOUP_CLIENT_SERVER_MAX},
        {"attempts_max", options->attempts_max, 0, INT32_MAX},
        {"payload_max", options->payload_max, NUMI_MOLD_HEADER_SIZE, NUMI_SOUP_CLIENT_PAYLOAD_MAX},
        {"heartbeat_ns", options->heartbeat_ns, 1, NUMI_PATIENCE_MAX},
        {"silence_ns", options->silence_ns, 1, NUMI_PATIENCE_MAX},
        {"login_ns", options->login_ns, 1, NUMI_PATIENCE_MAX},
        {"backoff_ns", options->backoff_ns, 0, NUMI_PATIENCE_MAX},
        {"backoff_max_ns", options->backoff_max_ns, options->backoff_ns, NUMI_PATIENCE_MAX},
        {"jitter_ns", options->jitter_ns, 0, NUMI_PATIENCE_MAX},
    };
    return numi_bounds_check(bounds, sizeof bounds / sizeof bounds[0]);
}

int numi_soup_client_open(struct numi_soup_client **out,
                          const struct numi_soup_client_options *options) {
    *out = NULL;
    int code = check_options(options);
    if (code != NUMI_OK)
        return code;
    struct numi_soup_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a SoupBinTCP client");
    client->options = *options;
    client->next = options->sequence;
    client->due_ns = INT64_MIN;
    memcpy(client->session, options->session, SESSION_SIZE);
    *out = client;
    return NUMI_OK;
}

void numi_soup_client_close(struct numi_soup_client *client) {
    free(client);
}

/* ---- Connections begin and end. */

static bool is_connected(const struct numi_soup_client *client) {
    return client->state == NUMI_SOUP_LOGGING_IN || client->state == NUMI_SOUP_LIVE;
}

static void forget_bytes(struct numi_soup_client *client) {
    client->from = client->to = client->out_size = 0;
}

static void next_server(struct numi_soup_client *client) {
    client->has_tried = false;
    client->server = (client->server + 1) % client->options.servers;
}

static void lose(struct numi_soup_client *client, int64_t now_ns, uint32_t loss) {
    const struct numi_soup_client_options *options = &client->options;
    client->counts.losses[loss]++;
    forget_bytes(client);
    int64_t wait = numi_backoff(options->backoff_ns, options->backoff_max_ns,
                                client->attempts / options->servers);
    wait +=
        numi_jitter(options->seed, client->server, client->counts.connections, options->jitter_ns);
    next_server(client);
    client->attempts++;
    client->due_ns = numi_later(now_ns, wait);
    bool is_over = options->attempts_max > 0 && client->attempts >= options->attempts_max;
    client->state = is_over ? NUMI_SOUP_FAILED : NUMI_SOUP_WAITING;
}

void numi_soup_client_restart(struct numi_soup_client *client, int64_t now_ns, uint64_t sequence) {
    if (client->has_tried)
        next_server(client);
    forget_bytes(client);
    memcpy(client->session, client->options.session, SESSION_SIZE);
    client->next = sequence;
    client->state = NUMI_SOUP_WAITING;
    client->due_ns = now_ns;
    client->attempts = 0;
}

static void say(struct numi_soup_client *client, int64_t now_ns, uint8_t type) {
    struct numi_soup_packet packet = {.type = type, .sequence = client->next};
    if (client->out_size + 64 > OUT_SIZE)
        return;
    memcpy(packet.username, client->options.username, sizeof packet.username);
    memcpy(packet.password, client->options.password, sizeof packet.password);
    memcpy(packet.session, client->session, sizeof packet.session);
    client->out_size += numi_soup_write(client->out + client->out_size, &packet, NULL);
    client->said_ns = now_ns;
}

void numi_soup_client_connected(struct numi_soup_client *client, int64_t now_ns) {
    if (client->state != NUMI_SOUP_CONNECTING)
        return;
    client->state = NUMI_SOUP_LOGGING_IN;
    client->heard_ns = now_ns;
    say(client, now_ns, NUMI_SOUP_LOGIN_REQUEST);
}

void numi_soup_client_lost(struct numi_soup_client *client, int64_t now_ns) {
    if (client->state == NUMI_SOUP_ENDED)
        client->out_size = 0;
    if (is_connected(client) || client->state == NUMI_SOUP_CONNECTING)
        lose(client, now_ns, NUMI_SOUP_LOSS_DISCONNECTED);
}

void numi_soup_client_logout(struct numi_soup_client *client, int64_t now_ns) {
    if (client->state == NUMI_SOUP_ENDED)
        return;
    if (client->state == NUMI_SOUP_LIVE)
        say(client, now_ns, NUMI_SOUP_LOGOUT);
    else
        client->out_size = 0;
    client->due_ns = numi_later(now_ns, client->options.login_ns);
    client->state = NUMI_SOUP_ENDED;
}

/* ---- What time brings. */

static void connect_when_due(struct numi_soup_client *client, int64_t now_ns) {
    if (now_ns < client->due_ns)
        return;
    client->state = NUMI_SOUP_CONNECTING;
    client->has_tried = true;
    client->due_ns = numi_later(now_ns, client->options.login_ns);
    client->connection = client->connection == INT32_MAX ? 1 : client->connection + 1;
    client->counts.connections++;
}

static void keep_alive(struct numi_soup_client *client, int64_t now_ns) {
    const struct numi_soup_client_options *options = &client->options;
    if (now_ns >= numi_later(client->heard_ns, options->silence_ns)) {
        lose(client, now_ns, NUMI_SOUP_LOSS_SILENCE);
    } else if (client->out_size == 0 &&
               now_ns >= numi_later(client->said_ns, options->heartbeat_ns)) {
        say(client, now_ns, NUMI_SOUP_CLIENT_HEARTBEAT);
        client->counts.heartbeats_sent++;
    }
}

int numi_soup_client_step(struct numi_soup_client *client, int64_t now_ns) {
    bool is_late = now_ns >= client->due_ns;
    if (client->state == NUMI_SOUP_WAITING)
        connect_when_due(client, now_ns);
    else if (client->state == NUMI_SOUP_LIVE)
        keep_alive(client, now_ns);
    else if (client->state == NUMI_SOUP_ENDED && is_late)
        client->out_size = 0;
    else if (client->state != NUMI_SOUP_ENDED && client->state != NUMI_SOUP_FAILED && is_late)
        lose(client, now_ns, NUMI_SOUP_LOSS_LOGIN_TIMEOUT);
    bool is_wanted = is_connected(client) || client->state == NUMI_SOUP_CONNECTING ||
                     (client->state == NUMI_SOUP_ENDED && client->out_size > 0);
    return is_wanted ? client->connection : 0;
}

/* ---- Bytes in and out. */

uint32_t numi_soup_client_receive(struct numi_soup_client *client, int64_t now_ns,
                                  const uint8_t *bytes, uint64_t size) {
    if (!is_connected(client) || size == 0)
        return 0;
    if (client->from > 0) {
        memmove(client->in, client->in + client->from, client->to - client->from);
        client->to -= client->from;
        client->from = 0;
    }
    uint32_t room = NUMI_SOUP_CLIENT_ROOM - client->to;
    uint32_t taken = size < room ? (uint32_t)size : room;
    memcpy(client->in + client->to, bytes, taken);
    client->to += taken;
    client->heard_ns = now_ns;
    client->counts.bytes += taken;
    return taken;
}

const uint8_t *numi_soup_client_outgoing(const struct numi_soup_client *client, uint64_t *size) {
    *size = client->out_size;
    return client->out_size > 0 ? client->out : NULL;
}

void numi_soup_client_sent(struct numi_soup_client *client, uint64_t size) {
    uint32_t sent = size < client->out_size ? (uint32_t)size : client->out_size;
    client->out_size -= sent;
    memmove(client->out, client->out + sent, client->out_size);
}

/* ---- Packets. */

/* Padding stands left or right, as the server likes. */
static bool same_session(const char *one, const char *other) {
    uint32_t i = 0, j = 0;
    while (i < SESSION_SIZE && one[i] == ' ')
        i++;
    while (j < SESSION_SIZE && other[j] == ' ')
        j++;
    for (; i < SESSION_SIZE || j < SESSION_SIZE; i++, j++)
        if ((i < SESSION_SIZE ? one[i] : ' ') != (j < SESSION_SIZE ? other[j] : ' '))
            return false;
    return true;
}

static bool is_blank(const char *session) {
    return same_session(session, "          ");
}

static void accept_login(struct numi_soup_client *client, int64_t now_ns,
                         const struct numi_soup_packet *packet) {
    if (!is_blank(client->session) && !same_session(client->session, packet->session)) {
        lose(client, now_ns, NUMI_SOUP_LOSS_OTHER_SESSION);
        return;
    }
    client->counts.logins++;
    client->counts.moved += client->next != 0 && client->next != packet->sequence;
    memcpy(client->session, packet->session, SESSION_SIZE);
    client->next = packet->sequence;
    client->state = NUMI_SOUP_LIVE;
    client->attempts = 0;
}

static void reject_login(struct numi_soup_client *client, int64_t now_ns, char reason) {
    lose(client, now_ns,
         reason == 'A'   ? NUMI_SOUP_LOSS_NOT_AUTHORIZED
         : reason == 'S' ? NUMI_SOUP_LOSS_NO_SESSION
                         : NUMI_SOUP_LOSS_REJECTED);
}

/* Everything but messages. */
static void take_control(struct numi_soup_client *client, int64_t now_ns,
                         const struct numi_soup_packet *packet) {
    bool is_live = client->state == NUMI_SOUP_LIVE;
    if (packet->type == NUMI_SOUP_DEBUG || packet->type == NUMI_SOUP_UNSEQUENCED) {
        client->counts.debugs++;
    } else if (packet->type == NUMI_SOUP_SERVER_HEARTBEAT) {
        client->counts.heartbeats++;
    } else if (packet->type == NUMI_SOUP_LOGIN_ACCEPTED && !is_live) {
        accept_login(client, now_ns, packet);
    } else if (packet->type == NUMI_SOUP_LOGIN_REJECTED && !is_live) {
        reject_login(client, now_ns, packet->reject_reason);
    } else if (packet->type == NUMI_SOUP_END_OF_SESSION && is_live) {
        client->counts.ends_of_session++;
        client->state = NUMI_SOUP_ENDED;
        forget_bytes(client);
    } else {
        lose(client, now_ns, NUMI_SOUP_LOSS_UNEXPECTED);
    }
}

/* The first unread packet: its size, 0 where none is whole, or where it ended the connection. */
static uint32_t look(struct numi_soup_client *client, int64_t now_ns,
                     struct numi_soup_packet *packet) {
    const uint8_t *bytes = client->in + client->from;
    uint32_t size = is_connected(client) ? numi_soup_frame(bytes, client->to - client->from) : 0;
    if (size == 0)
        return 0;
    int reason = numi_soup_parse(bytes, size, packet);
    if (reason != NUMI_SOUP_OK) {
        client->counts.reasons[reason]++;
        lose(client, now_ns, NUMI_SOUP_LOSS_MALFORMED);
        return 0;
    }
    return size;
}

int numi_soup_client_next(struct numi_soup_client *client, int64_t now_ns, const uint8_t **payload,
                          uint64_t *size) {
    struct numi_soup_packet packet;
    uint32_t count = 0, at = NUMI_MOLD_HEADER_SIZE, taken;
    while (count < MESSAGES_MAX && (taken = look(client, now_ns, &packet)) > 0) {
        bool is_message = packet.type == NUMI_SOUP_SEQUENCED && client->state == NUMI_SOUP_LIVE;
        bool is_full = at + 2 + packet.payload_size > client->options.payload_max;
        /* What ends the session, or the connection, comes after the messages before it. */
        if (count > 0 && (!is_message || is_full))
            break;
        const uint8_t *message = client->in + client->from + packet.payload_offset;
        client->from += taken;
        client->counts.reasons[NUMI_SOUP_OK]++;
        if (!is_message) {
            take_control(client, now_ns, &packet);
            continue;
        }
        numi_put_be16(client->payload + at, (uint16_t)packet.payload_size);
        memcpy(client->payload + at + 2, message, packet.payload_size);
        at += 2 + packet.payload_size;
        count++;
    }
    *payload = count > 0 ? client->payload : NULL;
    *size = count > 0 ? at : 0;
    if (count == 0)
        return 0;
    numi_mold_write_header(client->payload, (const uint8_t *)client->session, client->next,
                           (uint16_t)count);
    client->next += count;
    client->counts.messages += count;
    return 1;
}

/* ---- What is known of it. */

uint32_t numi_soup_client_state(const struct numi_soup_client *client) {
    return client->state;
}

uint32_t numi_soup_client_server(const struct numi_soup_client *client) {
    return client->server;
}

uint64_t numi_soup_client_sequence(const struct numi_soup_client *client) {
    return client->next;
}

const char *numi_soup_client_session(const struct numi_soup_client *client) {
    return client->session;
}

const struct numi_soup_client_counts *
numi_soup_client_counts(const struct numi_soup_client *client) {
    return &client->counts;
}

#define NAME(name, text) #text,

const char *numi_soup_state_name(uint32_t state) {
    static const char *const names[NUMI_SOUP_STATE_COUNT] = {NUMI_SOUP_STATE_LIST(NAME)};
    return state < NUMI_SOUP_STATE_COUNT ? names[state] : "unknown";
}

const char *numi_soup_loss_name(uint32_t loss) {
    static const char *const names[NUMI_SOUP_LOSS_COUNT] = {NUMI_SOUP_LOSS_LIST(NAME)};
    return loss < NUMI_SOUP_LOSS_COUNT ? names[loss] : "unknown";
}
