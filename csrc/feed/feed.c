#include "feed/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/guard.h"
#include "frame/ring.h"
#include "wire/bytes.h"

/* What the pool must have beside what is held and taken: the packet that goes on with the output,
 * one of a session not heard before, and the one whose run is being decoded. */
enum { FRAMES_BESIDE = 3 };

enum { AHEAD = 4 }; /* frames whose bytes are on their way before they are looked at */

struct source {
    struct numi_port *port;
    uint32_t frames[NUMI_FEED_BATCH_MAX];
    uint32_t at;
    uint32_t count;
};

/* From the merged output to the books; the back stage's own. */
struct back {
    struct numi_merge_run run; /* what of it is not decoded yet */
    bool has_run;
    bool in_session;
    uint32_t event_count;
    struct numi_event *events;
    struct numi_itch_decoder *decoder;
    struct numi_books *books;
    struct numi_event_hash *hash;
    uint64_t event_total;
};

struct numi_feed {
    struct numi_feed_options options;
    struct numi_pool *pool;
    struct numi_merge *merge;
    struct source sources[NUMI_FEED_PORT_MAX];
    uint32_t source_count;
    int port_code; /* a port's error: told when all before it is out */
    uint64_t frames;
    uint64_t ring_full;
    struct numi_tape *tape;         /* NULL: nothing is recorded */
    struct numi_recovery *recovery; /* NULL: gaps are told to nobody */
    const struct source *recovered; /* its port's */
    int64_t now_ns;                 /* of the last step */
    struct numi_merge_run waiting;  /* for room in the ring */
    bool has_waiting;
    bool is_flushing;
    struct numi_ring *runs;                           /* front to back */
    struct numi_ring *returns;                        /* frames, back to front */
    struct back back NUMI_ALIGNED(NUMI_SHARING_SIZE); /* another thread's, with stages */
};

/* ---- Open and close. */

void numi_feed_defaults(struct numi_feed_options *options) {
    *options = (struct numi_feed_options){
        .keeps_books = 1,
        .event_max = 4096,
        .batch = 64,
        .domain = NUMI_DOMAIN_VIRTUAL,
    };
    numi_merge_defaults(&options->merge);
    numi_books_defaults(&options->books);
}

static int refuse(const char *name, uint64_t value, const char *allowed) {
    return numi_error_set(NUMI_ERR_ARGUMENT, "feed: %s is %llu: allowed are %s", name,
                          (unsigned long long)value, allowed);
}

static int check_pool(const struct numi_feed_options *options, const struct numi_pool *pool,
                      uint32_t port_count) {
    uint64_t wanted = (uint64_t)options->merge.pending_max + FRAMES_BESIDE +
                      (uint64_t)port_count * options->batch + options->staged;
    if (wanted <= pool->frame_count)
        return NUMI_OK;
    return numi_error_set(NUMI_ERR_ARGUMENT,
                          "feed: a pool of %u frames: %u held, %u ports with %u each, %u in the "
                          "ring and %d more need %llu",
                          pool->frame_count, options->merge.pending_max, port_count, options->batch,
                          options->staged, FRAMES_BESIDE, (unsigned long long)wanted);
}

static int check_options(const struct numi_feed_options *options, const struct numi_pool *pool,
                         uint32_t port_count) {
    if (port_count == 0 || port_count > NUMI_FEED_PORT_MAX)
        return refuse("the number of ports", port_count, "1 to 8");
    if (options->batch == 0 || options->batch > NUMI_FEED_BATCH_MAX)
        return refuse("batch", options->batch, "1 to 256");
    if (options->event_max == 0)
        return refuse("event_max", 0, "1 and more");
    if (options->domain >= NUMI_DOMAIN_COUNT)
        return refuse("domain", options->domain, "the clocks");
    if (options->staged > NUMI_FEED_RING_MAX ||
        (options->staged != 0 && (options->staged < 2 || !numi_is_power_of_two(options->staged))))
        return refuse("staged", options->staged, "0 and powers of two from 2 to 65536");
    return check_pool(options, pool, port_count);
}

static int open_back(struct back *back, const struct numi_feed_options *options) {
    int code = numi_itch_decoder_open(&back->decoder);
    back->events = calloc(options->event_max, sizeof *back->events);
    if (code == NUMI_OK && back->events == NULL)
        code = numi_error_set(NUMI_ERR_NO_MEMORY, "%u events", options->event_max);
    if (code == NUMI_OK && options->keeps_books)
        code = numi_books_open(&back->books, &options->books);
    if (code == NUMI_OK && options->hashes)
        code = numi_event_hash_open(&back->hash);
    return code;
}

static uint32_t power_above(uint32_t count) {
    uint32_t power = 2;
    while (power < count)
        power *= 2;
    return power;
}

static int open_rings(struct numi_feed *feed) {
    if (feed->options.staged == 0)
        return NUMI_OK;
    int code = numi_ring_open(&feed->runs, sizeof(struct numi_merge_run), feed->options.staged, 0);
    if (code == NUMI_OK)
        code = numi_ring_open(&feed->returns, sizeof(uint32_t),
                              power_above(feed->pool->frame_count), 0);
    return code;
}

static int open_parts(struct numi_feed *feed) {
    struct numi_merge_options merge = feed->options.merge;
    merge.hands_over = feed->options.staged != 0;
    int code = numi_merge_open(&feed->merge, &merge, feed->pool);
    if (code == NUMI_OK)
        code = open_back(&feed->back, &feed->options);
    return code == NUMI_OK ? open_rings(feed) : code;
}

int numi_feed_open(struct numi_feed **out, const struct numi_feed_options *options,
                   struct numi_pool *pool, struct numi_port *const *ports, uint32_t port_count) {
    *out = NULL;
    int code = check_options(options, pool, port_count);
    if (code != NUMI_OK)
        return code;
    struct numi_feed *feed = aligned_alloc(NUMI_SHARING_SIZE, sizeof *feed);
    if (feed == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "feed");
    memset(feed, 0, sizeof *feed);
    feed->options = *options;
    feed->pool = pool;
    feed->source_count = port_count;
    for (uint32_t i = 0; i < port_count; i++) {
        feed->sources[i].port = ports[i];
        ports[i]->number = (uint16_t)i;
    }
    code = open_parts(feed);
    if (code != NUMI_OK) {
        numi_feed_close(feed);
        return code;
    }
    *out = feed;
    return NUMI_OK;
}

static void give_returned(struct numi_feed *feed) {
    uint32_t frames[64];
    int count;
    while (feed->returns != NULL && (count = numi_ring_pop_batch(feed->returns, frames, 64)) > 0)
        numi_pool_give_batch(feed->pool, frames, (uint32_t)count);
}

static void give_run(struct numi_feed *feed, const struct numi_merge_run *run) {
    if (run->release)
        numi_pool_give(feed->pool, run->frame);
}

/* Every frame goes back: those taken, those on their way to the back, those held. */
static void give_all(struct numi_feed *feed) {
    struct numi_merge_run run;
    for (uint32_t i = 0; i < feed->source_count; i++)
        for (struct source *source = &feed->sources[i]; source->at < source->count; source->at++)
            numi_pool_give(feed->pool, source->frames[source->at]);
    while (feed->runs != NULL && numi_ring_pop_batch(feed->runs, &run, 1) == 1)
        give_run(feed, &run);
    if (feed->has_waiting)
        give_run(feed, &feed->waiting);
    if (feed->back.has_run)
        give_run(feed, &feed->back.run);
    give_returned(feed);
}

void numi_feed_close(struct numi_feed *feed) {
    if (feed == NULL)
        return;
    give_all(feed);
    numi_merge_close(feed->merge);
    numi_itch_decoder_close(feed->back.decoder);
    numi_books_close(feed->back.books);
    numi_event_hash_close(feed->back.hash);
    free(feed->back.events);
    numi_ring_close(feed->runs);
    numi_ring_close(feed->returns);
    free(feed);
}

/* ---- The back: decode, books. */

static int apply(struct back *back) {
    if (back->hash != NULL)
        numi_event_hash_add(back->hash, back->events, back->event_count);
    if (back->books == NULL || back->event_count == 0)
        return NUMI_OK;
    int64_t done = numi_books_step(back->books, back->events, back->event_count, NULL);
    return done < 0 ? (int)done : NUMI_OK;
}

static void begin_session(struct back *back) {
    if (back->in_session) {
        numi_itch_decoder_reset(back->decoder);
        if (back->books != NULL)
            numi_books_clear(back->books);
    }
    back->in_session = true;
    back->run.begins_session = false;
}

static void make_gap(struct back *back) {
    const struct numi_merge_run *run = &back->run;
    back->events[back->event_count++] = (struct numi_event){
        .sequence = run->sequence,
        .order = run->sequence,
        .aux = run->sequence + run->count - 1,
        .kind = NUMI_EVENT_GAP,
        .side = NUMI_SIDE_NONE,
    };
    back->has_run = false;
}

static void decode_bare(struct back *back) {
    const struct numi_merge_run *run = &back->run;
    int count = numi_itch_decode_event(back->decoder, run->bytes, run->size, run->sequence,
                                       run->rx_ns, run->flags, &back->events[back->event_count]);
    back->event_count += (uint32_t)count;
    back->has_run = false;
}

static void decode_blocks(struct back *back, uint32_t event_max) {
    struct numi_merge_run *run = &back->run;
    uint64_t used = 0;
    int count = numi_itch_decode_run(back->decoder, run->bytes, run->size, &used, &run->sequence,
                                     run->rx_ns, run->flags, back->events + back->event_count,
                                     event_max - back->event_count);
    back->event_count += (uint32_t)count;
    run->bytes += used;
    run->size -= used;
    back->has_run = run->size > 0;
}

/* Whether all of the run is decoded. Not before a step of its own where it begins a session and
 * events of the one before wait. */
static bool decode(struct numi_feed *feed) {
    struct back *back = &feed->back;
    if (NUMI_UNLIKELY(back->run.begins_session)) {
        if (back->event_count > 0)
            return false;
        begin_session(back);
    }
    if (back->event_count == feed->options.event_max)
        return false;
    if (NUMI_UNLIKELY(back->run.bytes == NULL))
        make_gap(back);
    else if (NUMI_UNLIKELY(back->run.is_bare))
        decode_bare(back);
    else
        decode_blocks(back, feed->options.event_max);
    return !back->has_run;
}

/* A new batch of events. */
static void begin_batch(struct back *back) {
    back->event_count = 0;
}

static int64_t end_batch(struct back *back, int64_t count) {
    back->event_total += back->event_count;
    int code = apply(back);
    return code < 0 ? code : count + (back->event_count > 0);
}

/* ---- The front: ports, merge. */

static struct numi_frame *frame_at(const struct numi_feed *feed, const struct source *source,
                                   uint32_t at) {
    return &feed->pool->frames[source->frames[at]];
}

static bool is_packet(const struct numi_frame *frame) {
    return (frame->flags & NUMI_FRAME_NOTICE) == 0;
}

static int64_t arrival_of(const struct numi_feed *feed, const struct numi_frame *frame) {
    return frame->rx.domain == feed->options.domain ? frame->rx.ns : frame->taken_ns;
}

static void look_ahead(const struct numi_feed *feed, const struct source *source) {
    if (source->at + AHEAD >= source->count)
        return;
    const struct numi_frame *frame = frame_at(feed, source, source->at + AHEAD);
    __builtin_prefetch(numi_pool_data(feed->pool, frame));
}

__attribute__((noinline)) static void record_frames(const struct numi_feed *feed,
                                                    const struct source *source) {
    for (uint32_t i = 0; i < source->count; i++) {
        const struct numi_frame *frame = frame_at(feed, source, i);
        numi_tape_record_frame(feed->tape, frame, numi_pool_data(feed->pool, frame));
    }
}

/* Whether a frame of the source is at hand; where none is, none has arrived. */
static bool fill_source(struct numi_feed *feed, struct source *source, int64_t now_ns) {
    if (NUMI_LIKELY(source->at < source->count))
        return true;
    give_returned(feed); /* the pool's sum has no room for what is on its way home */
    int count = numi_port_poll(source->port, now_ns, source->frames, feed->options.batch);
    source->at = 0;
    source->count = count < 0 ? 0 : (uint32_t)count;
    if (NUMI_UNLIKELY(count < 0))
        feed->port_code = count;
    if (NUMI_UNLIKELY(feed->tape != NULL))
        record_frames(feed, source);
    return count > 0;
}

/* The source whose frame arrived first; NULL where none did. */
static struct source *earliest(struct numi_feed *feed, int64_t now_ns) {
    uint32_t preferred = numi_merge_preference(feed->merge)->preferred;
    struct source *best = NULL;
    int64_t best_ns = 0;
    for (uint32_t i = 0; i < feed->source_count; i++) {
        struct source *source = &feed->sources[i];
        if (!fill_source(feed, source, now_ns))
            continue;
        int64_t at_ns = arrival_of(feed, frame_at(feed, source, source->at));
        bool wins_tie = best != NULL && at_ns == best_ns && best->port->line != preferred &&
                        source->port->line == preferred;
        if (best == NULL || at_ns < best_ns || wins_tie) {
            best = source;
            best_ns = at_ns;
        }
    }
    return best;
}

/* Word of recovery: what it says was given up is of the session that it names alone. */
__attribute__((noinline)) static void heed(struct numi_feed *feed, const struct numi_frame *frame) {
    const uint8_t *notice = numi_pool_data(feed->pool, frame);
    const uint8_t *session = numi_merge_session(feed->merge);
    if (frame->data_size == NUMI_RECOVERY_NOTICE_SIZE && session != NULL &&
        memcmp(notice, session, NUMI_MOLD_SESSION_SIZE) == 0)
        numi_merge_give_up(feed->merge, numi_be64(notice + NUMI_MOLD_SESSION_SIZE),
                           numi_be64(notice + NUMI_MOLD_SESSION_SIZE + 8));
    numi_pool_give(feed->pool, frame->index);
}

static void push(struct numi_feed *feed, struct source *source) {
    const struct numi_frame *frame = frame_at(feed, source, source->at);
    look_ahead(feed, source);
    source->at++;
    if (NUMI_UNLIKELY(!is_packet(frame))) {
        heed(feed, frame);
        return;
    }
    feed->frames++;
    (void)numi_merge_push(feed->merge,
                          &(struct numi_merge_packet){
                              .payload = numi_pool_data(feed->pool, frame),
                              .size = frame->data_size,
                              .now_ns = arrival_of(feed, frame),
                              .rx_ns = frame->rx.ns,
                              .frame = frame->index,
                              .flags = (uint16_t)(frame->rx.source | frame->rx.domain << 4),
                              .line = frame->line,
                          });
}

/* Whether the run found room behind. */
static bool emit(struct numi_feed *feed) {
    if (feed->runs == NULL)
        return decode(feed);
    feed->has_waiting = numi_ring_push_batch(feed->runs, &feed->waiting, 1) != 1;
    feed->ring_full += feed->has_waiting;
    return !feed->has_waiting;
}

/* Whether all that the merge has to say now found room. */
static bool drain(struct numi_feed *feed) {
    struct numi_merge_run *place = feed->runs == NULL ? &feed->back.run : &feed->waiting;
    bool *has = feed->runs == NULL ? &feed->back.has_run : &feed->has_waiting;
    const struct numi_merge_run *run;
    if (*has && !emit(feed))
        return false;
    while (numi_merge_next(feed->merge, &run) == 1) {
        *place = *run;
        *has = true;
        if (!emit(feed))
            return false;
    }
    return true;
}

static int64_t run_front(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max) {
    int64_t count = 0;
    while (drain(feed)) {
        if (count == frame_max)
            return count;
        struct source *source = earliest(feed, now_ns);
        if (source == NULL) {
            numi_merge_advance(feed->merge, now_ns);
            if (feed->is_flushing)
                numi_merge_flush(feed->merge);
            drain(feed);
            break;
        }
        push(feed, source);
        count++;
    }
    return count == 0 && feed->port_code < 0 ? feed->port_code : count;
}

/* Whether a step without frames may change something: what the last one left waits, or time does.
 */
static bool may_change(const struct numi_feed *feed, int64_t now_ns) {
    bool is_full = feed->runs == NULL ? feed->back.has_run : feed->has_waiting;
    return is_full || feed->is_flushing || numi_merge_due(feed->merge) <= now_ns;
}

int64_t numi_feed_step_front(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max) {
    numi_guard_enter();
    bool may = feed->tape != NULL && may_change(feed, now_ns);
    feed->now_ns = now_ns;
    int64_t count = run_front(feed, now_ns, frame_max);
    if (NUMI_UNLIKELY(feed->recovery != NULL))
        numi_recovery_tell(feed->recovery, feed->merge,
                           feed->recovered->count - feed->recovered->at);
    if (NUMI_UNLIKELY(feed->tape != NULL) && (count > 0 || may))
        numi_tape_record_step(feed->tape, now_ns, frame_max, count > 0 ? (uint32_t)count : 0);
    numi_guard_exit();
    return count;
}

int64_t numi_feed_step_back(struct numi_feed *feed) {
    struct back *back = &feed->back;
    int64_t count = 0;
    begin_batch(back);
    for (;; count++) {
        if (!back->has_run && numi_ring_pop_batch(feed->runs, &back->run, 1) != 1)
            break;
        struct numi_merge_run run = back->run;
        back->has_run = true;
        if (!decode(feed))
            break;
        if (run.release)
            numi_ring_push_batch(feed->returns, &run.frame, 1);
    }
    return end_batch(back, count);
}

int64_t numi_feed_step(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max) {
    if (feed->runs != NULL) {
        int64_t count = numi_feed_step_front(feed, now_ns, frame_max);
        int64_t done = count < 0 ? count : numi_feed_step_back(feed);
        return done < 0 ? done : count + done;
    }
    begin_batch(&feed->back);
    int64_t count = numi_feed_step_front(feed, now_ns, frame_max);
    int64_t done = end_batch(&feed->back, count < 0 ? 0 : count);
    return count < 0 && done == 0 ? count : done;
}

int numi_feed_is_staged(const struct numi_feed *feed) {
    return feed->runs != NULL;
}

int numi_feed_front_waits(const struct numi_feed *feed) {
    return feed->has_waiting;
}

void numi_feed_record(struct numi_feed *feed, struct numi_tape *tape) {
    feed->tape = tape;
}

int numi_feed_recover(struct numi_feed *feed, struct numi_recovery *recovery) {
    for (uint32_t i = 0; i < feed->source_count; i++)
        if (numi_recovery_of_port(feed->sources[i].port) == recovery)
            feed->recovered = &feed->sources[i];
    if (feed->recovered == NULL)
        return numi_error_set(NUMI_ERR_ARGUMENT, "feed: none of its ports is the recovery's");
    feed->recovery = recovery;
    return NUMI_OK;
}

void numi_feed_flush(struct numi_feed *feed) {
    feed->is_flushing = true;
    if (feed->tape != NULL) /* no step has a budget of 0 */
        numi_tape_record_step(feed->tape, feed->now_ns, 0, 0);
}

/* ---- What there is to see. */

const struct numi_event *numi_feed_events(const struct numi_feed *feed, uint32_t *count) {
    *count = feed->back.event_count;
    return feed->back.events;
}

int64_t numi_feed_due(struct numi_feed *feed) {
    int64_t due = numi_merge_due(feed->merge);
    for (uint32_t i = 0; i < feed->source_count; i++) {
        struct source *source = &feed->sources[i];
        int64_t next = source->at < source->count
                           ? arrival_of(feed, frame_at(feed, source, source->at))
                           : numi_port_next_ns(source->port);
        due = next < due ? next : due;
    }
    return due;
}

void numi_feed_counts(const struct numi_feed *feed, struct numi_feed_counts *counts) {
    const struct numi_itch_decoder *decoder = feed->back.decoder;
    *counts = (struct numi_feed_counts){
        .ledger = numi_merge_counts(feed->merge)->ledger,
        .frames = feed->frames,
        .events = feed->back.event_total,
        .rejected = decoder->rejects[NUMI_ITCH_EMPTY] + decoder->rejects[NUMI_ITCH_UNKNOWN_TYPE] +
                    decoder->rejects[NUMI_ITCH_BAD_LENGTH],
        .ring_full = feed->ring_full,
    };
    for (uint32_t i = 0; i < feed->source_count; i++) {
        const struct source *source = &feed->sources[i];
        numi_ledger_add(&counts->ledger, &source->port->counts.ledger);
        for (uint32_t at = source->at; at < source->count; at++)
            counts->ledger.frames[NUMI_FRAMES_HELD] += is_packet(frame_at(feed, source, at));
    }
}

struct numi_merge *numi_feed_merge(const struct numi_feed *feed) {
    return feed->merge;
}

struct numi_books *numi_feed_books(const struct numi_feed *feed) {
    return feed->back.books;
}

const struct numi_itch_decoder *numi_feed_decoder(const struct numi_feed *feed) {
    return feed->back.decoder;
}

uint64_t numi_feed_event_hash(const struct numi_feed *feed) {
    return feed->back.hash == NULL ? 0 : numi_event_hash_digest(feed->back.hash);
}

int numi_feed_state_hash(const struct numi_feed *feed, uint8_t *digest) {
    const struct numi_itch_decoder *decoder = feed->back.decoder;
    if (feed->back.books == NULL)
        return numi_error_set(NUMI_ERR_ARGUMENT, "the feed keeps no books");
    uint64_t *wire_ids = malloc((decoder->instrument_count + 1ull) * sizeof *wire_ids);
    if (wire_ids == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "the wire ids");
    for (uint32_t i = 0; i < decoder->instrument_count; i++)
        wire_ids[i] = decoder->locate_of[i];
    int code = numi_books_hash(feed->back.books, wire_ids, decoder->instrument_count, digest);
    free(wire_ids);
    return code;
}
