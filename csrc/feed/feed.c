#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/guard.h"
#include "feed/feed_private.h"

/* What the pool must have beside what is held and taken: the packet that goes on with the output,
 * one of a session not heard before, and the one whose run is being decoded. */
enum { FRAMES_BESIDE = 3 };

enum { COUNTERS_EACH_NS = 1000000000 };

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
    merge.hands_over = 1;
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

static void give_run(struct numi_feed *feed, const struct numi_merge_run *run) {
    if (run->release)
        numi_pool_give(feed->pool, run->frame);
}

/* Every frame goes back: those taken, those gathered, those on their way to the back. */
static void give_all(struct numi_feed *feed) {
    struct gathered *gathered = &feed->gathered;
    struct numi_merge_run run;
    for (uint32_t i = 0; i < feed->source_count; i++)
        for (struct source *source = &feed->sources[i]; source->at < source->count; source->at++)
            numi_pool_give(feed->pool, source->frames[source->at]);
    for (uint32_t i = gathered->packet_at; i < gathered->packet_count; i++)
        numi_pool_give(feed->pool, gathered->packets[i].frame);
    for (uint32_t i = gathered->run_at; i < gathered->run_count; i++)
        give_run(feed, &gathered->runs[i]);
    while (feed->runs != NULL && numi_ring_pop_batch(feed->runs, &run, 1) == 1)
        give_run(feed, &run);
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
}

static void make_gap(struct back *back, const struct numi_merge_run *run) {
    back->events[back->event_count++] = (struct numi_event){
        .sequence = run->sequence,
        .order = run->sequence,
        .aux = run->sequence + run->count - 1,
        .kind = NUMI_EVENT_GAP,
        .side = NUMI_SIDE_NONE,
    };
}

static void decode_bare(struct back *back, const struct numi_merge_run *run) {
    int count = numi_itch_decode_event(back->decoder, run->bytes, run->size, run->sequence,
                                       run->rx_ns, run->flags, &back->events[back->event_count]);
    back->event_count += (uint32_t)count;
}

/* Whether there was room for all. */
static bool decode_blocks(struct back *back, struct numi_merge_run *run, uint32_t event_max) {
    uint64_t used = 0;
    int count = numi_itch_decode_run(back->decoder, run->bytes, run->size, &used, &run->sequence,
                                     run->rx_ns, run->flags, back->events + back->event_count,
                                     event_max - back->event_count);
    back->event_count += (uint32_t)count;
    run->bytes += used;
    run->size -= used;
    return run->size == 0;
}

/* Whether all of the run is decoded; what is left of it goes on with the next step. Not before a
 * step of its own where it begins a session and events of the one before wait. */
static bool decode(struct numi_feed *feed, struct numi_merge_run *run) {
    struct back *back = &feed->back;
    if (NUMI_UNLIKELY(run->begins_session)) {
        if (back->event_count > 0)
            return false;
        begin_session(back);
        run->begins_session = false;
    }
    if (NUMI_UNLIKELY(back->event_count == feed->options.event_max))
        return false;
    if (NUMI_LIKELY(run->bytes != NULL && !run->is_bare))
        return decode_blocks(back, run, feed->options.event_max);
    if (run->bytes == NULL)
        make_gap(back, run);
    else
        decode_bare(back, run);
    return true;
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

/* Whether all runs found room behind. */
static bool emit(struct numi_feed *feed) {
    struct gathered *gathered = &feed->gathered;
    if (feed->runs != NULL) {
        uint32_t count = gathered->run_count - gathered->run_at;
        int pushed = numi_ring_push_batch(feed->runs, &gathered->runs[gathered->run_at], count);
        gathered->run_at += (uint32_t)pushed;
        feed->ring_full += (uint32_t)pushed < count;
        return (uint32_t)pushed == count;
    }
    for (; gathered->run_at < gathered->run_count; gathered->run_at++) {
        struct numi_merge_run *run = &gathered->runs[gathered->run_at];
        if (!decode(feed, run))
            return false;
        give_run(feed, run);
    }
    return true;
}

/* Whether all that the merge has to say now found room. */
static bool drain(struct numi_feed *feed) {
    struct gathered *gathered = &feed->gathered;
    const struct numi_merge_run *run;
    if (gathered->run_at < gathered->run_count && !emit(feed))
        return false;
    while (numi_merge_next(feed->merge, &run) == 1) {
        gathered->runs[0] = *run;
        gathered->run_at = 0;
        gathered->run_count = 1;
        if (!emit(feed))
            return false;
    }
    return true;
}

/* Through the merge with what is gathered: as many at once as go straight through it, the one
 * behind them by itself. Returns how many packets it took; not all where there is no room behind.
 */
static uint32_t push(struct numi_feed *feed) {
    struct gathered *gathered = &feed->gathered;
    uint32_t before = gathered->packet_at;
    while (is_gathered(feed) && !numi_feed_is_outdated(feed)) {
        gathered->run_at = 0;
        gathered->packet_at += numi_merge_push_many(
            feed->merge, &gathered->packets[gathered->packet_at],
            gathered->packet_count - gathered->packet_at, gathered->runs, &gathered->run_count);
        if (gathered->run_count > 0 && !emit(feed))
            break;
        if (!is_gathered(feed) || numi_feed_is_outdated(feed))
            break;
        int code = numi_merge_push(feed->merge, &gathered->packets[gathered->packet_at++]);
        if (code > 0 && !drain(feed))
            break;
    }
    return gathered->packet_at - before;
}

static int64_t run_front(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max) {
    struct gathered *gathered = &feed->gathered;
    int64_t count = 0;
    while (drain(feed)) {
        if (is_gathered(feed)) {
            uint32_t pushed = push(feed);
            count += pushed;
            feed->frames += pushed;
            if (numi_feed_is_outdated(feed))
                numi_feed_ungather(feed);
            continue;
        }
        if (count == frame_max)
            return count;
        uint32_t taken = numi_feed_gather(feed, now_ns, frame_max - (uint32_t)count);
        count += taken - gathered->packet_count; /* a notice has been heeded */
        if (taken > 0)
            continue;
        numi_merge_advance(feed->merge, now_ns);
        if (feed->is_flushing)
            numi_merge_flush(feed->merge);
        drain(feed);
        break;
    }
    return count == 0 && feed->port_code < 0 ? feed->port_code : count;
}

/* Whether a step without frames may change something: what the last one left waits, or time does.
 */
static bool may_change(const struct numi_feed *feed, int64_t now_ns) {
    const struct gathered *gathered = &feed->gathered;
    bool is_full = gathered->run_at < gathered->run_count || is_gathered(feed);
    return is_full || feed->is_flushing || numi_merge_due(feed->merge) <= now_ns;
}

static void tell_recovery(const struct numi_feed *feed) {
    const struct gathered *gathered = &feed->gathered;
    uint64_t waiting = feed->recovered->count - feed->recovered->at;
    for (uint32_t i = gathered->packet_at; i < gathered->packet_count; i++)
        waiting += &feed->sources[gathered->sources[i]] == feed->recovered;
    numi_recovery_tell(feed->recovery, feed->merge, waiting);
}

/* What a port can know of. */
static uint32_t rows_of(const struct numi_port_counts *counts, struct numi_tape_counter rows[5]) {
    uint32_t count = 0;
    rows[count++] = (struct numi_tape_counter){"handed_out", counts->handed_out};
    rows[count++] = (struct numi_tape_counter){"bytes", counts->bytes};
    if (counts->present & NUMI_PORT_NO_FRAME)
        rows[count++] = (struct numi_tape_counter){"no_frame", counts->no_frame};
    if (counts->present & NUMI_PORT_KERNEL_DROPS)
        rows[count++] = (struct numi_tape_counter){"kernel_drops", counts->kernel_drops};
    if (counts->present & NUMI_PORT_NIC_DROPS)
        rows[count++] = (struct numi_tape_counter){"nic_drops", counts->nic_drops};
    return count;
}

static void record_counters(struct numi_feed *feed, int64_t now_ns) {
    struct numi_tape_counter rows[5];
    for (uint32_t i = 0; i < feed->source_count; i++) {
        uint32_t count = rows_of(&feed->sources[i].port->counts, rows);
        numi_tape_record_counters(feed->tape, (uint16_t)i, now_ns, rows, count);
    }
    feed->counted_ns = now_ns;
}

/* What a step did, where it changed something; what ports counted, once in a while. */
static void record_step(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max, int64_t count,
                        bool may) {
    if (count > 0 || may)
        numi_tape_record_step(feed->tape, now_ns, frame_max, count > 0 ? (uint32_t)count : 0);
    if (now_ns >= feed->counted_ns + COUNTERS_EACH_NS)
        record_counters(feed, now_ns);
}

int64_t numi_feed_step_front(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max) {
    numi_guard_enter();
    bool may = feed->tape != NULL && may_change(feed, now_ns);
    feed->now_ns = now_ns;
    int64_t count = run_front(feed, now_ns, frame_max);
    if (NUMI_UNLIKELY(feed->recovery != NULL))
        tell_recovery(feed);
    if (NUMI_UNLIKELY(feed->tape != NULL))
        record_step(feed, now_ns, frame_max, count, may);
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
        back->has_run = true;
        if (!decode(feed, &back->run))
            break;
        back->has_run = false;
        if (back->run.release)
            numi_ring_push_batch(feed->returns, &back->run.frame, 1);
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
    return feed->gathered.run_at < feed->gathered.run_count || is_gathered(feed);
}

void numi_feed_record(struct numi_feed *feed, struct numi_tape *tape) {
    feed->tape = tape;
    feed->counted_ns = 0;
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
    if (feed->tape == NULL)
        return;
    numi_tape_record_step(feed->tape, feed->now_ns, 0, 0); /* no step has a budget of 0 */
    record_counters(feed, feed->now_ns);
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
        int64_t next =
            source->at < source->count ? source->next_ns : numi_port_next_ns(source->port);
        due = next < due ? next : due;
    }
    return is_gathered(feed) ? feed->now_ns : due;
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
    counts->ledger.frames[NUMI_FRAMES_HELD] +=
        feed->gathered.packet_count - feed->gathered.packet_at;
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
