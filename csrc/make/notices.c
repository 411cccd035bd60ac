/* All messages that touch no order. */
#include "make/day_state.h"

#define STOCK(message, of) memcpy((message).stock, (of)->name, sizeof(message).stock)

static const struct numi_orders_symbol *symbol_of(const struct numi_day *day, uint32_t symbol) {
    return &day->orders.symbols[symbol];
}

const char *numi_notice_participant_name(uint32_t index) {
    static const char names[8][5] = {"NITE", "CDEL", "VIRT", "JSTR",
                                     "HRTX", "GSCO", "MSCO", "UBSS"};
    return names[index % 8];
}

void numi_notice_event(struct numi_day *day, char code) {
    struct numi_itch_S m = {NUMI_DAY_HEAD(day, -1), .event_code = {code}};
    numi_day_put(day, 'S', &m);
}

void numi_notice_directory(struct numi_day *day, uint32_t symbol) {
    bool fund = numi_random_chance(&day->kinds, 1, 5);
    struct numi_itch_R m = {NUMI_DAY_HEAD(day, symbol),
                            .market_category = {"QGSNPZ"[numi_random_below(&day->kinds, 6)]},
                            .financial_status = {'N'},
                            .round_lot_size = 100,
                            .round_lots_only = {'N'},
                            .issue_classification = {fund ? 'Q' : 'C'},
                            .issue_subtype = {fund ? 'E' : 'Z', ' '},
                            .authenticity = {'P'},
                            .short_sale_threshold = {'N'},
                            .ipo_flag = {numi_random_chance(&day->kinds, 1, 500) ? 'Y' : 'N'},
                            .luld_reference_price_tier = {fund ? '1' : '2'},
                            .etp_flag = {fund ? 'Y' : 'N'},
                            .etp_leverage_factor = fund,
                            .inverse_indicator = {'N'}};
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'R', &m);
}

void numi_notice_action(struct numi_day *day, uint32_t symbol, char state, const char *reason) {
    struct numi_itch_H m = {NUMI_DAY_HEAD(day, symbol), .trading_state = {state},
                            .reserved = {' '}};
    STOCK(m, symbol_of(day, symbol));
    memcpy(m.reason, reason, sizeof m.reason);
    numi_day_put(day, 'H', &m);
}

void numi_notice_short_sale(struct numi_day *day, uint32_t symbol, char action) {
    struct numi_itch_Y m = {NUMI_DAY_HEAD(day, symbol), .reg_sho_action = {action}};
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'Y', &m);
}

void numi_notice_participant(struct numi_day *day, uint32_t symbol) {
    struct numi_itch_L m = {NUMI_DAY_HEAD(day, symbol),
                            .primary_market_maker = {"YN"[numi_random_below(&day->kinds, 2)]},
                            .market_maker_mode = {'N'}, .market_participant_state = {'A'}};
    memcpy(m.mpid, numi_notice_participant_name(numi_random_below(&day->kinds, 8)), sizeof m.mpid);
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'L', &m);
}

void numi_notice_decline(struct numi_day *day) {
    uint64_t index = 450000000000u + numi_random_below(&day->kinds, 1u << 31) * 16ull; /* 1e-8 */
    struct numi_itch_V m = {NUMI_DAY_HEAD(day, -1), .level_1 = index / 100 * 93,
                            .level_2 = index / 100 * 87, .level_3 = index / 100 * 80};
    numi_day_put(day, 'V', &m);
}

void numi_notice_breach(struct numi_day *day) {
    struct numi_itch_W m = {NUMI_DAY_HEAD(day, -1), .breached_level = {'1'}};
    numi_day_put(day, 'W', &m);
}

void numi_notice_collar(struct numi_day *day, uint32_t symbol) {
    uint32_t price = numi_day_middle(day, symbol_of(day, symbol)) / 100 * 100;
    struct numi_itch_J m = {NUMI_DAY_HEAD(day, symbol), .auction_collar_reference_price = price,
                            .upper_auction_collar_price = price + price / 20,
                            .lower_auction_collar_price = price - price / 20,
                            .auction_collar_extension = numi_random_below(&day->kinds, 4)};
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'J', &m);
}

void numi_notice_halt(struct numi_day *day, uint32_t symbol, char action) {
    struct numi_itch_h m = {NUMI_DAY_HEAD(day, symbol), .market_code = {'Q'},
                            .operational_halt_action = {action}};
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'h', &m);
}

void numi_notice_quoting(struct numi_day *day, uint32_t symbol) {
    struct numi_itch_K m = {NUMI_DAY_HEAD(day, symbol),
                            .ipo_quotation_release_time =
                                (uint32_t)(day->now_ns / 1000000000) + 900,
                            .ipo_quotation_release_qualifier = {'A'},
                            .ipo_price = numi_day_middle(day, symbol_of(day, symbol))};
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'K', &m);
}

void numi_notice_interest(struct numi_day *day, uint32_t symbol) {
    struct numi_itch_N m = {NUMI_DAY_HEAD(day, symbol),
                            .interest_flag = {"BSAN"[numi_random_below(&day->kinds, 4)]}};
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'N', &m);
}

void numi_notice_listing(struct numi_day *day, uint32_t symbol) {
    uint32_t price = numi_day_middle(day, symbol_of(day, symbol)) / 100 * 100;
    struct numi_itch_O m = {NUMI_DAY_HEAD(day, symbol),
                            .open_eligibility_status = {"NY"[numi_random_below(&day->kinds, 2)]},
                            .minimum_allowable_price = price - price / 5,
                            .maximum_allowable_price = price + price / 5 * 4,
                            .near_execution_price = price,
                            .near_execution_time = day->now_ns,
                            .lower_price_range_collar = price - price / 10,
                            .upper_price_range_collar = price + price / 10};
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'O', &m);
}

void numi_notice_imbalance(struct numi_day *day, uint32_t symbol, char cross_type) {
    uint32_t price = numi_day_middle(day, symbol_of(day, symbol)) / 100 * 100;
    uint32_t direction = numi_random_below(&day->kinds, 4);
    uint32_t amount = numi_random_below(&day->quantities, 20000);
    struct numi_itch_I m = {
        NUMI_DAY_HEAD(day, symbol),
        .paired_shares = numi_random_below(&day->quantities, 500000),
        .imbalance_shares = direction < 2 ? amount + 1 : 0,
        .imbalance_direction = {"BSNO"[direction]},
        .far_price = price + 100 * numi_random_below(&day->prices, 5),
        .near_price = price + 100 * numi_random_below(&day->prices, 3),
        .current_reference_price = price,
        .cross_type = {cross_type},
        .price_variation_indicator = {"L123 "[numi_random_below(&day->kinds, 5)]}};
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'I', &m);
}

void numi_notice_cross(struct numi_day *day, uint32_t symbol, char cross_type) {
    struct numi_itch_Q m = {NUMI_DAY_HEAD(day, symbol),
                            .shares = 100ull * numi_random_below(&day->quantities, 5000),
                            .cross_price = numi_day_middle(day, symbol_of(day, symbol)) / 100 * 100,
                            .match_number = numi_flow_match(day), .cross_type = {cross_type}};
    STOCK(m, symbol_of(day, symbol));
    numi_day_put(day, 'Q', &m);
}
