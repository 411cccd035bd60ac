#include "feed/window.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"

enum {
    FIRST_ROOM = 64,
    EMPTY_ISLANDS = 64, /* gaps beside those that have a packet behind them */
};

/* ---- Memory. */

static int no_memory(uint64_t room) {
    return numi_error_set(NUMI_ERR_NO_MEMORY, "window: %llu packets held",
                          (unsigned long long)room);
}

static int widen(void **memory, uint32_t *room, uint64_t wanted, uint64_t size) {
    void *wider = wanted < UINT32_MAX ? realloc(*memory, wanted * size) : NULL;
    if (wider == NULL)
        return no_memory(wanted);
    *memory = wider;
    *room = (uint32_t)wanted;
    return NUMI_OK;
}

/* For so many packets, by the sums of the header. */
static int make_memory(struct numi_window *window, uint64_t packets) {
    int code = widen((void **)&window->packets, &window->packet_room, packets + 1,
                     sizeof *window->packets);
    if (code == NUMI_OK)
        code = widen((void **)&window->pieces, &window->piece_room, 2 * packets + 1,
                     sizeof *window->pieces);
    if (code == NUMI_OK)
        code = widen((void **)&window->gaps, &window->gap_room, 2 * packets + 2 * EMPTY_ISLANDS,
                     sizeof *window->gaps);
    return code;
}

int numi_window_open(struct numi_window *window, uint32_t packet_max) {
    *window = (struct numi_window){.packet_max = packet_max == 0 ? UINT32_MAX : packet_max};
    int code = make_memory(window, packet_max == 0 ? FIRST_ROOM : packet_max);
    if (code != NUMI_OK)
        numi_window_close(window);
    else
        numi_window_begin(window, 0);
    return code;
}

void numi_window_close(struct numi_window *window) {
    free(window->packets);
    free(window->pieces);
    free(window->gaps);
    *window = (struct numi_window){0};
}

void numi_window_begin(struct numi_window *window, uint64_t sequence) {
    NUMI_REQUIRE(window->packet_count == 0);
    window->next = window->top = sequence;
    window->ready = (struct numi_island){0};
    window->first_gap = window->gap_count = 0;
    window->piece_used = window->packet_used = 1; /* 0 is none */
    window->free_piece = window->free_packet = 0;
}

/* ---- Packets and pieces. */

int64_t numi_window_make_room(struct numi_window *window) {
    if (NUMI_UNLIKELY(window->packet_count >= window->packet_max))
        return 0;
    if (NUMI_UNLIKELY(window->packet_count + 1 >= window->packet_room)) {
        int code = make_memory(window, 2ull * window->packet_room);
        if (code != NUMI_OK)
            return code;
    }
    return 1;
}

struct numi_held *numi_window_hold(struct numi_window *window, uint32_t *place) {
    uint32_t packet = window->free_packet;
    if (packet != 0)
        window->free_packet = window->packets[packet].pieces;
    else
        packet = window->packet_used++;
    window->packet_count++;
    *place = packet;
    return &window->packets[packet];
}

void numi_window_let_go(struct numi_window *window, uint32_t packet) {
    window->packets[packet].payload = NULL;
    window->packets[packet].pieces = window->free_packet;
    window->free_packet = packet;
    window->packet_count--;
}

static uint32_t make_piece(struct numi_window *window, uint64_t from, uint64_t to,
                           uint32_t packet) {
    uint32_t piece = window->free_piece;
    if (piece != 0)
        window->free_piece = window->pieces[piece].next;
    else
        piece = window->piece_used++;
    NUMI_REQUIRE(piece < window->piece_room);
    window->pieces[piece] =
        (struct numi_piece){.sequence = from, .count = (uint32_t)(to - from), .packet = packet};
    window->packets[packet].pieces++;
    return piece;
}

/* What was held for long is in no cache any more. */
static void look_ahead(const struct numi_window *window) {
    uint32_t second = window->ready.first == 0 ? 0 : window->pieces[window->ready.first].next;
    if (second != 0)
        __builtin_prefetch(window->packets[window->pieces[second].packet].payload);
}

struct numi_piece numi_window_pop(struct numi_window *window) {
    uint32_t number = window->ready.first;
    struct numi_piece piece = window->pieces[number];
    window->ready.first = piece.next;
    window->pieces[number].next = window->free_piece;
    window->free_piece = number;
    window->packets[piece.packet].pieces--;
    window->next = piece.sequence + piece.count;
    look_ahead(window);
    return piece;
}

/* ---- Islands. */

/* Pieces of one packet that follow one another are one: gaps that only announcements parted do not
 * make more pieces than the sums of the header allow. */
static bool fuse(struct numi_window *window, uint32_t last, uint32_t first) {
    struct numi_piece *one = &window->pieces[last], *other = &window->pieces[first];
    if (one->packet != other->packet)
        return false;
    one->count += other->count;
    one->next = other->next;
    other->next = window->free_piece;
    window->free_piece = first;
    window->packets[one->packet].pieces--;
    return true;
}

static void join(struct numi_window *window, struct numi_island *island, struct numi_island more) {
    if (more.first == 0)
        return;
    if (island->first == 0) {
        *island = more;
        return;
    }
    if (!fuse(window, island->last, more.first))
        window->pieces[island->last].next = more.first;
    else if (more.first == more.last)
        return;
    island->last = more.last;
}

static struct numi_island island_of(uint32_t piece) {
    return (struct numi_island){piece, piece};
}

static struct numi_island *island_before(struct numi_window *window, uint32_t gap) {
    return gap == 0 ? &window->ready : &numi_window_gap(window, gap - 1)->island;
}

/* ---- Gaps. */

/* The first gap that ends behind `at`. */
static uint32_t find_gap(const struct numi_window *window, uint64_t at) {
    uint32_t low = 0, high = window->gap_count;
    if (high > 0 && numi_window_gap(window, high - 1)->range.to <= at)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (numi_window_gap(window, middle)->range.to <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool numi_window_lacks(const struct numi_window *window, uint64_t from, uint64_t to) {
    if (from >= to || to > window->top)
        return from < to;
    uint32_t gap = find_gap(window, from);
    return gap < window->gap_count && numi_window_gap(window, gap)->range.from < to;
}

uint64_t numi_window_count_lacking(const struct numi_window *window, uint64_t from, uint64_t to) {
    uint64_t count = to > window->top ? to - (from > window->top ? from : window->top) : 0;
    for (uint32_t at = find_gap(window, from); at < window->gap_count; at++) {
        struct numi_gap range = numi_window_gap(window, at)->range;
        if (range.from >= to)
            break;
        count += (to < range.to ? to : range.to) - (from > range.from ? from : range.from);
    }
    return count;
}

uint64_t numi_window_position_with(const struct numi_window *window, uint64_t from, uint64_t to) {
    for (uint32_t at = 0; at < window->gap_count; at++) {
        struct numi_gap range = numi_window_gap(window, at)->range;
        if (from > range.from || to <= range.from)
            return range.from;
        if (to < range.to)
            return to;
    }
    return from <= window->top && to > window->top ? to : window->top;
}

static void insert_gap(struct numi_window *window, uint32_t at, struct numi_window_gap gap) {
    if (window->first_gap + window->gap_count == window->gap_room) {
        NUMI_REQUIRE(window->first_gap > 0);
        memmove(window->gaps, numi_window_gap(window, 0), window->gap_count * sizeof *window->gaps);
        window->first_gap = 0;
    }
    struct numi_window_gap *place = numi_window_gap(window, at);
    memmove(place + 1, place, (window->gap_count - at) * sizeof *place);
    *place = gap;
    window->gap_count++;
}

static void remove_gap(struct numi_window *window, uint32_t at) {
    window->gap_count--;
    if (at == 0) {
        window->first_gap = window->gap_count == 0 ? 0 : window->first_gap + 1;
        return;
    }
    struct numi_window_gap *place = numi_window_gap(window, at);
    memmove(place, place + 1, (window->gap_count - at) * sizeof *place);
}

/* [from, to) lies within a gap. Returns how many gaps there are now in its place. */
static uint32_t fill(struct numi_window *window, uint32_t at, uint64_t from, uint64_t to,
                     uint32_t packet) {
    struct numi_window_gap *gap = numi_window_gap(window, at);
    struct numi_island island = island_of(make_piece(window, from, to, packet));
    bool from_start = from == gap->range.from, to_end = to == gap->range.to;
    if (to_end) {
        join(window, &island, gap->island);
        gap->island = (struct numi_island){0};
    }
    if (from_start) {
        join(window, island_before(window, at), island);
        gap->range.from = to;
        if (to_end)
            remove_gap(window, at);
        return !to_end;
    }
    if (to_end) {
        gap->island = island;
        gap->range.to = from;
        return 1;
    }
    struct numi_window_gap left = {{gap->range.from, from, gap->range.known_ns}, island};
    gap->range.from = to;
    insert_gap(window, at, left);
    return 2;
}

/* [from, to) lies behind all. */
static void append(struct numi_window *window, uint64_t from, uint64_t to, uint32_t packet,
                   int64_t now_ns) {
    struct numi_island island = island_of(make_piece(window, from, to, packet));
    if (from > window->top)
        insert_gap(window, window->gap_count,
                   (struct numi_window_gap){{window->top, from, now_ns}, island});
    else
        join(window, island_before(window, window->gap_count), island);
    window->top = to;
}

uint64_t numi_window_put(struct numi_window *window, uint64_t from, uint64_t to, uint32_t packet,
                         int64_t now_ns) {
    uint64_t fresh = 0;
    uint32_t at = find_gap(window, from);
    while (at < window->gap_count && numi_window_gap(window, at)->range.from < to) {
        struct numi_gap range = numi_window_gap(window, at)->range;
        uint64_t low = from > range.from ? from : range.from, high = to < range.to ? to : range.to;
        at += fill(window, at, low, high, packet);
        fresh += high - low;
    }
    if (to > window->top) {
        uint64_t low = from > window->top ? from : window->top;
        append(window, low, to, packet, now_ns);
        fresh += to - low;
    }
    return fresh;
}

/* Room for a gap that has no packet behind it. */
static bool has_room_for_empty(const struct numi_window *window) {
    return window->gap_count < window->gap_room / 2;
}

void numi_window_announce(struct numi_window *window, uint64_t to, int64_t now_ns) {
    if (to <= window->top || !has_room_for_empty(window))
        return;
    insert_gap(window, window->gap_count, (struct numi_window_gap){{window->top, to, now_ns}, {0}});
    window->top = to;
}

struct numi_gap numi_window_declare(struct numi_window *window) {
    struct numi_window_gap gap = *numi_window_gap(window, 0);
    NUMI_CHECK(window->ready.first == 0 && gap.range.from == window->next);
    window->ready = gap.island;
    window->next = gap.range.to;
    remove_gap(window, 0);
    return gap.range;
}

struct numi_gap numi_window_jump(struct numi_window *window, uint64_t to) {
    NUMI_REQUIRE(window->packet_count == 0);
    struct numi_gap gap = {.from = window->next, .to = to};
    window->next = window->top = to;
    window->first_gap = window->gap_count = 0;
    return gap;
}

/* Cuts a gap in two at a sequence inside it; false without room. */
static bool cut(struct numi_window *window, uint32_t at, uint64_t sequence) {
    if (!has_room_for_empty(window))
        return false;
    struct numi_window_gap left = *numi_window_gap(window, at);
    left.range.to = sequence;
    left.island = (struct numi_island){0};
    numi_window_gap(window, at)->range.from = sequence;
    insert_gap(window, at, left);
    return true;
}

void numi_window_give_up(struct numi_window *window, uint64_t from, uint64_t to) {
    for (uint32_t at = find_gap(window, from); at < window->gap_count; at++) {
        struct numi_gap range = numi_window_gap(window, at)->range;
        if (range.from >= to)
            break;
        if (range.from < from) {
            if (!cut(window, at, from))
                break;
            continue;
        }
        if (range.to > to && !cut(window, at, to))
            break;
        numi_window_gap(window, at)->range.known_ns = INT64_MIN;
    }
}
