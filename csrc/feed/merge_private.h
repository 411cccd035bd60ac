/* The parts of the merge (feed/merge.h), for those who make them up:
 *
 *   merge.c           open, time, the output
 *   merge_push.c      packets come in; most of them go the plain way
 *   merge_take.c      what becomes of a packet of the session
 *   merge_session.c   which packets are, and what is known of a session beforehand */
#ifndef NUMI_FEED_MERGE_PRIVATE_H
#define NUMI_FEED_MERGE_PRIVATE_H

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "feed/merge.h"
#include "feed/window.h"

/* A packet under way through the merge. It is read where it lies: copying what was written just
 * before costs more than all else. */
struct arrival {
    const struct numi_merge_packet *packet;
    const uint8_t *session;
    uint64_t sequence; /* of the first message, or of the next one to come */
    int64_t now_ns;
    uint32_t message_count;
    bool ends_session;
    bool is_ours; /* its payload is: a frame, or a copy */
};

/* One that waits. */
struct kept {
    struct arrival arrival;
    struct numi_merge_packet packet; /* the arrival's */
};

/* What will come of a session. */
struct expected {
    uint8_t session[NUMI_MOLD_SESSION_SIZE];
    struct numi_coverage coverage;
};

/* Packets beyond the window that agree where the stream is. */
struct far {
    uint64_t low;
    int64_t since_ns;
    uint32_t count; /* packets */
};

struct numi_merge {
    struct numi_merge_options options;
    struct numi_pool *pool;
    struct numi_window window;
    struct numi_merge_counts counts;
    uint8_t session[NUMI_MOLD_SESSION_SIZE];
    bool in_session;
    bool has_ended;  /* its end was announced */
    bool is_fresh;   /* nothing of the session has gone out */
    bool is_ending;  /* nothing more will come */
    bool is_turning; /* to the session of `candidate`, or of `waiting` where there is none */
    bool is_waiting; /* `waiting` is taken once what stands before it is out */
    bool has_run;    /* `run` goes out next */
    bool spends;     /* and is the last of its packet, which is ours */
    bool has_candidate;
    bool has_spent; /* the packet of the last run, all of which was handed out */
    bool is_plain;  /* by MoldUDP64, without restarts */
    uint64_t first; /* of the session */
    uint64_t whole; /* from here on nothing below the output was lost */
    int64_t now_ns;
    int64_t began_ns; /* the first packet; INT64_MIN before */
    int64_t alarm_ns; /* nothing but gaps is due before: what is due moves away with each packet */
    int64_t due_ns;   /* what is due at or before this happens now */
    int64_t advanced_ns; /* when the output last went on */
    uint64_t reach;      /* the farthest ahead that something is held, since nothing was */
    uint32_t shrinks;    /* times in a row that the window was wide enough for less */
    struct far far;
    struct numi_coverage lost; /* declared gaps */
    struct kept waiting;
    struct kept candidate;
    struct numi_merge_run run;
    const uint8_t *spent_payload;
    uint32_t spent_frame;
    struct numi_copies copies;
    struct numi_preference preference;
    uint8_t over[NUMI_MERGE_SESSIONS][NUMI_MOLD_SESSION_SIZE];
    uint64_t over_count;
    uint64_t tops[NUMI_LINE_COUNT]; /* behind what each line has brought */
    struct expected *expected;
    uint64_t expected_count;
};

/* ---- Whose the bytes are. */

static inline void give_back(struct numi_merge *merge, const uint8_t *payload, uint32_t frame) {
    if (NUMI_LIKELY(merge->pool != NULL))
        numi_pool_give(merge->pool, frame);
    else
        free((void *)(uintptr_t)payload);
}

static inline void drop(struct numi_merge *merge, const struct arrival *arrival) {
    if (arrival->is_ours)
        give_back(merge, arrival->packet->payload, arrival->packet->frame);
}

/* The payload for as long as it is held: a copy where it is not ours; NULL without memory. */
static inline const uint8_t *keep(const struct arrival *arrival) {
    if (arrival->is_ours)
        return arrival->packet->payload;
    uint8_t *copy = malloc(arrival->packet->size);
    if (copy == NULL) {
        numi_error_set(NUMI_ERR_NO_MEMORY, "merge: a packet to hold");
        return NULL;
    }
    memcpy(copy, arrival->packet->payload, arrival->packet->size);
    return copy;
}

/* The arrival is of `to` from now on. */
static inline void put_aside(struct kept *to, const struct arrival *arrival) {
    to->packet = *arrival->packet;
    to->arrival = *arrival;
    to->arrival.packet = &to->packet;
}

static inline bool same_session(const uint8_t *one, const uint8_t *other) {
    return memcmp(one, other, NUMI_MOLD_SESSION_SIZE) == 0;
}

static inline bool is_bare(const struct numi_merge *merge) {
    return merge->options.numbering == NUMI_NUMBERED_BY_OFFSET;
}

/* What a line brings, whatever becomes of it. */
static inline void note_line(struct numi_merge *merge, uint32_t line, uint64_t sequence,
                             uint32_t count) {
    uint64_t end = sequence + count;
    struct numi_line_counts *counts = &merge->copies.lines[line];
    counts->packets += count > 0;
    counts->messages += count;
    if (NUMI_UNLIKELY(sequence < merge->tops[line])) {
        counts->late += count > 0;
        end = end > merge->tops[line] ? end : merge->tops[line];
    }
    merge->tops[line] = end;
}

/* A packet of a line made the output advance; a streak may have to wait for the end of a dwell. */
static inline void numi_merge_prefer(struct numi_merge *merge, uint32_t line, int64_t now_ns) {
    if (NUMI_UNLIKELY(line > NUMI_LINE_B))
        return;
    numi_preference_advance(&merge->preference, line, now_ns);
    if (NUMI_UNLIKELY(merge->preference.due_ns < merge->alarm_ns))
        merge->alarm_ns = merge->preference.due_ns;
}

/* Whether there may be something to hand out; most packets leave nothing behind. */
static inline int has_more(const struct numi_merge *merge) {
    const struct numi_window *window = &merge->window;
    uint64_t waits =
        window->ready.first | window->gap_count | merge->far.count | merge->expected_count;
    bool kept = merge->is_waiting | merge->has_candidate;
    return (waits != 0) | merge->has_run | kept;
}

static inline void free_spent(struct numi_merge *merge) {
    if (merge->has_spent)
        give_back(merge, merge->spent_payload, merge->spent_frame);
    merge->has_spent = false;
}

/* All that was due at `due_ns` or before, but gaps: those are the output's. */
__attribute__((cold)) void numi_merge_raise_alarms(struct numi_merge *merge);

/* Alarms may be due earlier from now on. */
__attribute__((cold)) void numi_merge_look_at_alarms(struct numi_merge *merge);

/* Whether a gap, or a jump, is due. */
bool numi_merge_has_due(const struct numi_merge *merge);

/* The bytes of the run's messages, in a packet that begins with `first`. */
void numi_merge_fill_bytes(const struct numi_merge *merge, const uint8_t *payload, uint64_t size,
                           uint64_t first, struct numi_merge_run *run);

/* NUMI_MOLD_OK and what the packet says of itself, or what is wrong with it. */
int numi_merge_parse(const struct numi_merge *merge, struct arrival *arrival);

/* A packet, when all that stands before it is out. NUMI_ERR_NO_MEMORY, without a pool. */
int numi_merge_take(struct numi_merge *merge, struct arrival *arrival);

/* Likewise, of the current session. */
int numi_merge_take_in_session(struct numi_merge *merge, struct arrival *arrival);

/* What was kept until all before it was out. 1, 0 where there is none. */
int numi_merge_take_kept(struct numi_merge *merge);

/* Nothing is held any more: whether the window was wider than needed. */
void numi_merge_narrow(struct numi_merge *merge);

/* Behind the sequences from the output on that will never come; the output where they may. */
uint64_t numi_merge_end_of_never(const struct numi_merge *merge);

#endif
