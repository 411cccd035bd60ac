#include "feed/glimpse.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "feed/kept.h"
#include "feed/patience.h"

enum {
    PACKET_MAX = 65535,
    MARK_TYPE = 'G',
    NO_LOSS = NUMI_GLIMPSE_LOSS_COUNT,
};

struct numi_glimpse {
    struct numi_glimpse_options options;
    struct numi_glimpse_counts counts;
    struct numi_soup_client *client;
    struct numi_kept kept;
    uint32_t state;
    uint32_t tries; /* in a row that came to nothing */
    int64_t due_ns; /* waiting: when to begin; taking: when it is too late */
    uint64_t taken; /* messages of this snapshot */
    uint64_t first;
    bool is_live; /* the client has logged in for this snapshot */
    bool has_clear;
    bool has_heartbeat; /* of the join */
    bool in_session;
    bool has_previous;
    uint8_t session[NUMI_MOLD_SESSION_SIZE]; /* of the live feed */
    uint8_t previous[NUMI_MOLD_SESSION_SIZE];
    uint8_t payload[NUMI_MOLD_HEADER_SIZE + 2 + NUMI_SOUP_CLIENT_PAYLOAD_MAX];
};

void numi_glimpse_defaults(struct numi_glimpse_options *options) {
    *options = (struct numi_glimpse_options){
        .mark = NUMI_GLIMPSE_FIRST_TO_APPLY,
        .keep_size = 64 << 20,
        .gap_max = 10000,
        .snapshot_ns = INT64_C(120000000000),
        .again_ns = 1000000000,
    };
}

static int check_options(const struct numi_glimpse_options *options) {
    const struct numi_bound bounds[] = {
        {"mark", options->mark, 0, NUMI_GLIMPSE_LAST_APPLIED},
        {"snapshots_max", options->snapshots_max, 0, INT32_MAX},
        {"keep_size", (int64_t)(options->keep_size & INT64_MAX), NUMI_GLIMPSE_KEEP_MIN,
         NUMI_GLIMPSE_KEEP_MAX},
        {"snapshot_ns", options->snapshot_ns, 1, NUMI_PATIENCE_MAX},
        {"again_ns", options->again_ns, 0, NUMI_PATIENCE_MAX},
    };
    return numi_bounds_check(bounds, sizeof bounds / sizeof bounds[0]);
}

int numi_glimpse_open(struct numi_glimpse **out, const struct numi_glimpse_options *options,
                      const struct numi_soup_client_options *client) {
    *out = NULL;
    int code = check_options(options);
    if (code != NUMI_OK)
        return code;
    struct numi_glimpse *glimpse = calloc(1, sizeof *glimpse);
    if (glimpse == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a snapshot's join");
    glimpse->options = *options;
    glimpse->due_ns = INT64_MIN;
    code = numi_soup_client_open(&glimpse->client, client);
    if (code == NUMI_OK)
        code = numi_kept_open(&glimpse->kept, options->keep_size);
    if (code != NUMI_OK) {
        numi_glimpse_close(glimpse);
        return code;
    }
    *out = glimpse;
    return NUMI_OK;
}

void numi_glimpse_close(struct numi_glimpse *glimpse) {
    if (glimpse == NULL)
        return;
    numi_soup_client_close(glimpse->client);
    numi_kept_close(&glimpse->kept);
    free(glimpse);
}

/* ---- Snapshots begin, and come to nothing. */

static void begin(struct numi_glimpse *glimpse, int64_t now_ns) {
    numi_soup_client_restart(glimpse->client, now_ns, 1);
    glimpse->state = NUMI_GLIMPSE_TAKING;
    glimpse->due_ns = numi_later(now_ns, glimpse->options.snapshot_ns);
    glimpse->taken = glimpse->first = 0;
    glimpse->is_live = glimpse->has_heartbeat = false;
    glimpse->has_clear = true;
    glimpse->counts.snapshots++;
}

static void begin_again(struct numi_glimpse *glimpse, int64_t now_ns, uint32_t loss) {
    const struct numi_glimpse_options *options = &glimpse->options;
    numi_soup_client_logout(glimpse->client, now_ns);
    glimpse->counts.losses[loss]++;
    glimpse->tries++;
    glimpse->first = 0;
    glimpse->due_ns = numi_later(now_ns, options->again_ns);
    bool is_over = options->snapshots_max > 0 && glimpse->tries >= options->snapshots_max;
    glimpse->state = is_over ? NUMI_GLIMPSE_FAILED : NUMI_GLIMPSE_WAITING;
}

/* Why the snapshot that is being taken will not become one. */
static uint32_t loss_of(struct numi_glimpse *glimpse, int64_t now_ns) {
    uint32_t client = numi_soup_client_state(glimpse->client);
    glimpse->is_live |= client == NUMI_SOUP_LIVE;
    if (client == NUMI_SOUP_FAILED)
        return NUMI_GLIMPSE_LOSS_NO_SERVER;
    if (client == NUMI_SOUP_ENDED || (glimpse->is_live && client != NUMI_SOUP_LIVE))
        return NUMI_GLIMPSE_LOSS_BROKEN;
    return now_ns >= glimpse->due_ns ? NUMI_GLIMPSE_LOSS_LATE : NO_LOSS;
}

static void watch(struct numi_glimpse *glimpse, int64_t now_ns) {
    uint32_t loss = glimpse->state == NUMI_GLIMPSE_TAKING ? loss_of(glimpse, now_ns) : NO_LOSS;
    if (loss != NO_LOSS)
        begin_again(glimpse, now_ns, loss);
}

int numi_glimpse_step(struct numi_glimpse *glimpse, int64_t now_ns) {
    if (glimpse->state == NUMI_GLIMPSE_WAITING && now_ns >= glimpse->due_ns)
        begin(glimpse, now_ns);
    watch(glimpse, now_ns);
    int connection = numi_soup_client_step(glimpse->client, now_ns);
    watch(glimpse, now_ns);
    return glimpse->state == NUMI_GLIMPSE_FAILED ? 0 : connection;
}

/* ---- Live packets. */

static bool is_of(const uint8_t *session, const struct numi_mold_header *header) {
    return memcmp(session, header->session, sizeof header->session) == 0;
}

static void begin_session(struct numi_glimpse *glimpse, int64_t now_ns,
                          const struct numi_mold_header *header) {
    if (glimpse->in_session) {
        memcpy(glimpse->previous, glimpse->session, sizeof glimpse->previous);
        glimpse->has_previous = true;
        numi_kept_clear(&glimpse->kept);
        if (glimpse->state != NUMI_GLIMPSE_WAITING && glimpse->state != NUMI_GLIMPSE_FAILED)
            begin_again(glimpse, now_ns, NUMI_GLIMPSE_LOSS_NEW_SESSION);
    }
    memcpy(glimpse->session, header->session, sizeof glimpse->session);
    glimpse->in_session = true;
}

int numi_glimpse_keep(struct numi_glimpse *glimpse, int64_t now_ns, const uint8_t *payload,
                      uint64_t size, int64_t rx_ns, uint16_t flags) {
    struct numi_mold_header header;
    if (glimpse->state == NUMI_GLIMPSE_JOINED)
        return 0;
    if (size > PACKET_MAX || numi_mold_parse(payload, size, &header) != NUMI_MOLD_OK ||
        header.sequence > UINT64_MAX - header.message_count) {
        glimpse->counts.malformed++;
        return 1;
    }
    if (glimpse->has_previous && is_of(glimpse->previous, &header)) {
        glimpse->counts.stale++;
        return 1;
    }
    if (!glimpse->in_session || !is_of(glimpse->session, &header))
        begin_session(glimpse, now_ns, &header);
    glimpse->counts.kept++;
    glimpse->counts.overflow +=
        numi_kept_push(&glimpse->kept, payload, (uint32_t)size, rx_ns, flags);
    return 1;
}

/* ---- The snapshot. */

static bool read_mark(const struct numi_glimpse *glimpse, const uint8_t *message, uint16_t size,
                      uint64_t *first) {
    if (size != NUMI_GLIMPSE_MARK_SIZE ||
        numi_soup_parse_number(message + 1, first) != NUMI_SOUP_OK)
        return false;
    if (glimpse->options.mark == NUMI_GLIMPSE_LAST_APPLIED && ++*first == 0)
        return false;
    if (NUMI_PLANTED(JOIN_OFF_BY_ONE))
        ++*first;
    return *first > 0;
}

/* The snapshot is whole: its connection has done its work. */
static void take_mark(struct numi_glimpse *glimpse, int64_t now_ns, const uint8_t *message,
                      uint16_t size) {
    uint64_t first = 0;
    if (!read_mark(glimpse, message, size, &first)) {
        begin_again(glimpse, now_ns, NUMI_GLIMPSE_LOSS_BAD_MARK);
        return;
    }
    numi_soup_client_logout(glimpse->client, now_ns);
    glimpse->first = first;
    glimpse->state = NUMI_GLIMPSE_TAKEN;
}

/* What a payload has before the mark, if it has one; the rest is nobody's. */
static void split_at_mark(struct numi_glimpse *glimpse, int64_t now_ns, const uint8_t *payload,
                          const struct numi_mold_header *header, struct numi_glimpse_part *part) {
    const uint8_t *next = payload + NUMI_MOLD_HEADER_SIZE;
    for (uint32_t i = 0; i < header->message_count; i++) {
        const uint8_t *block = next;
        uint16_t size;
        const uint8_t *message = numi_mold_next(&next, &size);
        if (size == 0 || message[0] != MARK_TYPE)
            continue;
        take_mark(glimpse, now_ns, message, size);
        glimpse->counts.behind += header->message_count - i - 1;
        glimpse->counts.messages += i;
        part->size = (uint64_t)(block - payload);
        part->payload = glimpse->payload;
        memcpy(glimpse->payload, payload, part->size);
        numi_mold_write_header(glimpse->payload, header->session, header->sequence, (uint16_t)i);
        return;
    }
    glimpse->counts.messages += header->message_count;
}

static bool next_of_snapshot(struct numi_glimpse *glimpse, int64_t now_ns,
                             struct numi_glimpse_part *part) {
    struct numi_mold_header header;
    if (glimpse->has_clear) {
        glimpse->has_clear = false;
        *part = (struct numi_glimpse_part){.kind = NUMI_GLIMPSE_CLEAR};
        return true;
    }
    *part = (struct numi_glimpse_part){.kind = NUMI_GLIMPSE_SNAPSHOT};
    if (!numi_soup_client_next(glimpse->client, now_ns, &part->payload, &part->size)) {
        watch(glimpse, now_ns);
        return false;
    }
    numi_mold_parse(part->payload, part->size, &header);
    if (header.sequence != glimpse->taken + 1) {
        begin_again(glimpse, now_ns, NUMI_GLIMPSE_LOSS_NOT_WHOLE);
        return false;
    }
    glimpse->is_live = true;
    glimpse->taken += header.message_count;
    split_at_mark(glimpse, now_ns, part->payload, &header, part);
    return part->size > NUMI_MOLD_HEADER_SIZE;
}

/* ---- The join. */

/* The lowest sequence that the kept packets begin with. The lines may have mixed their order. */
static uint64_t lowest_kept(const struct numi_glimpse *glimpse) {
    uint64_t lowest = UINT64_MAX;
    const struct numi_kept_packet *packet = NULL;
    while ((packet = numi_kept_after(&glimpse->kept, packet)) != NULL) {
        uint64_t sequence = numi_be64(packet->bytes + NUMI_MOLD_SESSION_SIZE);
        lowest = sequence < lowest ? sequence : lowest;
    }
    return lowest;
}

static void join(struct numi_glimpse *glimpse, int64_t now_ns) {
    if (glimpse->kept.count == 0)
        return; /* the live feed will say which session it is */
    uint64_t lowest = lowest_kept(glimpse);
    uint64_t gap = lowest > glimpse->first ? lowest - glimpse->first : 0;
    if (gap > glimpse->options.gap_max) {
        begin_again(glimpse, now_ns, NUMI_GLIMPSE_LOSS_TOO_OLD);
        return;
    }
    glimpse->counts.gap += gap;
    glimpse->counts.joins++;
    glimpse->tries = 0;
    glimpse->state = NUMI_GLIMPSE_JOINING;
    glimpse->has_heartbeat = true;
}

/* What a kept packet has at or behind the first sequence; false where that is nothing. */
static bool cut_below(struct numi_glimpse *glimpse, struct numi_kept_packet *packet,
                      struct numi_glimpse_part *part) {
    struct numi_mold_header header;
    numi_mold_parse(packet->bytes, packet->size, &header);
    *part = (struct numi_glimpse_part){packet->bytes,     packet->size,  packet->rx_ns,
                                       NUMI_GLIMPSE_TAIL, packet->flags, 0};
    if (header.sequence >= glimpse->first)
        return true;
    if (header.sequence + header.message_count <= glimpse->first) {
        glimpse->counts.below++;
        return false;
    }
    uint64_t below = glimpse->first - header.sequence;
    const uint8_t *blocks = packet->bytes + NUMI_MOLD_HEADER_SIZE;
    /* The new header overwrites messages that go, and what is before them. */
    uint8_t *rest = packet->bytes + (numi_mold_skip(blocks, below) - blocks);
    numi_mold_write_header(rest, header.session, glimpse->first,
                           (uint16_t)(header.message_count - below));
    part->payload = rest;
    part->size = packet->size - (uint64_t)(rest - packet->bytes);
    glimpse->counts.cut++;
    return true;
}

static bool next_of_tail(struct numi_glimpse *glimpse, struct numi_glimpse_part *part) {
    if (glimpse->has_heartbeat) {
        const struct numi_kept_packet *oldest = numi_kept_after(&glimpse->kept, NULL);
        glimpse->has_heartbeat = false;
        *part = (struct numi_glimpse_part){glimpse->payload,  NUMI_MOLD_HEADER_SIZE, oldest->rx_ns,
                                           NUMI_GLIMPSE_TAIL, oldest->flags,         0};
        numi_mold_write_header(glimpse->payload, glimpse->session, glimpse->first, 0);
        return true;
    }
    struct numi_kept_packet *packet;
    while ((packet = numi_kept_pop(&glimpse->kept)) != NULL)
        if (cut_below(glimpse, packet, part))
            return true;
    glimpse->state = NUMI_GLIMPSE_JOINED;
    return false;
}

int numi_glimpse_next(struct numi_glimpse *glimpse, int64_t now_ns,
                      struct numi_glimpse_part *part) {
    if (glimpse->state == NUMI_GLIMPSE_TAKING && next_of_snapshot(glimpse, now_ns, part))
        return 1;
    if (glimpse->state == NUMI_GLIMPSE_TAKEN)
        join(glimpse, now_ns);
    if (glimpse->state == NUMI_GLIMPSE_JOINING && next_of_tail(glimpse, part))
        return 1;
    *part = (struct numi_glimpse_part){0};
    return 0;
}

/* ---- What is known of it. */

struct numi_soup_client *numi_glimpse_client(struct numi_glimpse *glimpse) {
    return glimpse->client;
}

uint64_t numi_glimpse_first(const struct numi_glimpse *glimpse) {
    return glimpse->first;
}

uint32_t numi_glimpse_state(const struct numi_glimpse *glimpse) {
    return glimpse->state;
}

const struct numi_glimpse_counts *numi_glimpse_counts(const struct numi_glimpse *glimpse) {
    return &glimpse->counts;
}

#define NAME(name, text) #text,

const char *numi_glimpse_state_name(uint32_t state) {
    static const char *const names[] = {NUMI_GLIMPSE_STATE_LIST(NAME)};
    return state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

const char *numi_glimpse_loss_name(uint32_t loss) {
    static const char *const names[NUMI_GLIMPSE_LOSS_COUNT] = {NUMI_GLIMPSE_LOSS_LIST(NAME)};
    return loss < NUMI_GLIMPSE_LOSS_COUNT ? names[loss] : "unknown";
}
