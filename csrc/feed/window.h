/* The window: what came ahead of a gap and waits for it, and the gaps.
 *
 *   next                                                       top
 *    |  ready  |  gap 0  | island 0 |  gap 1  |    island 1    |
 *    |#########|         |##|#######|         |#####|####|#####|  ------> sequences
 *
 * Held packets are cut into pieces: messages in a row that no packet had brought before. Pieces
 * that follow one another are an island, a list. A gap has the island behind it; an island is empty
 * where a gap was only announced, or where one ends that was given up in part. So to hold, to fill
 * and to hand out take as long whatever is held; only a gap in the middle is searched for.
 *
 * Sums: every gap of the first kind has a held packet behind it. No two packets take turns twice
 * (the one that came first has all of its messages in a row), so n packets make at most 2 n - 1
 * pieces. */
#ifndef NUMI_FEED_WINDOW_H
#define NUMI_FEED_WINDOW_H

#include "feed/gap.h"

/* A packet that is held. */
struct numi_held {
    const uint8_t *payload;
    uint64_t sequence; /* of its first message */
    int64_t rx_ns;
    uint32_t size;
    uint32_t frame;  /* of the pool; of no meaning for a copy */
    uint32_t pieces; /* that wait; of a free place, which has no payload, the next free one */
    uint16_t flags;
    uint16_t count; /* messages */
    uint8_t line;
    bool is_out; /* a piece of it is */
};

struct numi_piece {
    uint64_t sequence;
    uint32_t count;  /* messages */
    uint32_t packet; /* its place */
    uint32_t next;   /* of its island, or of the free ones; 0: none */
};

struct numi_island {
    uint32_t first; /* piece, 0: empty */
    uint32_t last;
};

struct numi_window_gap {
    struct numi_gap range;
    struct numi_island island;
};

struct numi_window {
    uint64_t next; /* the sequence that the output goes on with */
    uint64_t top;  /* behind all that is held or announced */
    struct numi_island ready;
    struct numi_window_gap *gaps; /* from `first_gap` on */
    uint32_t first_gap;
    uint32_t gap_count;
    uint32_t gap_room;
    uint32_t piece_used;
    uint32_t piece_room;
    uint32_t free_piece;
    uint32_t packet_used;
    uint32_t packet_room;
    uint32_t free_packet;
    uint32_t packet_count;
    uint32_t packet_max; /* UINT32_MAX: unbounded, and memory grows */
    struct numi_piece *pieces;
    struct numi_held *packets;
};

#ifndef NUMI_CDEF

/* For at most `packet_max` packets; 0: for as many as there is memory. NUMI_ERR_NO_MEMORY. */
int numi_window_open(struct numi_window *window, uint32_t packet_max);
void numi_window_close(struct numi_window *window);

/* Begins anew at a sequence; nothing is held. */
void numi_window_begin(struct numi_window *window, uint64_t sequence);

static inline bool numi_window_is_empty(const struct numi_window *window) {
    return (window->gap_count | window->ready.first) == 0;
}

static inline struct numi_window_gap *numi_window_gap(const struct numi_window *window,
                                                      uint32_t index) {
    return &window->gaps[window->first_gap + index];
}

/* Where what nobody has brought yet begins. */
static inline uint64_t numi_window_wanted(const struct numi_window *window) {
    return window->gap_count > 0 ? numi_window_gap(window, 0)->range.from : window->top;
}

/* Whether something of [from, to) is neither held nor out. */
bool numi_window_lacks(const struct numi_window *window, uint64_t from, uint64_t to);

/* How many of [from, to) are neither held nor out. */
uint64_t numi_window_count_lacking(const struct numi_window *window, uint64_t from, uint64_t to);

/* Where the output would stand if [from, to) came, and nothing else. */
uint64_t numi_window_position_with(const struct numi_window *window, uint64_t from, uint64_t to);

/* Room for one packet more: 1, 0 where `packet_max` are held, NUMI_ERR_NO_MEMORY. */
int64_t numi_window_make_room(struct numi_window *window);

/* Takes the place that there is room for, to be filled in; its number through `place`. */
struct numi_held *numi_window_hold(struct numi_window *window, uint32_t *place);

/* What of [from, to) nobody has brought is the packet's; returns how many messages that are. */
uint64_t numi_window_put(struct numi_window *window, uint64_t from, uint64_t to, uint32_t packet,
                         int64_t now_ns);

/* All below `to` was sent, whether it came or not. */
void numi_window_announce(struct numi_window *window, uint64_t to, int64_t now_ns);

/* Takes the next piece that is ready; its packet's `pieces` are one less. The bytes of the one
 * after the next are on their way. */
struct numi_piece numi_window_pop(struct numi_window *window);

/* The packet has no pieces any more: its place is free. */
void numi_window_let_go(struct numi_window *window, uint32_t packet);

/* The first gap will not be filled: returns it, and what waited for it is ready. */
struct numi_gap numi_window_declare(struct numi_window *window);

/* With nothing held: nothing below `to` will come. */
struct numi_gap numi_window_jump(struct numi_window *window, uint64_t to);

/* [from, to) will not come: its gaps are due. */
void numi_window_give_up(struct numi_window *window, uint64_t from, uint64_t to);

#endif
#endif
