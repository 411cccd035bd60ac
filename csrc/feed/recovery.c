#include "feed/recovery.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "frame/ring.h"
#include "wire/bytes.h"

enum {
    LISTS = 3,      /* the teller's, the latest, the reader's */
    IS_NEW = 4,     /* beside the number of the latest */
    STEPS_MAX = 64, /* reads of a socket in one step */
    GIVEN_UP_MAX = 64,
};

/* A packet in the ring; its bytes lie in the place of its number. */
struct passed {
    uint32_t size;
    uint32_t flags; /* of the frame that it becomes */
};

struct list {
    uint8_t session[NUMI_MOLD_SESSION_SIZE];
    uint32_t gap_count;
    uint64_t merged; /* packets of the ring */
    struct numi_gap gaps[NUMI_RECOVERY_GAP_MAX];
};

/* The feed's thread. */
struct teller {
    uint32_t own;  /* the list it writes */
    uint32_t told; /* the last one, which nobody writes */
    uint64_t polled;
};

/* The thread that asks. */
struct asker {
    uint32_t own; /* the list it reads */
    bool has_list;
    struct numi_recovery_counts counts;
    struct numi_recover *recover;
};

struct numi_recovery {
    struct numi_recovery_options options;
    struct numi_ring *ring;
    uint8_t *places; /* twice as many as the ring has records: one that was popped is still read */
    struct list *lists;
    struct teller teller NUMI_ALIGNED(NUMI_SHARING_SIZE);
    struct asker asker NUMI_ALIGNED(NUMI_SHARING_SIZE);
    _Atomic uint32_t latest NUMI_ALIGNED(NUMI_SHARING_SIZE);
};

/* ---- Open and close. */

void numi_recovery_defaults(struct numi_recovery_options *options) {
    *options = (struct numi_recovery_options){.packets = 256, .packet_size = 2048};
    numi_recover_defaults(&options->recover);
}

static int check_options(const struct numi_recovery_options *options) {
    if (options->packets < 2 || options->packets > NUMI_RECOVERY_PACKET_MAX ||
        !numi_is_power_of_two(options->packets))
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "recovery: packets is %u: allowed are powers of two from 2 to %d",
                              options->packets, NUMI_RECOVERY_PACKET_MAX);
    if (options->packet_size < NUMI_RECOVERY_NOTICE_SIZE ||
        options->packet_size > NUMI_POOL_FRAME_SIZE_MAX)
        return numi_error_set(
            NUMI_ERR_ARGUMENT, "recovery: packet_size is %u: allowed are %d to %d",
            options->packet_size, NUMI_RECOVERY_NOTICE_SIZE, NUMI_POOL_FRAME_SIZE_MAX);
    return NUMI_OK;
}

int numi_recovery_open(struct numi_recovery **out, const struct numi_recovery_options *options) {
    *out = NULL;
    int code = check_options(options);
    if (code != NUMI_OK)
        return code;
    struct numi_recovery *recovery = aligned_alloc(NUMI_SHARING_SIZE, sizeof *recovery);
    if (recovery == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "recovery");
    memset(recovery, 0, sizeof *recovery);
    recovery->options = *options;
    recovery->asker.own = 1;
    recovery->teller.told = 1; /* empty: it equals nothing that is told first */
    atomic_init(&recovery->latest, 2);
    recovery->lists = calloc(LISTS, sizeof *recovery->lists);
    recovery->places = calloc(2ull * options->packets, options->packet_size);
    if (recovery->lists == NULL || recovery->places == NULL)
        code = numi_error_set(NUMI_ERR_NO_MEMORY, "recovery");
    if (code == NUMI_OK)
        code = numi_ring_open(&recovery->ring, sizeof(struct passed), options->packets, 0);
    if (code == NUMI_OK)
        code = numi_recover_open(&recovery->asker.recover, &options->recover);
    if (code != NUMI_OK) {
        numi_recovery_close(recovery);
        return code;
    }
    *out = recovery;
    return NUMI_OK;
}

void numi_recovery_close(struct numi_recovery *recovery) {
    if (recovery == NULL)
        return;
    numi_recover_close(recovery->asker.recover);
    numi_ring_close(recovery->ring);
    free(recovery->places);
    free(recovery->lists);
    free(recovery);
}

/* The place of packet `number`. A ring of n records lets its pusher go n beyond the last one that
 * was popped, and no further: of twice as many places that one's is not written again yet. */
static uint8_t *place(const struct numi_recovery *recovery, uint64_t number) {
    uint64_t index = number & (2ull * recovery->options.packets - 1);
    return recovery->places + index * recovery->options.packet_size;
}

/* ---- The port. */

struct inlet {
    struct numi_port port;
    struct numi_recovery *recovery;
};

static void fill(struct numi_port *port, struct numi_frame *frame, const struct passed *passed,
                 const uint8_t *bytes, int64_t now_ns) {
    frame->rx = (struct numi_stamp){0};
    frame->taken_ns = now_ns;
    frame->data_offset = frame->header_size = 0;
    frame->data_size = frame->wire_size = passed->size;
    frame->port = port->number;
    frame->line = port->line;
    frame->flags = (uint8_t)passed->flags;
    memcpy(numi_pool_slot(port->pool, frame->index), bytes, passed->size);
    if (passed->flags & NUMI_FRAME_NOTICE)
        return;
    port->counts.bytes += passed->size;
    port->counts.ledger.frames[NUMI_FRAMES_RECEIVED]++;
    port->counts.handed_out++;
}

static int poll(struct numi_port *port, int64_t now_ns, uint32_t *frames, uint32_t frame_max) {
    struct numi_recovery *recovery = ((struct inlet *)port)->recovery;
    struct passed passed;
    uint32_t count = 0;
    /* What finds no frame waits in the ring. */
    while (count < frame_max && port->pool->available > 0 &&
           numi_ring_pop(&recovery->ring->pop, &passed, sizeof passed) == 1) {
        struct numi_frame *frame = numi_pool_take(port->pool);
        fill(port, frame, &passed, place(recovery, recovery->teller.polled++), now_ns);
        frames[count++] = frame->index;
    }
    return (int)count;
}

/* While something is missing, something may come. */
static int64_t next_ns(struct numi_port *port) {
    const struct numi_recovery *recovery = ((struct inlet *)port)->recovery;
    bool rests = numi_ring_size(recovery->ring) == 0 &&
                 recovery->lists[recovery->teller.told].gap_count == 0;
    return rests ? INT64_MAX : INT64_MIN;
}

static void close_inlet(struct numi_port *port) {
    free(port);
}

static const struct numi_port_ops ops = {poll, next_ns, close_inlet};

struct numi_recovery *numi_recovery_of_port(const struct numi_port *port) {
    return port->ops == &ops ? ((const struct inlet *)port)->recovery : NULL;
}

int numi_recovery_open_port(struct numi_port **out, struct numi_recovery *recovery,
                            struct numi_pool *pool) {
    *out = NULL;
    if (recovery->options.packet_size > 1u << pool->slot_shift)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "recovery: packet_size is %u: allowed are the %u bytes of a frame",
                              recovery->options.packet_size, 1u << pool->slot_shift);
    struct inlet *inlet = calloc(1, sizeof *inlet);
    if (inlet == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a port");
    inlet->port = (struct numi_port){.ops = &ops, .pool = pool, .line = NUMI_LINE_RECOVERY};
    inlet->recovery = recovery;
    *out = &inlet->port;
    return NUMI_OK;
}

/* ---- What is missing, told to the other side. */

static bool is_same(const struct list *a, const struct list *b) {
    return a->gap_count == b->gap_count && a->merged == b->merged &&
           memcmp(a->session, b->session, sizeof a->session) == 0 &&
           memcmp(a->gaps, b->gaps, a->gap_count * sizeof *a->gaps) == 0;
}

void numi_recovery_tell(struct numi_recovery *recovery, const struct numi_merge *merge,
                        uint64_t waiting) {
    struct teller *teller = &recovery->teller;
    struct list *list = &recovery->lists[teller->own];
    const uint8_t *session = numi_merge_session(merge);
    if (session == NULL)
        return;
    memcpy(list->session, session, sizeof list->session);
    list->merged = teller->polled - waiting;
    list->gap_count = numi_merge_gaps(merge, list->gaps, NUMI_RECOVERY_GAP_MAX);
    if (is_same(list, &recovery->lists[teller->told]))
        return;
    teller->told = teller->own;
    uint32_t before =
        atomic_exchange_explicit(&recovery->latest, teller->own | IS_NEW, memory_order_acq_rel);
    teller->own = before & ~(uint32_t)IS_NEW;
}

static const struct list *look(struct numi_recovery *recovery) {
    struct asker *asker = &recovery->asker;
    if (atomic_load_explicit(&recovery->latest, memory_order_relaxed) & IS_NEW) {
        uint32_t latest =
            atomic_exchange_explicit(&recovery->latest, asker->own, memory_order_acq_rel);
        asker->own = latest & ~(uint32_t)IS_NEW;
        asker->has_list = true;
        asker->counts.lists++;
    }
    return asker->has_list ? &recovery->lists[asker->own] : NULL;
}

/* ---- Into the ring. */

uint32_t numi_recovery_room(const struct numi_recovery *recovery) {
    return (uint32_t)(numi_ring_record_count(recovery->ring) - numi_ring_size(recovery->ring));
}

static uint8_t *next_place(const struct numi_recovery *recovery) {
    return place(recovery, recovery->asker.counts.passed);
}

static void push(struct numi_recovery *recovery, uint64_t size, uint32_t flags) {
    const struct passed passed = {(uint32_t)size, flags};
    recovery->asker.counts.passed +=
        numi_ring_push(&recovery->ring->push, &passed, sizeof passed) == 1;
}

static bool has_place(struct numi_recovery *recovery, uint64_t size) {
    bool fits = size <= recovery->options.packet_size;
    bool has_room = numi_recovery_room(recovery) > 0;
    recovery->asker.counts.too_large += !fits;
    recovery->asker.counts.no_room += fits && !has_room;
    return fits && has_room;
}

int numi_recovery_pass(struct numi_recovery *recovery, const uint8_t *payload, uint64_t size) {
    if (!has_place(recovery, size))
        return 0;
    memcpy(next_place(recovery), payload, size);
    push(recovery, size, 0);
    return 1;
}

static void pass_given_up(struct numi_recovery *recovery, const uint8_t *session) {
    struct numi_range ranges[GIVEN_UP_MAX];
    uint32_t room = numi_recovery_room(recovery);
    int count = numi_recover_given_up(recovery->asker.recover, ranges,
                                      room < GIVEN_UP_MAX ? room : GIVEN_UP_MAX);
    for (int i = 0; i < count; i++) {
        uint8_t *bytes = next_place(recovery);
        memcpy(bytes, session, NUMI_MOLD_SESSION_SIZE);
        numi_put_be64(bytes + NUMI_MOLD_SESSION_SIZE, ranges[i].from);
        numi_put_be64(bytes + NUMI_MOLD_SESSION_SIZE + 8, ranges[i].to);
        push(recovery, NUMI_RECOVERY_NOTICE_SIZE, NUMI_FRAME_NOTICE);
    }
}

/* ---- Asking. */

int numi_recovery_ask(struct numi_recovery *recovery, int64_t now_ns, struct numi_request *requests,
                      uint32_t room) {
    struct asker *asker = &recovery->asker;
    const struct list *list = look(recovery);
    if (list == NULL)
        return 0;
    if (list->merged != asker->counts.passed) {
        asker->counts.waits++;
        return 0;
    }
    int count = numi_recover_step(asker->recover, now_ns, list->session, list->gaps,
                                  list->gap_count, requests, room);
    pass_given_up(recovery, list->session);
    return count;
}

/* Whole packets that nobody waits for may be late answers. */
static bool goes_on(int reply) {
    return reply == NUMI_REPLY_OK || reply == NUMI_REPLY_UNASKED ||
           reply == NUMI_REPLY_OTHER_SERVER || reply == NUMI_REPLY_TOO_MANY;
}

int numi_recovery_reply(struct numi_recovery *recovery, int64_t now_ns, uint32_t server,
                        const uint8_t *payload, uint64_t size) {
    /* What has no place is not told to the planner either, so it is asked for again. */
    if (!has_place(recovery, size))
        return NUMI_REPLY_UNASKED;
    int reply = numi_recover_reply(recovery->asker.recover, now_ns, server, payload, size);
    if (goes_on(reply))
        (void)numi_recovery_pass(recovery, payload, size);
    return reply;
}

int64_t numi_recovery_step(struct numi_recovery *recovery, struct numi_request_carry *carry,
                           int64_t now_ns) {
    struct numi_request requests[NUMI_RECOVER_OUTSTANDING_MAX];
    uint32_t request_max = carry == NULL ? 0 : NUMI_RECOVER_OUTSTANDING_MAX;
    int count = numi_recovery_ask(recovery, now_ns, requests, request_max);
    if (count < 0 || carry == NULL)
        return count;
    (void)numi_request_carry_send(carry, requests, (uint32_t)count);
    const uint8_t *payload;
    uint32_t server;
    for (int i = 0; i < STEPS_MAX && numi_recovery_room(recovery) > 0; i++, count++) {
        int size = numi_request_carry_receive(carry, &payload, &server);
        if (size == 0)
            break;
        (void)numi_recovery_reply(recovery, now_ns, server, payload, (uint64_t)size);
    }
    return count;
}

int64_t numi_recovery_step_session(struct numi_recovery *recovery, struct numi_soup_carry *carry,
                                   struct numi_soup_client *client, int64_t now_ns) {
    const uint8_t *payload;
    uint64_t size;
    int64_t count = 0;
    for (int i = 0; i < STEPS_MAX; i++) {
        int number = numi_soup_client_step(client, now_ns);
        int more = numi_soup_carry_step(carry, client, number, now_ns);
        if (more < 0)
            return more;
        while (numi_recovery_room(recovery) > 0 &&
               numi_soup_client_next(client, now_ns, &payload, &size) == 1)
            count += numi_recovery_pass(recovery, payload, size);
        if (more == 0 || numi_recovery_room(recovery) == 0)
            break;
    }
    return count;
}

const struct numi_recovery_counts *numi_recovery_counts(const struct numi_recovery *recovery) {
    return &recovery->asker.counts;
}

const struct numi_recover_counts *
numi_recovery_planner_counts(const struct numi_recovery *recovery) {
    return numi_recover_counts(recovery->asker.recover);
}
