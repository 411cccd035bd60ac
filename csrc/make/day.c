#include "make/day.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "make/day_state.h"

#define SECOND 1000000000ull

enum {
    CROSS_NOTICES = 3, /* imbalances of a symbol before each cross */
    RARITY_MIN = 17,   /* one turn of numi_flow_rarity */
};

static uint64_t clock_ns(uint64_t hour, uint64_t minute, uint64_t second) {
    return ((hour * 60 + minute) * 60 + second) * SECOND;
}

static uint64_t less(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t more(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* ---- The script. */

static struct numi_day_part *add_part(struct numi_day *day, uint8_t kind, uint64_t count,
                                      uint64_t from_ns, uint64_t to_ns) {
    struct numi_day_part *part = &day->parts[day->part_count];
    *part = (struct numi_day_part){
        .from_ns = from_ns, .to_ns = to_ns, .left = count, .kind = kind, .letter = ' '};
    day->part_count += count > 0;
    return part;
}

static void add_event(struct numi_day *day, char code, uint64_t at_ns) {
    add_part(day, NUMI_DAY_EVENT, 1, at_ns, at_ns)->letter = code;
}

static void strew(struct numi_day_part *part, uint8_t special, uint64_t count, char letter) {
    part->left += count;
    part->specials = count;
    part->special = special;
    part->letter = letter;
}

/* Before the market's own hours: what there is to trade. Returns how many messages. */
static uint64_t script_morning(struct numi_day *day, uint64_t messages) {
    uint64_t symbols = day->counts.symbols, told = less(symbols, messages / 50);
    add_event(day, 'O', clock_ns(3, 2, 0));
    add_part(day, NUMI_DAY_DIRECTORY, symbols, clock_ns(3, 5, 0), clock_ns(3, 20, 0));
    add_part(day, NUMI_DAY_DECLINE, 1, clock_ns(3, 21, 0), clock_ns(3, 21, 0));
    add_part(day, NUMI_DAY_ACTION, told, clock_ns(3, 25, 0), clock_ns(3, 30, 0));
    add_part(day, NUMI_DAY_SHORT_SALE, told, clock_ns(3, 30, 0), clock_ns(3, 35, 0));
    add_part(day, NUMI_DAY_PARTICIPANT, told, clock_ns(3, 35, 0), clock_ns(3, 50, 0));
    add_event(day, 'S', clock_ns(4, 0, 0));
    return 3 + symbols + 3 * told;
}

static struct numi_day_part *add_flow(struct numi_day *day, uint64_t flow, uint32_t thousandths,
                                      uint64_t from_ns, uint64_t to_ns) {
    struct numi_day_part *part = &day->parts[day->part_count++];
    *part =
        (struct numi_day_part){.from_ns = from_ns,
                               .to_ns = to_ns,
                               .left = flow / 1000 * thousandths + flow % 1000 * thousandths / 1000,
                               .kind = NUMI_DAY_FLOW,
                               .letter = ' '};
    return part;
}

static void script(struct numi_day *day, uint64_t messages) {
    enum { LATER_EVENTS = 4 };
    day->cross_count = (uint32_t)less(day->counts.symbols, more(2, messages / 1000));
    uint64_t notices = (uint64_t)day->cross_count * CROSS_NOTICES, crosses = day->cross_count;
    uint64_t rarities = more(messages / 1000, RARITY_MIN);
    uint64_t rest = messages - script_morning(day, messages) - LATER_EVENTS;
    uint64_t flow = rest - 2 * notices - 2 * crosses - rarities;
    uint64_t open_ns = clock_ns(9, 30, 0), close_ns = clock_ns(16, 0, 0);
    numi_flow_open(day, flow, day->counts.live);

    struct numi_day_part *first = add_flow(day, flow, 90, clock_ns(4, 0, 0), clock_ns(9, 28, 0));
    strew(add_flow(day, flow, 10, clock_ns(9, 28, 0), open_ns), NUMI_DAY_IMBALANCE, notices, 'O');
    add_event(day, 'Q', open_ns);
    strew(add_flow(day, flow, 5, open_ns, open_ns + 2 * SECOND), NUMI_DAY_CROSS, crosses, 'O');
    add_flow(day, flow, 250, open_ns + 2 * SECOND, clock_ns(10, 30, 0));
    strew(add_flow(day, flow, 380, clock_ns(10, 30, 0), clock_ns(15, 0, 0)), NUMI_DAY_RARITY,
          rarities, ' ');
    add_flow(day, flow, 130, clock_ns(15, 0, 0), clock_ns(15, 50, 0));
    strew(add_flow(day, flow, 100, clock_ns(15, 50, 0), close_ns), NUMI_DAY_IMBALANCE, notices,
          'C');
    add_event(day, 'M', close_ns);
    strew(add_flow(day, flow, 5, close_ns, close_ns + 5 * SECOND), NUMI_DAY_CROSS, crosses, 'C');
    add_flow(day, flow, 30, close_ns + 5 * SECOND, clock_ns(19, 50, 0));
    add_event(day, 'E', clock_ns(19, 59, 58));
    add_event(day, 'C', clock_ns(19, 59, 59));

    uint64_t planned = 0;
    for (uint32_t i = 0; i < day->part_count; i++)
        planned += day->parts[i].left;
    NUMI_REQUIRE(planned <= messages);
    first->left += messages - planned;
}

/* ---- The symbols. */

/* A, B ... Z, AA, AB ... */
static void name_symbol(char *name, uint32_t number) {
    char letters[8];
    int count = 0;
    for (number++; number > 0; number = (number - 1) / 26)
        letters[count++] = (char)('A' + (number - 1) % 26);
    memset(name, ' ', 8);
    for (int i = 0; i < count; i++)
        name[i] = letters[count - 1 - i];
}

/* Prices lognormal around 40 dollars, spreads mostly narrow. */
static void open_symbol(struct numi_day *day, uint32_t number) {
    struct numi_orders_symbol *symbol = &day->orders.symbols[number];
    uint32_t half = day->orders.level_count / 2;
    int64_t exponent = 783000 + numi_random_normal(&day->prices) * 94548 / 65536;
    uint64_t ticks = less(more(numi_exp2_q16(exponent), 200), 300000);
    symbol->low_tick = ticks > half ? (uint32_t)ticks - half : 1;
    symbol->home = symbol->middle = (int32_t)(ticks - symbol->low_tick);
    uint32_t spread = 1 + (uint32_t)(numi_random_halvings(&day->prices) >> 16);
    symbol->half_spread = (int32_t)less(spread, 20);
    name_symbol(symbol->name, number);
}

/* Who is how popular: places 1, 2, 3 ... dealt out, the share of place k is 1 / (k + 15)^0.95. */
static uint64_t weigh_symbols(struct numi_day *day, uint64_t *mass) {
    struct numi_orders_symbol *symbols = day->orders.symbols;
    uint32_t count = day->counts.symbols;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = numi_random_below(&day->picks, i + 1);
        symbols[i].ranked = symbols[j].ranked;
        symbols[j].ranked = i;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t weight = numi_exp2_q16((40 << 16) - numi_log2_q16(i + 16) * 62259 / 65536);
        mass[symbols[i].ranked] = weight * count;
        sum += weight;
    }
    return sum;
}

/* Places with less than the mean are filled up by the symbols that have more. */
static void deal_mass(struct numi_day *day, uint64_t *mass, uint64_t mean, uint32_t *work) {
    __extension__ typedef unsigned __int128 wide;
    struct numi_orders_share *shares = day->orders.shares;
    uint32_t count = day->counts.symbols, poor = 0, rich = count;
    for (uint32_t i = 0; i < count; i++) {
        work[mass[i] < mean ? poor++ : --rich] = i;
        shares[i] = (struct numi_orders_share){UINT32_MAX, i};
    }
    for (uint32_t at = 0; at < poor && rich < count; at++) {
        uint32_t from = work[rich], to = work[at];
        shares[to] = (struct numi_orders_share){(uint32_t)(((wide)mass[to] << 32) / mean), from};
        mass[from] -= mean - mass[to];
        if (mass[from] < mean) { /* poor == rich: its own place in the list becomes a poor one */
            poor++;
            rich++;
        }
    }
}

static int open_symbols(struct numi_day *day) {
    uint32_t count = day->counts.symbols;
    uint64_t *mass = calloc(count, sizeof *mass);
    uint32_t *work = calloc(count, sizeof *work);
    if (mass == NULL || work == NULL) {
        free(mass);
        free(work);
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a day of %u symbols", count);
    }
    for (uint32_t i = 0; i < count; i++)
        open_symbol(day, i);
    uint64_t mean = weigh_symbols(day, mass);
    deal_mass(day, mass, mean, work);
    free(mass);
    free(work);
    return NUMI_OK;
}

/* ---- Open. */

static int check_options(const struct numi_day_options *options) {
    if (options->messages < NUMI_DAY_MESSAGE_MIN || options->messages > 1ull << 40)
        return numi_error_set(NUMI_ERR_ARGUMENT, "a day of %llu messages: allowed %d to 2^40",
                              (unsigned long long)options->messages, NUMI_DAY_MESSAGE_MIN);
    if (options->symbols < 1 || options->symbols > NUMI_DAY_SYMBOL_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "a day of %u symbols: allowed 1 to %d",
                              options->symbols, NUMI_DAY_SYMBOL_MAX);
    uint64_t live_max = less(options->messages / 3, NUMI_DAY_LIVE_MAX);
    if (options->live > live_max)
        return numi_error_set(NUMI_ERR_ARGUMENT,
                              "%llu orders alive at a time: allowed at most %llu, a third of the "
                              "messages, 0 for as many as are usual",
                              (unsigned long long)options->live, (unsigned long long)live_max);
    return NUMI_OK;
}

static void open_streams(struct numi_day *day, uint64_t seed) {
    numi_random_open(&day->times, seed, "times");
    numi_random_open(&day->kinds, seed, "kinds");
    numi_random_open(&day->picks, seed, "picks");
    numi_random_open(&day->prices, seed, "prices");
    numi_random_open(&day->quantities, seed, "quantities");
    numi_random_open(&day->lives, seed, "lives");
    numi_random_open(&day->steps, seed, "steps");
}

static int open_day(struct numi_day *day, const struct numi_day_options *options) {
    for (uint32_t i = 0; i < NUMI_DAY_TYPE_COUNT; i++)
        day->index_of[numi_itch_type_at(i)->letter] = (uint8_t)i;
    day->counts.symbols = (uint32_t)less(options->symbols, options->messages / 5);
    day->counts.live = options->live;
    open_streams(day, options->seed);
    script(day, options->messages);
    day->counts.live = 0;
    uint64_t live = more(options->live, day->live_base);
    int error =
        numi_orders_open(&day->orders, day->counts.symbols, (uint32_t)(live * 9 / 8 + 4096));
    return error != 0 ? error : open_symbols(day);
}

int numi_day_open(struct numi_day **out, const struct numi_day_options *options) {
    static_assert((int)NUMI_DAY_TYPE_COUNT == (int)NUMI_ITCH_TYPE_COUNT, "a count for each type");
    int error = check_options(options);
    if (error != 0)
        return error;
    struct numi_day *day = calloc(1, sizeof *day);
    if (day == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "a day's %zu bytes", sizeof *day);
    error = open_day(day, options);
    if (error != 0) {
        numi_day_close(day);
        return error;
    }
    *out = day;
    return NUMI_OK;
}

void numi_day_close(struct numi_day *day) {
    if (day == NULL)
        return;
    numi_orders_close(&day->orders);
    free(day);
}

/* ---- One message after the other. */

/* When the next message of this part comes. A span of time is cut in two at a place that chance
 * says, again and again, half of the messages in each: bursts within bursts. */
static uint64_t next_time(struct numi_day *day) {
    struct numi_day_span span = day->spans[--day->span_count];
    while (span.count > 1) {
        uint64_t length = span.to_ns - span.from_ns;
        uint64_t share = 3277 + numi_random_below(&day->times, 58983); /* 0.05 to 0.95 */
        uint64_t cut_ns = span.from_ns + (length >> 16) * share + ((length & 0xFFFF) * share >> 16);
        uint64_t half = span.count / 2;
        day->spans[day->span_count++] =
            (struct numi_day_span){span.count - half, cut_ns, span.to_ns};
        span = (struct numi_day_span){half, span.from_ns, cut_ns};
    }
    return span.from_ns;
}

static bool begin_part(struct numi_day *day) {
    while (day->part_index < day->part_count && day->parts[day->part_index].left == 0)
        day->part_index++;
    if (day->part_index == day->part_count)
        return false;
    const struct numi_day_part *part = &day->parts[day->part_index];
    day->special_index = 0;
    day->spans[day->span_count++] = (struct numi_day_span){part->left, part->from_ns, part->to_ns};
    return true;
}

static void put_special(struct numi_day *day, const struct numi_day_part *part) {
    uint64_t index = day->special_index++;
    if (part->special == NUMI_DAY_RARITY) {
        numi_flow_rarity(day, index);
        return;
    }
    uint32_t symbol = day->orders.symbols[index % day->cross_count].ranked;
    if (part->special == NUMI_DAY_IMBALANCE)
        numi_notice_imbalance(day, symbol, part->letter);
    else
        numi_notice_cross(day, symbol, part->letter);
}

static void put_message(struct numi_day *day, struct numi_day_part *part) {
    uint32_t index = (uint32_t)day->special_index;
    day->special_index += part->kind != NUMI_DAY_FLOW;
    switch ((enum numi_day_part_kind)part->kind) {
    case NUMI_DAY_EVENT:
        numi_notice_event(day, part->letter);
        break;
    case NUMI_DAY_DIRECTORY:
        numi_notice_directory(day, index);
        break;
    case NUMI_DAY_ACTION:
        numi_notice_action(day, index, 'T', "    ");
        break;
    case NUMI_DAY_SHORT_SALE:
        numi_notice_short_sale(day, index, '0');
        break;
    case NUMI_DAY_PARTICIPANT:
        numi_notice_participant(day, index);
        break;
    case NUMI_DAY_DECLINE:
        numi_notice_decline(day);
        break;
    case NUMI_DAY_FLOW:
        if (part->specials > 0 && numi_random_below64(&day->kinds, part->left) < part->specials) {
            part->specials--;
            put_special(day, part);
        } else {
            numi_flow_next(day);
        }
        break;
    }
}

int64_t numi_day_next(struct numi_day *day, uint8_t *bytes, uint64_t size) {
    if (size < NUMI_DAY_CHUNK_MIN)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%llu bytes for messages: allowed %d or more",
                              (unsigned long long)size, NUMI_DAY_CHUNK_MIN);
    day->at = bytes;
    const uint8_t *last = bytes + size - (2 + NUMI_ITCH_SIZE_MAX);
    while (day->at <= last) {
        if (day->span_count == 0 && !begin_part(day))
            break;
        struct numi_day_part *part = &day->parts[day->part_index];
        day->now_ns = next_time(day);
        day->tracking = (uint16_t)(day->counts.messages * 40503 >> 4);
        put_message(day, part);
        part->left--;
    }
    return day->at - bytes;
}

void numi_day_count(const struct numi_day *day, struct numi_day_counts *counts) {
    *counts = day->counts;
    counts->live = day->orders.live;
}
