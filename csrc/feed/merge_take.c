#include "base/check.h"
#include "feed/merge_private.h"

enum { SHRINK_AFTER = 64 }; /* times in a row that a quarter of the window was enough */

/* ---- What a packet says of itself. */

static uint64_t number_at(const struct numi_merge_options *options, const uint8_t *at) {
    uint64_t number = options->sequence_size == 4 ? numi_be32(at) : numi_be64(at);
    if (!options->little_endian)
        return number;
    return options->sequence_size == 4 ? __builtin_bswap32((uint32_t)number)
                                       : __builtin_bswap64(number);
}

/* Of 32 bits of a number, all: the nearest to where the output stands. */
static uint64_t unwrapped(const struct numi_merge *merge, uint64_t number) {
    if (merge->options.sequence_size == 8 || !merge->in_session)
        return number;
    uint64_t next = merge->window.next;
    int64_t distance = (int32_t)((uint32_t)number - (uint32_t)next);
    if (distance < 0 && next < (uint64_t)-distance)
        return number;
    return next + (uint64_t)distance;
}

static int parse_offset(const struct numi_merge *merge, struct arrival *arrival) {
    static const uint8_t nameless[NUMI_MOLD_SESSION_SIZE];
    const struct numi_merge_options *options = &merge->options;
    uint64_t size = arrival->packet->size;
    if (size < (uint64_t)options->sequence_offset + options->sequence_size || size > UINT16_MAX)
        return NUMI_MOLD_SHORT_HEADER;
    const uint8_t *at = arrival->packet->payload + options->sequence_offset;
    arrival->session = nameless;
    arrival->sequence = unwrapped(merge, number_at(options, at));
    arrival->message_count = 1;
    return NUMI_MOLD_OK;
}

static int parse_mold(struct arrival *arrival) {
    const uint8_t *payload = arrival->packet->payload;
    uint64_t size = arrival->packet->size;
    if (NUMI_UNLIKELY(size < NUMI_MOLD_HEADER_SIZE))
        return NUMI_MOLD_SHORT_HEADER;
    uint32_t count = numi_be16(payload + 18);
    arrival->session = payload;
    arrival->sequence = numi_be64(payload + 10);
    arrival->ends_session = count == NUMI_MOLD_END_OF_SESSION;
    arrival->message_count = arrival->ends_session ? 0 : count;
    return numi_mold_check_blocks(payload, size, arrival->message_count);
}

/* A header that would take the sequence past 64 bits is none. */
int numi_merge_parse(const struct numi_merge *merge, struct arrival *arrival) {
    int reason = merge->options.numbering == NUMI_NUMBERED_BY_MOLD ? parse_mold(arrival)
                                                                   : parse_offset(merge, arrival);
    if (reason == NUMI_MOLD_OK && arrival->sequence > UINT64_MAX - arrival->message_count)
        return NUMI_MOLD_TRAILING;
    return reason;
}

void numi_merge_fill_bytes(const struct numi_merge *merge, const uint8_t *payload, uint64_t size,
                           uint64_t first, struct numi_merge_run *run) {
    run->is_bare = is_bare(merge);
    run->bytes = payload;
    run->size = size;
    if (run->is_bare)
        return;
    run->bytes = numi_mold_skip(payload + NUMI_MOLD_HEADER_SIZE, run->sequence - first);
    run->size = (uint64_t)(numi_mold_skip(run->bytes, run->count) - run->bytes);
}

/* ---- Records of copies. */

/* Whether nobody has brought a message yet; `wanted` is the window's. */
static bool is_fresh(const struct numi_merge *merge, uint64_t sequence, uint64_t wanted) {
    if (sequence >= merge->window.top)
        return true;
    return sequence >= wanted && numi_window_lacks(&merge->window, sequence, sequence + 1);
}

static void note_copy(struct numi_merge *merge, const struct arrival *arrival, uint64_t sequence,
                      const uint8_t *message, uint32_t size, bool is_fresh) {
    uint32_t line = arrival->packet->line;
    if (is_fresh)
        numi_copies_first(&merge->copies, sequence, message, size, line, arrival->now_ns);
    else
        numi_copies_again(&merge->copies, sequence, message, size, line, arrival->now_ns);
}

/* All messages of a packet below `end`, before they are taken. */
static void note_copies(struct numi_merge *merge, const struct arrival *arrival, uint64_t end) {
    const struct numi_merge_packet *packet = arrival->packet;
    uint64_t sequence = arrival->sequence, wanted = numi_window_wanted(&merge->window);
    if (merge->copies.count == 0 || sequence >= end)
        return;
    if (is_bare(merge)) {
        note_copy(merge, arrival, sequence, packet->payload, (uint32_t)packet->size,
                  is_fresh(merge, sequence, wanted));
        return;
    }
    const uint8_t *at = packet->payload + NUMI_MOLD_HEADER_SIZE;
    for (; sequence < end; sequence++) {
        uint16_t size;
        const uint8_t *message = numi_mold_next(&at, &size);
        note_copy(merge, arrival, sequence, message, size, is_fresh(merge, sequence, wanted));
    }
}

/* ---- A packet comes in. */

/* The output goes on with this packet. */
static void note_advance(struct numi_merge *merge, const struct arrival *arrival) {
    merge->advanced_ns = arrival->now_ns;
    merge->far.count = 0;
    numi_merge_prefer(merge, arrival->packet->line, arrival->now_ns);
}

/* Straight through: nothing is held, and the packet goes on where the output stands. */
static void pass(struct numi_merge *merge, const struct arrival *arrival, uint64_t end) {
    const struct numi_merge_packet *packet = arrival->packet;
    struct numi_merge_run *run = &merge->run;
    *run = (struct numi_merge_run){
        .sequence = merge->window.next,
        .count = end - merge->window.next,
        .rx_ns = packet->rx_ns,
        .flags = packet->flags,
        .line = packet->line,
        .frame = packet->frame,
    };
    if (NUMI_PLANTED(STALE_COPY))
        run->sequence = arrival->sequence, run->count = arrival->message_count;
    numi_merge_fill_bytes(merge, packet->payload, packet->size, arrival->sequence, run);
    merge->has_run = true;
    merge->window.next = merge->window.top = end;
    merge->counts.ledger.frames[NUMI_FRAMES_DELIVERED]++;
    merge->counts.ledger.messages[NUMI_MESSAGES_NEW] += run->count;
    merge->spends = arrival->is_ours;
    merge->spent_payload = packet->payload;
    merge->spent_frame = packet->frame;
    note_advance(merge, arrival);
}

/* Sequences at or beyond this are out of the window. */
static uint64_t end_of_window(const struct numi_merge *merge, uint64_t position) {
    uint64_t width = merge->counts.window;
    return position > UINT64_MAX - width ? UINT64_MAX : position + width;
}

/* `position`: where the output stands once what is new in order is out. */
static void widen_for(struct numi_merge *merge, uint64_t position, uint64_t to) {
    uint64_t width_max = merge->options.window_max, *width = &merge->counts.window;
    uint64_t wanted = to > position ? to - position : 0;
    if (wanted > merge->reach)
        merge->reach = wanted;
    if (NUMI_LIKELY(wanted <= *width) || wanted > width_max)
        return;
    while (*width < wanted)
        *width *= 2;
    *width = *width > width_max ? width_max : *width;
    merge->shrinks = 0;
}

/* Nothing is held any more: whether the window was wider than needed. */
void numi_merge_narrow(struct numi_merge *merge) {
    uint64_t window = merge->counts.window;
    if (merge->options.window_max == 0 || merge->reach == 0)
        return;
    bool is_wide = merge->reach <= window / 4 && window / 2 >= merge->options.window;
    merge->shrinks = is_wide ? merge->shrinks + 1 : 0;
    merge->reach = 0;
    if (merge->shrinks < SHRINK_AFTER)
        return;
    merge->counts.window = window / 2;
    merge->shrinks = 0;
}

static void note_far(struct numi_merge *merge, uint64_t sequence, int64_t now_ns) {
    struct far *far = &merge->far;
    uint64_t width = merge->counts.window;
    bool agrees = far->count > 0 && (sequence >= far->low ? sequence - far->low <= width
                                                          : far->low - sequence <= width);
    if (!agrees)
        *far = (struct far){.low = sequence, .since_ns = now_ns};
    far->low = sequence < far->low ? sequence : far->low;
    far->count++;
}

/* The messages of a packet, by what becomes of them. */
struct parts {
    uint64_t fresh;
    uint64_t stale;
    uint64_t out; /* of the window */
};

/* Counts them; the packet is back where it came from when it brought nothing. */
static void count_parts(struct numi_merge *merge, const struct arrival *arrival,
                        const struct parts *parts) {
    struct numi_ledger *ledger = &merge->counts.ledger;
    uint64_t old = arrival->message_count - parts->fresh - parts->stale - parts->out;
    ledger->messages[NUMI_MESSAGES_STALE] += parts->stale;
    ledger->messages[NUMI_MESSAGES_OUT_OF_WINDOW] += parts->out;
    ledger->messages[NUMI_MESSAGES_DUPLICATE] += old;
    merge->copies.lines[arrival->packet->line].first += parts->fresh;
    if (parts->fresh > 0)
        return;
    if (!NUMI_PLANTED(LOST_FRAME))
        drop(merge, arrival);
    ledger->frames[parts->out > 0     ? NUMI_FRAMES_OUT_OF_WINDOW
                   : parts->stale > 0 ? NUMI_FRAMES_STALE
                                      : NUMI_FRAMES_DUPLICATE]++;
}

/* How many of [from, to), all of it below the output, will never be new. */
static uint64_t count_stale(const struct numi_merge *merge, uint64_t from, uint64_t to) {
    uint64_t before = from >= merge->first ? 0 : (to < merge->first ? to : merge->first) - from;
    if (NUMI_LIKELY(merge->lost.range_count == 0))
        return before;
    return before + numi_coverage_overlap(&merge->lost, from, to);
}

/* Holds what of [from, to) is lacked. Returns how many messages, or NUMI_ERR_NO_MEMORY. */
static int64_t hold(struct numi_merge *merge, const struct arrival *arrival, uint64_t from,
                    uint64_t to) {
    const struct numi_merge_packet *packet = arrival->packet;
    struct numi_window *window = &merge->window;
    int64_t code = numi_window_make_room(window);
    const uint8_t *payload = code < 0 ? NULL : keep(arrival);
    if (payload == NULL)
        return NUMI_ERR_NO_MEMORY;
    uint32_t place;
    struct numi_held *held = numi_window_hold(window, &place);
    held->payload = payload;
    held->sequence = arrival->sequence;
    held->rx_ns = packet->rx_ns;
    held->size = (uint32_t)packet->size;
    held->frame = packet->frame;
    held->pieces = 0;
    held->flags = packet->flags;
    held->count = (uint16_t)arrival->message_count;
    held->line = packet->line;
    held->is_out = false;
    uint64_t fresh = numi_window_put(window, from, to, place, arrival->now_ns);
    if (window->packet_count > merge->counts.held_max)
        merge->counts.held_max = window->packet_count;
    merge->counts.ledger.messages[NUMI_MESSAGES_HELD] += fresh;
    merge->counts.ledger.frames[NUMI_FRAMES_HELD]++;
    return (int64_t)fresh;
}

static bool is_full(const struct numi_merge *merge) {
    uint32_t max = merge->options.pending_max;
    return max != 0 && merge->window.packet_count >= max;
}

/* How much of [from, to) is taken: what the window reaches, or, where as many packets are held as
 * may be, what goes out at once. */
static uint64_t limit_of(struct numi_merge *merge, uint64_t position, uint64_t from, uint64_t to) {
    widen_for(merge, position, to);
    uint64_t end = end_of_window(merge, position), limit = to < end ? to : end;
    if (NUMI_UNLIKELY(is_full(merge)) && limit > position) {
        uint64_t refused = from > position ? from : position;
        merge->counts.pending_full += numi_window_lacks(&merge->window, refused, limit);
        limit = position;
    }
    return limit < from ? from : limit;
}

/* Part of it is ahead, or something is held already. */
static int take_ahead(struct numi_merge *merge, struct arrival *arrival, struct parts *parts) {
    struct numi_window *window = &merge->window;
    uint64_t from = arrival->sequence, to = from + arrival->message_count;
    uint64_t wanted = numi_window_wanted(window);
    from = from < window->next ? window->next : from;
    uint64_t position = numi_window_position_with(window, from, to);
    uint64_t limit = limit_of(merge, position, from, to);
    parts->out = numi_window_count_lacking(window, limit, to);
    note_copies(merge, arrival, limit);
    if (numi_window_lacks(window, from, limit)) {
        int64_t fresh = hold(merge, arrival, from, limit);
        if (fresh < 0)
            return (int)fresh;
        parts->fresh = (uint64_t)fresh;
    }
    if (position > wanted)
        note_advance(merge, arrival);
    else if (from >= end_of_window(merge, position))
        note_far(merge, from, arrival->now_ns);
    return NUMI_OK;
}

static int take_messages(struct numi_merge *merge, struct arrival *arrival) {
    struct numi_window *window = &merge->window;
    uint64_t from = arrival->sequence, to = from + arrival->message_count, next = window->next;
    struct parts parts = {0};
    int code = NUMI_OK;
    if (from < next)
        parts.stale = count_stale(merge, from, to < next ? to : next);
    if (to <= next)
        note_copies(merge, arrival, to);
    else if (NUMI_LIKELY(from <= next && numi_window_is_empty(window))) {
        parts.fresh = to - next;
        note_copies(merge, arrival, to);
        pass(merge, arrival, to);
    } else
        code = take_ahead(merge, arrival, &parts);
    if (code == NUMI_OK)
        count_parts(merge, arrival, &parts);
    return code;
}

/* Heartbeats and the end of a session: what was sent below their sequence. */
static void take_control(struct numi_merge *merge, const struct arrival *arrival) {
    uint64_t position = numi_window_wanted(&merge->window);
    drop(merge, arrival);
    merge->counts.ledger.frames[NUMI_FRAMES_CONTROL]++;
    merge->has_ended |= arrival->ends_session;
    *(arrival->ends_session ? &merge->counts.ends_of_session : &merge->counts.heartbeats) += 1;
    if (arrival->sequence <= end_of_window(merge, position))
        numi_window_announce(&merge->window, arrival->sequence, arrival->now_ns);
    else
        note_far(merge, arrival->sequence, arrival->now_ns);
}

int numi_merge_take_in_session(struct numi_merge *merge, struct arrival *arrival) {
    note_line(merge, arrival->packet->line, arrival->sequence, arrival->message_count);
    if (arrival->message_count == 0) {
        take_control(merge, arrival);
        return NUMI_OK;
    }
    return take_messages(merge, arrival);
}
