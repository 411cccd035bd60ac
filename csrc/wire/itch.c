#include "wire/itch.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "wire/bytes.h"

/* ---- The wire's layout, of single bytes, so that the compiler counts the offsets. */

#define WIRE_FIELD(T, kind, size, name) uint8_t name[size];
#define WIRE_STRUCT(T, size, word)                                                                 \
    struct wire_##T {                                                                              \
        uint8_t message_type[1];                                                                   \
        NUMI_ITCH_HEAD(WIRE_FIELD, T)                                                              \
        NUMI_ITCH_FIELDS_##T(WIRE_FIELD, T)                                                        \
    };                                                                                             \
    static_assert(sizeof(struct wire_##T) == (size), "the size that the specification says");      \
    static_assert(sizeof(struct numi_itch_##T) <= NUMI_ITCH_NATIVE_SIZE_MAX, "fits a buffer");
NUMI_ITCH_TYPES(WIRE_STRUCT)

/* ---- The table of fields. */

#define KIND_U16    NUMI_ITCH_INTEGER
#define KIND_U32    NUMI_ITCH_INTEGER
#define KIND_U48    NUMI_ITCH_TIMESTAMP
#define KIND_U64    NUMI_ITCH_INTEGER
#define KIND_PRICE4 NUMI_ITCH_PRICE4
#define KIND_PRICE8 NUMI_ITCH_PRICE8
#define KIND_ALPHA  NUMI_ITCH_ALPHA
#define TABLE_FIELD(T, kind, size, name)                                                           \
    {#name, KIND_##kind, offsetof(struct wire_##T, name), size,                                    \
     offsetof(struct numi_itch_##T, name)},
#define TABLE_FIELDS(T, size, word)                                                                \
    static const struct numi_itch_field fields_##T[] = {NUMI_ITCH_HEAD(TABLE_FIELD, T)             \
                                                            NUMI_ITCH_FIELDS_##T(TABLE_FIELD, T)};
NUMI_ITCH_TYPES(TABLE_FIELDS)

#define TABLE_TYPE(T, size, word)                                                                  \
    {#word,                                                                                        \
     fields_##T,                                                                                   \
     sizeof fields_##T / sizeof fields_##T[0],                                                     \
     size,                                                                                         \
     sizeof(struct numi_itch_##T),                                                                 \
     (uint8_t)(#T)[0],                                                                             \
     {0}},
static const struct numi_itch_type types[] = {NUMI_ITCH_TYPES(TABLE_TYPE)};
static_assert(sizeof types / sizeof types[0] == NUMI_ITCH_TYPE_COUNT, "every type has an index");

const struct numi_itch_type *numi_itch_type_at(uint32_t index) {
    return index < NUMI_ITCH_TYPE_COUNT ? &types[index] : NULL;
}

/* ---- Native records. */

#define GET_U16(to, from, size)        (to) = numi_be16(from)
#define GET_U32(to, from, size)        (to) = numi_be32(from)
#define GET_U48(to, from, size)        (to) = numi_be48(from)
#define GET_U64(to, from, size)        (to) = numi_be64(from)
#define GET_PRICE4(to, from, size)     (to) = numi_be32(from)
#define GET_PRICE8(to, from, size)     (to) = numi_be64(from)
#define GET_ALPHA(to, from, size)      memcpy(to, from, size)
#define PUT_U16(from, to, size)        numi_put_be16(to, from)
#define PUT_U32(from, to, size)        numi_put_be32(to, from)
#define PUT_U48(from, to, size)        numi_put_be48(to, from)
#define PUT_U64(from, to, size)        numi_put_be64(to, from)
#define PUT_PRICE4(from, to, size)     numi_put_be32(to, from)
#define PUT_PRICE8(from, to, size)     numi_put_be64(to, from)
#define PUT_ALPHA(from, to, size)      memcpy(to, from, size)
#define GET_FIELD(T, kind, size, name) GET_##kind(native->name, wire->name, size);
#define PUT_FIELD(T, kind, size, name) PUT_##kind(native->name, wire->name, size);

#define DECODE_AND_ENCODE(T, wire_size, word)                                                      \
    static void decode_##T(const struct wire_##T *wire, struct numi_itch_##T *native) {            \
        NUMI_ITCH_HEAD(GET_FIELD, T)                                                               \
        NUMI_ITCH_FIELDS_##T(GET_FIELD, T)                                                         \
    }                                                                                              \
    static void encode_##T(const struct numi_itch_##T *native, struct wire_##T *wire) {            \
        wire->message_type[0] = (uint8_t)(#T)[0];                                                  \
        NUMI_ITCH_HEAD(PUT_FIELD, T)                                                               \
        NUMI_ITCH_FIELDS_##T(PUT_FIELD, T)                                                         \
    }
NUMI_ITCH_TYPES(DECODE_AND_ENCODE)

/* The letters as indices: what a switch can be over. */
enum index {
#define INDEX_OF(T, size, word) INDEX_##T,
    NUMI_ITCH_TYPES(INDEX_OF)
};

/* What the fast paths need of a type, by its letter. */
struct shape {
    uint8_t size; /* on the wire; 0: no such type */
    uint8_t index;
    /* Where the event's fields end in the message, and how wide they are: eight bytes are read up
     * to the end and the ones before the field masked off, so that no read leaves the message. A
     * field that the type lacks has the mask 0. */
    uint8_t order_end, price_end, quantity_end, aux_end;
    uint8_t side_at;      /* 0 without: the type letter itself, which no_side then hides */
    uint8_t printable_at; /* likewise */
    uint8_t no_side;      /* 0xFF where the type names no side */
    uint8_t hides_volume; /* 1 where a printable of N counts */
    uint8_t stock_at;     /* 0 without */
    uint8_t unused[5];
    uint64_t order_mask, price_mask, quantity_mask, aux_mask;
} NUMI_ALIGNED(64);

static struct shape shapes[256];
static uint8_t side_of[256]; /* by the wire's letter */

static uint64_t mask_of(uint32_t size) {
    return size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;
}

static const struct numi_itch_field *find_field(const struct numi_itch_type *type,
                                                const char *name) {
    for (uint32_t i = 0; i < type->field_count; i++)
        if (strcmp(type->fields[i].name, name) == 0)
            return &type->fields[i];
    return NULL;
}

/* The first of `names` that the type has; the list says which of the wire's fields go where in an
 * event. */
static void place_field(const struct numi_itch_type *type, const char *const *names, uint8_t *end,
                        uint64_t *mask) {
    enum { ANYWHERE = 8 };
    *end = ANYWHERE;
    *mask = 0;
    for (; *names != NULL && *mask == 0; names++) {
        const struct numi_itch_field *field = find_field(type, *names);
        if (field != NULL) {
            *end = (uint8_t)(field->wire_offset + field->wire_size);
            *mask = mask_of(field->wire_size);
        }
    }
}

static uint8_t offset_of(const struct numi_itch_type *type, const char *name) {
    const struct numi_itch_field *field = find_field(type, name);
    return field == NULL ? 0 : (uint8_t)field->wire_offset;
}

static const char *const order_names[] = {"order_reference_number",
                                          "original_order_reference_number", NULL};
static const char *const price_names[] = {"price",
                                          "execution_price",
                                          "cross_price",
                                          "current_reference_price",
                                          "ipo_price",
                                          "auction_collar_reference_price",
                                          "near_execution_price",
                                          NULL};
static const char *const quantity_names[] = {"shares", "executed_shares", "cancelled_shares",
                                             "paired_shares", NULL};
static const char *const aux_names[] = {"match_number", "new_order_reference_number", NULL};

static void shape_type(uint8_t index, const struct numi_itch_type *type) {
    struct shape *shape = &shapes[type->letter];
    shape->size = (uint8_t)type->wire_size;
    shape->index = index;
    place_field(type, order_names, &shape->order_end, &shape->order_mask);
    place_field(type, price_names, &shape->price_end, &shape->price_mask);
    place_field(type, quantity_names, &shape->quantity_end, &shape->quantity_mask);
    place_field(type, aux_names, &shape->aux_end, &shape->aux_mask);
    shape->side_at = offset_of(type, "buy_sell_indicator");
    shape->no_side = shape->side_at == 0 ? NUMI_SIDE_NONE : 0;
    shape->printable_at = offset_of(type, "printable");
    shape->hides_volume = shape->printable_at != 0;
    shape->stock_at = offset_of(type, "stock");
}

__attribute__((constructor)) static void make_shapes(void) {
    memset(side_of, NUMI_SIDE_NONE, sizeof side_of);
    side_of['B'] = NUMI_SIDE_BID;
    side_of['S'] = NUMI_SIDE_ASK;
    for (uint8_t index = 0; index < NUMI_ITCH_TYPE_COUNT; index++)
        shape_type(index, &types[index]);
}

int numi_itch_index_of(uint8_t letter) {
    return shapes[letter].size == 0 ? -1 : shapes[letter].index;
}

int numi_itch_check(const uint8_t *message, uint64_t size) {
    if (size == 0)
        return NUMI_ITCH_EMPTY;
    uint8_t wanted = shapes[message[0]].size;
    if (wanted == 0)
        return NUMI_ITCH_UNKNOWN_TYPE;
    return size == wanted ? NUMI_ITCH_OK : NUMI_ITCH_BAD_LENGTH;
}

void numi_itch_decode(const uint8_t *message, uint64_t sequence, int64_t rx_ns, void *record) {
    switch ((enum index)shapes[message[0]].index) {
#define DECODE_TYPE(T, size, word)                                                                 \
    case INDEX_##T: {                                                                              \
        struct numi_itch_##T *native = record;                                                     \
        memset(native, 0, sizeof *native);                                                         \
        decode_##T((const struct wire_##T *)message, native);                                      \
        native->sequence = sequence;                                                               \
        native->rx_ns = rx_ns;                                                                     \
        break;                                                                                     \
    }
        NUMI_ITCH_TYPES(DECODE_TYPE)
    }
}

uint32_t numi_itch_encode(uint8_t letter, const void *record, uint8_t *message) {
    if (shapes[letter].size == 0)
        return 0;
    switch ((enum index)shapes[letter].index) {
#define ENCODE_TYPE(T, size, word)                                                                 \
    case INDEX_##T:                                                                                \
        encode_##T((const struct numi_itch_##T *)record, (struct wire_##T *)message);              \
        break;
        NUMI_ITCH_TYPES(ENCODE_TYPE)
    }
    return shapes[letter].size;
}

const char *numi_itch_reason_name(uint32_t reason) {
    static const char *const names[NUMI_ITCH_REASON_COUNT] = {"ok", "empty", "unknown_type",
                                                              "bad_length"};
    return reason < NUMI_ITCH_REASON_COUNT ? names[reason] : "unknown";
}

/* ---- Events. */

/* instrument_of holds the index plus one; the sign bit says that no message has named the symbol
 * yet. */
#define UNNAMED 0x80000000u

int numi_itch_decoder_open(struct numi_itch_decoder **out) {
    struct numi_itch_decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "itch decoder: %zu bytes", sizeof *decoder);
    memset(decoder->symbol_of, ' ', sizeof decoder->symbol_of);
    *out = decoder;
    return NUMI_OK;
}

void numi_itch_decoder_reset(struct numi_itch_decoder *decoder) {
    for (uint32_t i = 0; i < decoder->instrument_count; i++)
        decoder->instrument_of[decoder->locate_of[i]] = 0;
    memset(decoder->symbol_of, ' ', sizeof *decoder->symbol_of * decoder->instrument_count);
    decoder->instrument_count = 0;
}

void numi_itch_decoder_close(struct numi_itch_decoder *decoder) {
    free(decoder);
}

/* A locate that is new, or whose symbol no message has named yet. */
__attribute__((noinline, cold)) static uint32_t meet(struct numi_itch_decoder *decoder,
                                                     const uint8_t *message,
                                                     const struct shape *shape, uint16_t locate) {
    uint32_t known = decoder->instrument_of[locate];
    if (known == 0) {
        decoder->locate_of[decoder->instrument_count] = locate;
        known = ++decoder->instrument_count | UNNAMED;
    }
    uint32_t index = (known & ~UNNAMED) - 1;
    if (shape->stock_at != 0) {
        memcpy(decoder->symbol_of[index], message + shape->stock_at, NUMI_ITCH_SYMBOL_SIZE);
        known &= ~UNNAMED;
    }
    decoder->instrument_of[locate] = known;
    return index;
}

static inline uint32_t instrument_of(struct numi_itch_decoder *decoder, const uint8_t *message,
                                     const struct shape *shape) {
    uint16_t locate = numi_be16(message + 1);
    uint32_t known = decoder->instrument_of[locate];
    return NUMI_LIKELY((int32_t)known > 0) ? known - 1 : meet(decoder, message, shape, locate);
}

uint32_t numi_itch_instrument(struct numi_itch_decoder *decoder, const uint8_t *message) {
    return instrument_of(decoder, message, &shapes[message[0]]);
}

static inline uint64_t field_ending_at(const uint8_t *message, uint8_t end, uint64_t mask) {
    return numi_be64(message + end - 8) & mask;
}

/* No branch on the type: types come in no order that a predictor could learn, tables cost less than
 * its mistakes. */
static inline void decode(struct numi_itch_decoder *decoder, const struct shape *shape,
                          const uint8_t *message, uint64_t sequence, int64_t rx_ns, uint16_t flags,
                          struct numi_event *event) {
    event->instrument = instrument_of(decoder, message, shape);
    event->sequence = sequence;
    event->order = field_ending_at(message, shape->order_end, shape->order_mask);
    event->price = (int64_t)field_ending_at(message, shape->price_end, shape->price_mask);
    event->quantity = field_ending_at(message, shape->quantity_end, shape->quantity_mask);
    event->aux = field_ending_at(message, shape->aux_end, shape->aux_mask);
    event->exchange_ns = numi_be64(message + 3) & mask_of(6);
    event->rx_ns = rx_ns;
    event->kind = message[0];
    event->side = side_of[message[shape->side_at]] | shape->no_side;
    event->flags = flags;
    if (NUMI_UNLIKELY(shape->hides_volume) && message[shape->printable_at] == 'N')
        event->flags |= NUMI_EVENT_NOT_PRINTABLE;
}

int numi_itch_decode_event(struct numi_itch_decoder *decoder, const uint8_t *message, uint64_t size,
                           uint64_t sequence, int64_t rx_ns, uint16_t flags,
                           struct numi_event *event) {
    int reason = numi_itch_check(message, size);
    if (NUMI_UNLIKELY(reason != NUMI_ITCH_OK)) {
        decoder->rejects[reason]++;
        return 0;
    }
    decode(decoder, &shapes[message[0]], message, sequence, rx_ns, flags, event);
    decoder->messages++;
    return 1;
}

int numi_itch_decode_run(struct numi_itch_decoder *decoder, const uint8_t *bytes, uint64_t size,
                         uint64_t *used, uint64_t *next_sequence, int64_t rx_ns, uint16_t flags,
                         struct numi_event *events, uint32_t event_max) {
    const uint8_t *at = bytes, *const end = bytes + size;
    struct numi_event *event = events, *const events_end = events + event_max;
    uint64_t sequence = *next_sequence;
    while (event < events_end && end - at >= 2) {
        uint64_t message_size = numi_be16(at), there = (uint64_t)(end - at) - 2;
        const uint8_t *message = at + 2;
        /* An empty one wraps around, and is told apart from one that is cut short below. */
        if (NUMI_LIKELY(message_size - 1 < there)) {
            const struct shape *shape = &shapes[message[0]];
            if (NUMI_LIKELY(shape->size == message_size)) {
                decode(decoder, shape, message, sequence++, rx_ns, flags, event++);
                at = message + message_size;
                continue;
            }
        }
        if (message_size > there)
            break;
        decoder->rejects[numi_itch_check(message, message_size)]++;
        at = message + message_size;
        sequence++;
    }
    uint64_t count = (uint64_t)(event - events);
    decoder->messages += count;
    *used = (uint64_t)(at - bytes);
    *next_sequence = sequence;
    return (int)count;
}
