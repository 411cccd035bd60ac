/* What the parts of the generator share; nobody else's business. */
#ifndef NUMI_MAKE_DAY_STATE_H
#define NUMI_MAKE_DAY_STATE_H

#include "make/day.h"
#include "make/orders.h"
#include "make/random.h"

#ifndef NUMI_CDEF

#include <string.h>

#include "wire/bytes.h"
#include "wire/itch.h"

enum numi_day_part_kind {
    NUMI_DAY_EVENT,       /* one system event, `letter` says which */
    NUMI_DAY_DIRECTORY,   /* R */
    NUMI_DAY_ACTION,      /* H: trading */
    NUMI_DAY_SHORT_SALE,  /* Y */
    NUMI_DAY_PARTICIPANT, /* L */
    NUMI_DAY_DECLINE,     /* V */
    NUMI_DAY_FLOW,
};

/* What is strewn into a part's order flow. */
enum numi_day_special { NUMI_DAY_IMBALANCE, NUMI_DAY_CROSS, NUMI_DAY_RARITY };

/* A stretch of the day. `left` counts its messages, `specials` those among them that are strewn in;
 * `letter` is the event, or the cross type. */
struct numi_day_part {
    uint64_t from_ns, to_ns;
    uint64_t left, specials;
    uint8_t kind, special;
    char letter;
};

/* So many messages between two times. */
struct numi_day_span {
    uint64_t count, from_ns, to_ns;
};

struct numi_day {
    uint8_t *at; /* where the next message goes */
    uint64_t now_ns;
    uint16_t tracking;
    struct numi_orders orders;
    struct numi_random times, kinds, picks, prices, quantities, lives, steps;
    struct numi_day_counts counts;
    uint64_t special_index; /* in this part */

    /* The flow. */
    uint64_t flow_index, flow_ramp; /* messages, and over how many the books fill */
    uint64_t live_base;             /* alive after that, beside the deep ones */
    uint32_t deep_chance;           /* of 65536, during the ramp */
    uint32_t life_middle, life_deviation, deep_middle; /* log2 of lifetimes, Q16 */
    uint64_t order_id, match_number;
    uint64_t last_trade; /* not broken yet; 0 for none */
    uint32_t last_added; /* symbol */
    uint32_t run_symbol; /* of the last execution */
    uint8_t run_side;
    uint32_t halted;
    uint32_t recent_count;
    uint32_t recent[1024]; /* orders added last, some gone since */

    /* The script. */
    uint32_t part_index, part_count;
    uint32_t span_count;
    uint32_t cross_count;
    struct numi_day_part parts[24];
    struct numi_day_span spans[64];
    uint8_t index_of[256]; /* of a type, by its letter */
};

/* The head that all messages share, for a symbol's index. */
#define NUMI_DAY_HEAD(day, symbol)                                                                 \
    .stock_locate = (uint16_t)((symbol) + 1), .tracking_number = (day)->tracking,                  \
    .timestamp = (day)->now_ns

/* The price of a level: ticks are cents. */
static inline uint32_t numi_day_price(const struct numi_orders_symbol *symbol, int32_t level) {
    return (symbol->low_tick + (uint32_t)level) * 100;
}

/* Where a symbol trades: the middle of its touch, or where that would be. */
static inline uint32_t numi_day_middle(const struct numi_day *day,
                                       const struct numi_orders_symbol *symbol) {
    if (symbol->bid < 0 || symbol->ask >= (int32_t)day->orders.level_count)
        return numi_day_price(symbol, symbol->middle);
    return (numi_day_price(symbol, symbol->bid) + numi_day_price(symbol, symbol->ask)) / 2;
}

/* Writes one message. */
static inline void numi_day_put(struct numi_day *day, uint8_t letter, const void *record) {
    uint32_t size = numi_itch_encode(letter, record, day->at + 2);
    numi_put_be16(day->at, (uint16_t)size);
    day->at += 2 + size;
    day->counts.bytes += 2 + size;
    day->counts.messages++;
    day->counts.by_type[day->index_of[letter]]++;
}

/* flow.c */
uint32_t numi_flow_symbol(struct numi_day *day); /* drawn by popularity */
uint64_t numi_flow_match(struct numi_day *day);  /* the next match number */
void numi_flow_next(struct numi_day *day);       /* one message of order flow */
void numi_flow_rarity(struct numi_day *day, uint64_t index);
void numi_flow_open(struct numi_day *day, uint64_t flow_count, uint64_t live);

/* notices.c */
void numi_notice_directory(struct numi_day *day, uint32_t symbol);
void numi_notice_action(struct numi_day *day, uint32_t symbol, char state, const char *reason);
void numi_notice_short_sale(struct numi_day *day, uint32_t symbol, char action);
void numi_notice_participant(struct numi_day *day, uint32_t symbol);
void numi_notice_decline(struct numi_day *day);
void numi_notice_breach(struct numi_day *day);
void numi_notice_event(struct numi_day *day, char code);
void numi_notice_collar(struct numi_day *day, uint32_t symbol);
void numi_notice_halt(struct numi_day *day, uint32_t symbol, char action);
void numi_notice_quoting(struct numi_day *day, uint32_t symbol);
void numi_notice_interest(struct numi_day *day, uint32_t symbol);
void numi_notice_listing(struct numi_day *day, uint32_t symbol);
void numi_notice_imbalance(struct numi_day *day, uint32_t symbol, char cross_type);
void numi_notice_cross(struct numi_day *day, uint32_t symbol, char cross_type);
const char *numi_notice_participant_name(uint32_t index); /* four letters */

#endif
#endif
