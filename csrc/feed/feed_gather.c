#include <string.h>

#include "feed/feed_private.h"
#include "wire/bytes.h"

static int64_t arrival_of(const struct numi_feed *feed, const struct numi_frame *frame) {
    return frame->rx.domain == feed->options.domain ? frame->rx.ns : frame->taken_ns;
}

__attribute__((noinline)) static void record_frames(const struct numi_feed *feed,
                                                    const struct source *source) {
    for (uint32_t i = 0; i < source->count; i++) {
        const struct numi_frame *frame = frame_at(feed, source, i);
        numi_tape_record_frame(feed->tape, frame, numi_pool_data(feed->pool, frame));
    }
}

static void look_at_next(const struct numi_feed *feed, struct source *source) {
    source->next_ns = source->at < source->count
                          ? arrival_of(feed, frame_at(feed, source, source->at))
                          : INT64_MAX;
}

/* Where the source has no frame at hand then, none has arrived. */
static void fill_source(struct numi_feed *feed, struct source *source, int64_t now_ns) {
    give_returned(feed); /* the pool's sum has no room for what is on its way home */
    int count = numi_port_poll(source->port, now_ns, source->frames, feed->options.batch);
    source->at = 0;
    source->count = count < 0 ? 0 : (uint32_t)count;
    if (NUMI_UNLIKELY(count < 0))
        feed->port_code = count;
    if (NUMI_UNLIKELY(feed->tape != NULL))
        record_frames(feed, source);
    look_at_next(feed, source);
}

static uint32_t preferred_at(const struct numi_feed *feed, int64_t at_ns) {
    return numi_preference_at(numi_merge_preference(feed->merge), at_ns);
}

/* The source whose frame arrived first, the preferred line's where two came at once; NULL where
 * none did. */
static struct source *earliest(struct numi_feed *feed) {
    struct source *best = NULL;
    for (uint32_t i = 0; i < feed->source_count; i++) {
        struct source *source = &feed->sources[i];
        if (source->at == source->count || (best != NULL && source->next_ns > best->next_ns))
            continue;
        if (best == NULL || source->next_ns < best->next_ns) {
            best = source;
            continue;
        }
        uint32_t preferred = preferred_at(feed, source->next_ns);
        if (best->port->line != preferred && source->port->line == preferred)
            best = source;
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

static void look_ahead(const struct numi_feed *feed, const struct source *source) {
    if (source->at + AHEAD < source->count)
        __builtin_prefetch(numi_pool_data(feed->pool, frame_at(feed, source, source->at + AHEAD)));
}

/* The source's next frame is the next packet. */
static void gather_one(struct numi_feed *feed, struct source *source) {
    struct gathered *gathered = &feed->gathered;
    look_ahead(feed, source);
    const struct numi_frame *frame = frame_at(feed, source, source->at++);
    const uint8_t *payload = numi_pool_data(feed->pool, frame);
    gathered->sources[gathered->packet_count] = (uint8_t)(source - feed->sources);
    /* Field by field: a struct put together elsewhere and copied stalls on its small fields. */
    struct numi_merge_packet *packet = &gathered->packets[gathered->packet_count++];
    packet->payload = payload;
    packet->size = frame->data_size;
    packet->now_ns = source->next_ns;
    packet->rx_ns = frame->rx.ns;
    packet->frame = frame->index;
    packet->flags = (uint16_t)(frame->rx.source | frame->rx.domain << 4);
    packet->line = frame->line;
    look_at_next(feed, source);
}

uint32_t numi_feed_gather(struct numi_feed *feed, int64_t now_ns, uint32_t frame_max) {
    struct gathered *gathered = &feed->gathered;
    gathered->packet_at = gathered->packet_count = 0;
    for (uint32_t i = 0; i < feed->source_count; i++)
        if (feed->sources[i].at == feed->sources[i].count)
            fill_source(feed, &feed->sources[i], now_ns);
    frame_max = frame_max < GATHERED_MAX ? frame_max : GATHERED_MAX;
    while (gathered->packet_count < frame_max) {
        struct source *source = earliest(feed);
        if (source == NULL)
            break;
        uint32_t preferred = preferred_at(feed, source->next_ns);
        if (gathered->packet_count > 0 && NUMI_UNLIKELY(preferred != gathered->preferred))
            break;
        gathered->preferred = preferred;
        const struct numi_frame *frame = frame_at(feed, source, source->at);
        if (NUMI_UNLIKELY(!is_packet(frame))) {
            if (gathered->packet_count > 0)
                break;
            source->at++;
            look_at_next(feed, source);
            heed(feed, frame);
            return 1;
        }
        gather_one(feed, source);
        if (source->at == source->count && source->count == feed->options.batch)
            break;
    }
    return gathered->packet_count;
}

bool numi_feed_is_outdated(const struct numi_feed *feed) {
    const struct gathered *gathered = &feed->gathered;
    return is_gathered(feed) &&
           preferred_at(feed, gathered->packets[gathered->packet_at].now_ns) != gathered->preferred;
}

void numi_feed_ungather(struct numi_feed *feed) {
    struct gathered *gathered = &feed->gathered;
    while (gathered->packet_count > gathered->packet_at)
        feed->sources[gathered->sources[--gathered->packet_count]].at--;
    for (uint32_t i = 0; i < feed->source_count; i++)
        look_at_next(feed, &feed->sources[i]);
}
