/* NASDAQ TotalView-ITCH 5.0: every message type, from one table.
 *
 * NUMI_ITCH_TYPES names the messages, NUMI_ITCH_FIELDS_<letter> their fields in the wire's order,
 * after the head that all share. From them follow the native records (struct numi_itch_A ...),
 * their NumPy dtypes, decoding, encoding and the table of fields that Python and the documentation
 * read.
 *
 * On the wire integers are unsigned and big-endian, letters padded with spaces on the right.
 * Nothing is interpreted: a price stays the wire's integer (PRICE4: 1e-4 dollars, PRICE8: 1e-8),
 * letters keep their padding. */
#ifndef NUMI_WIRE_ITCH_H
#define NUMI_WIRE_ITCH_H

#include "wire/event.h"

/* T(letter, size on the wire, word) */
#define NUMI_ITCH_TYPES(T)                                                                         \
    T(S, 12, system_event)                                                                         \
    T(R, 39, stock_directory)                                                                      \
    T(H, 25, stock_trading_action)                                                                 \
    T(Y, 20, reg_sho_restriction)                                                                  \
    T(L, 26, market_participant_position)                                                          \
    T(V, 35, mwcb_decline_level)                                                                   \
    T(W, 12, mwcb_status)                                                                          \
    T(K, 28, quoting_period_update)                                                                \
    T(J, 35, luld_auction_collar)                                                                  \
    T(h, 21, operational_halt)                                                                     \
    T(A, 36, add_order)                                                                            \
    T(F, 40, add_order_mpid)                                                                       \
    T(E, 31, order_executed)                                                                       \
    T(C, 36, order_executed_with_price)                                                            \
    T(X, 23, order_cancel)                                                                         \
    T(D, 19, order_delete)                                                                         \
    T(U, 35, order_replace)                                                                        \
    T(P, 44, trade)                                                                                \
    T(Q, 40, cross_trade)                                                                          \
    T(B, 19, broken_trade)                                                                         \
    T(I, 50, net_order_imbalance)                                                                  \
    T(N, 20, retail_price_improvement)                                                             \
    T(O, 48, direct_listing_price_discovery)

/* F(letter, kind, bytes on the wire, name) */
#define NUMI_ITCH_HEAD(F, T)                                                                       \
    F(T, U16, 2, stock_locate)                                                                     \
    F(T, U16, 2, tracking_number)                                                                  \
    F(T, U48, 6, timestamp)
#define NUMI_ITCH_FIELDS_S(F, T) F(T, ALPHA, 1, event_code)
#define NUMI_ITCH_FIELDS_R(F, T)                                                                   \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, ALPHA, 1, market_category)                                                                \
    F(T, ALPHA, 1, financial_status)                                                               \
    F(T, U32, 4, round_lot_size)                                                                   \
    F(T, ALPHA, 1, round_lots_only)                                                                \
    F(T, ALPHA, 1, issue_classification)                                                           \
    F(T, ALPHA, 2, issue_subtype)                                                                  \
    F(T, ALPHA, 1, authenticity)                                                                   \
    F(T, ALPHA, 1, short_sale_threshold)                                                           \
    F(T, ALPHA, 1, ipo_flag)                                                                       \
    F(T, ALPHA, 1, luld_reference_price_tier)                                                      \
    F(T, ALPHA, 1, etp_flag)                                                                       \
    F(T, U32, 4, etp_leverage_factor)                                                              \
    F(T, ALPHA, 1, inverse_indicator)
#define NUMI_ITCH_FIELDS_H(F, T)                                                                   \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, ALPHA, 1, trading_state)                                                                  \
    F(T, ALPHA, 1, reserved)                                                                       \
    F(T, ALPHA, 4, reason)
#define NUMI_ITCH_FIELDS_Y(F, T)                                                                   \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, ALPHA, 1, reg_sho_action)
#define NUMI_ITCH_FIELDS_L(F, T)                                                                   \
    F(T, ALPHA, 4, mpid)                                                                           \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, ALPHA, 1, primary_market_maker)                                                           \
    F(T, ALPHA, 1, market_maker_mode)                                                              \
    F(T, ALPHA, 1, market_participant_state)
#define NUMI_ITCH_FIELDS_V(F, T)                                                                   \
    F(T, PRICE8, 8, level_1)                                                                       \
    F(T, PRICE8, 8, level_2)                                                                       \
    F(T, PRICE8, 8, level_3)
#define NUMI_ITCH_FIELDS_W(F, T) F(T, ALPHA, 1, breached_level)
#define NUMI_ITCH_FIELDS_K(F, T)                                                                   \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, U32, 4, ipo_quotation_release_time)                                                       \
    F(T, ALPHA, 1, ipo_quotation_release_qualifier)                                                \
    F(T, PRICE4, 4, ipo_price)
#define NUMI_ITCH_FIELDS_J(F, T)                                                                   \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, PRICE4, 4, auction_collar_reference_price)                                                \
    F(T, PRICE4, 4, upper_auction_collar_price)                                                    \
    F(T, PRICE4, 4, lower_auction_collar_price)                                                    \
    F(T, U32, 4, auction_collar_extension)
#define NUMI_ITCH_FIELDS_h(F, T)                                                                   \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, ALPHA, 1, market_code)                                                                    \
    F(T, ALPHA, 1, operational_halt_action)
#define NUMI_ITCH_FIELDS_A(F, T)                                                                   \
    F(T, U64, 8, order_reference_number)                                                           \
    F(T, ALPHA, 1, buy_sell_indicator)                                                             \
    F(T, U32, 4, shares)                                                                           \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, PRICE4, 4, price)
#define NUMI_ITCH_FIELDS_F(F, T)                                                                   \
    NUMI_ITCH_FIELDS_A(F, T)                                                                       \
    F(T, ALPHA, 4, attribution)
#define NUMI_ITCH_FIELDS_E(F, T)                                                                   \
    F(T, U64, 8, order_reference_number)                                                           \
    F(T, U32, 4, executed_shares)                                                                  \
    F(T, U64, 8, match_number)
#define NUMI_ITCH_FIELDS_C(F, T)                                                                   \
    NUMI_ITCH_FIELDS_E(F, T)                                                                       \
    F(T, ALPHA, 1, printable)                                                                      \
    F(T, PRICE4, 4, execution_price)
#define NUMI_ITCH_FIELDS_X(F, T)                                                                   \
    F(T, U64, 8, order_reference_number)                                                           \
    F(T, U32, 4, cancelled_shares)
#define NUMI_ITCH_FIELDS_D(F, T) F(T, U64, 8, order_reference_number)
#define NUMI_ITCH_FIELDS_U(F, T)                                                                   \
    F(T, U64, 8, original_order_reference_number)                                                  \
    F(T, U64, 8, new_order_reference_number)                                                       \
    F(T, U32, 4, shares)                                                                           \
    F(T, PRICE4, 4, price)
#define NUMI_ITCH_FIELDS_P(F, T)                                                                   \
    NUMI_ITCH_FIELDS_A(F, T)                                                                       \
    F(T, U64, 8, match_number)
#define NUMI_ITCH_FIELDS_Q(F, T)                                                                   \
    F(T, U64, 8, shares)                                                                           \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, PRICE4, 4, cross_price)                                                                   \
    F(T, U64, 8, match_number)                                                                     \
    F(T, ALPHA, 1, cross_type)
#define NUMI_ITCH_FIELDS_B(F, T) F(T, U64, 8, match_number)
#define NUMI_ITCH_FIELDS_I(F, T)                                                                   \
    F(T, U64, 8, paired_shares)                                                                    \
    F(T, U64, 8, imbalance_shares)                                                                 \
    F(T, ALPHA, 1, imbalance_direction)                                                            \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, PRICE4, 4, far_price)                                                                     \
    F(T, PRICE4, 4, near_price)                                                                    \
    F(T, PRICE4, 4, current_reference_price)                                                       \
    F(T, ALPHA, 1, cross_type)                                                                     \
    F(T, ALPHA, 1, price_variation_indicator)
#define NUMI_ITCH_FIELDS_N(F, T)                                                                   \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, ALPHA, 1, interest_flag)
#define NUMI_ITCH_FIELDS_O(F, T)                                                                   \
    F(T, ALPHA, 8, stock)                                                                          \
    F(T, ALPHA, 1, open_eligibility_status)                                                        \
    F(T, PRICE4, 4, minimum_allowable_price)                                                       \
    F(T, PRICE4, 4, maximum_allowable_price)                                                       \
    F(T, PRICE4, 4, near_execution_price)                                                          \
    F(T, U64, 8, near_execution_time)                                                              \
    F(T, PRICE4, 4, lower_price_range_collar)                                                      \
    F(T, PRICE4, 4, upper_price_range_collar)

/* Native records: the message's number in its session, the receive time, then the wire's fields as
 * the machine has them. */
#define NUMI_ITCH_NATIVE_U16(name, size)            uint16_t name;
#define NUMI_ITCH_NATIVE_U32(name, size)            uint32_t name;
#define NUMI_ITCH_NATIVE_U48(name, size)            uint64_t name;
#define NUMI_ITCH_NATIVE_U64(name, size)            uint64_t name;
#define NUMI_ITCH_NATIVE_PRICE4(name, size)         uint32_t name;
#define NUMI_ITCH_NATIVE_PRICE8(name, size)         uint64_t name;
#define NUMI_ITCH_NATIVE_ALPHA(name, size)          char name[size];
#define NUMI_ITCH_NATIVE_FIELD(T, kind, size, name) NUMI_ITCH_NATIVE_##kind(name, size)
#define NUMI_ITCH_NATIVE(T, size, word)                                                            \
    struct numi_itch_##T {                                                                         \
        uint64_t sequence;                                                                         \
        int64_t rx_ns;                                                                             \
        NUMI_ITCH_HEAD(NUMI_ITCH_NATIVE_FIELD, T)                                                  \
        NUMI_ITCH_FIELDS_##T(NUMI_ITCH_NATIVE_FIELD, T)                                            \
    };
NUMI_ITCH_TYPES(NUMI_ITCH_NATIVE)

enum numi_itch_limit {
    NUMI_ITCH_TYPE_COUNT = 23,
    NUMI_ITCH_SIZE_MIN = 12,
    NUMI_ITCH_SIZE_MAX = 50,
    NUMI_ITCH_NATIVE_SIZE_MAX = 96,
    NUMI_ITCH_LOCATE_COUNT = 65536,
    NUMI_ITCH_SYMBOL_SIZE = 8,
};

enum numi_itch_kind {
    NUMI_ITCH_INTEGER,
    NUMI_ITCH_PRICE4,
    NUMI_ITCH_PRICE8,
    NUMI_ITCH_ALPHA,
    NUMI_ITCH_TIMESTAMP
};

enum numi_itch_reason {
    NUMI_ITCH_OK,
    NUMI_ITCH_EMPTY, /* no type */
    NUMI_ITCH_UNKNOWN_TYPE,
    NUMI_ITCH_BAD_LENGTH, /* not exactly the size of its type */
    NUMI_ITCH_REASON_COUNT,
};

struct numi_itch_field {
    const char *name;
    uint32_t kind; /* enum numi_itch_kind */
    uint32_t wire_offset;
    uint32_t wire_size;
    uint32_t native_offset;
};

struct numi_itch_type {
    const char *word;
    const struct numi_itch_field *fields;
    uint32_t field_count;
    uint32_t wire_size;
    uint32_t native_size;
    uint8_t letter;
    uint8_t reserved[3];
};

/* The table of a message type by its index, 0 to NUMI_ITCH_TYPE_COUNT - 1, in the order above; NULL
 * past the last. Lives for ever. */
NUMI_API const struct numi_itch_type *numi_itch_type_at(uint32_t index);

/* The index of a type letter; -1 for none. */
NUMI_API int numi_itch_index_of(uint8_t letter);

/* NUMI_ITCH_OK, or why these bytes are no message. */
NUMI_API int numi_itch_check(const uint8_t *message, uint64_t size);

/* A checked message into the native record of its type. */
NUMI_API void numi_itch_decode(const uint8_t *message, uint64_t sequence, int64_t rx_ns,
                               void *record);

/* A native record of the type `letter` into the wire's bytes, their number returned; 0 for an
 * unknown letter. */
NUMI_API uint32_t numi_itch_encode(uint8_t letter, const void *record, uint8_t *message);

NUMI_API const char *numi_itch_reason_name(uint32_t reason);

/* From messages to events: the session's instruments, and what was counted. One a session; about
 * 900 KiB, of which a day touches what its instruments need. */
struct numi_itch_decoder {
    uint64_t messages;   /* decoded */
    uint64_t rejects[4]; /* by enum numi_itch_reason */
    uint32_t instrument_count;
    uint32_t reserved;
    uint32_t instrument_of[65536]; /* by locate, plus one; 0: not seen */
    uint16_t locate_of[65536];     /* by instrument */
    char symbol_of[65536][8];      /* by instrument; spaces until a message names it */
};

NUMI_API int numi_itch_decoder_open(struct numi_itch_decoder **out);
NUMI_API void numi_itch_decoder_close(struct numi_itch_decoder *decoder);

/* Another session: it has no instruments yet. What was counted stays. */
NUMI_API void numi_itch_decoder_reset(struct numi_itch_decoder *decoder);

/* The instrument of a checked message: makes one of its locate, and keeps the symbol, where either
 * is new. */
NUMI_API uint32_t numi_itch_instrument(struct numi_itch_decoder *decoder, const uint8_t *message);

/* Decodes one message into `event` and returns 1; 0 where it is none, which is counted by reason.
 * `flags` are the stamp's bits. */
NUMI_API int numi_itch_decode_event(struct numi_itch_decoder *decoder, const uint8_t *message,
                                    uint64_t size, uint64_t sequence, int64_t rx_ns, uint16_t flags,
                                    struct numi_event *event);

/* Decodes the messages of a run of 2-byte lengths and messages (a Mold packet's blocks, a bare
 * file) until `events` is full, the bytes end or one is cut short. Returns how many events; `used`
 * how many bytes they took, `next_sequence` goes on with each message, rejected or not. */
NUMI_API int numi_itch_decode_run(struct numi_itch_decoder *decoder, const uint8_t *bytes,
                                  uint64_t size, uint64_t *used, uint64_t *next_sequence,
                                  int64_t rx_ns, uint16_t flags, struct numi_event *events,
                                  uint32_t event_max);

#endif
