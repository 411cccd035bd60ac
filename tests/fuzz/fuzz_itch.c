/* The first byte says how many events a piece of the run may bring, less one; the rest is a run of
 * 2-byte lengths and messages.
 *
 * The run decoded in one go, in pieces, and message by message from memory that ends with the
 * message: the same events, rejects, sequences, and bytes used. A checked message comes back from
 * its native record byte for byte. */
#include "fuzz.h"

#include "base/error.h"
#include "wire/bytes.h"
#include "wire/itch.h"

enum { FIRST_SEQUENCE = 1000, RX_NS = -77, FLAGS = 0x42, PIECE_MAX = 9 };

struct outcome {
    struct numi_itch_decoder *decoder;
    struct numi_event *events;
    uint32_t count;
    uint64_t used;
    uint64_t sequence;
};

static struct outcome whole, pieces, single;

/* A decoder is large: it is kept, and forgets what it has met. */
static void begin(struct outcome *outcome, size_t size) {
    struct numi_itch_decoder *decoder = outcome->decoder;
    if (decoder == NULL)
        MUST(numi_itch_decoder_open(&decoder) == NUMI_OK);
    for (uint32_t i = 0; i < decoder->instrument_count; i++) {
        decoder->instrument_of[decoder->locate_of[i]] = 0;
        decoder->locate_of[i] = 0;
        memset(decoder->symbol_of[i], ' ', sizeof decoder->symbol_of[i]);
    }
    decoder->instrument_count = 0;
    decoder->messages = 0;
    memset(decoder->rejects, 0, sizeof decoder->rejects);
    *outcome = (struct outcome){.decoder = decoder, .sequence = FIRST_SEQUENCE};
    outcome->events = calloc(size / 2 + 1, sizeof *outcome->events); /* no message is shorter */
    MUST(outcome->events != NULL);
}

static void round_trip(const uint8_t *message, uint64_t size) {
    const struct numi_itch_type *type = numi_itch_type_at((uint32_t)numi_itch_index_of(message[0]));
    MUST(type != NULL && type->letter == message[0] && type->wire_size == size);
    uint8_t *record = malloc(type->native_size), *encoded = malloc(size);
    MUST(record != NULL && encoded != NULL);
    numi_itch_decode(message, 5, -6, record);
    struct numi_itch_S head;
    memcpy(&head, record, offsetof(struct numi_itch_S, event_code));
    MUST(head.sequence == 5 && head.rx_ns == -6);
    MUST(numi_itch_encode(message[0], record, encoded) == size);
    MUST(memcmp(encoded, message, size) == 0);
    free(record);
    free(encoded);
}

static void judge_message(const uint8_t *data, uint64_t size) {
    uint8_t *message = exactly(data, size);
    int reason = numi_itch_check(message, size);
    MUST((reason == NUMI_ITCH_EMPTY) == (size == 0));
    if (reason == NUMI_ITCH_OK)
        round_trip(message, size);
    else if (reason == NUMI_ITCH_UNKNOWN_TYPE)
        MUST(numi_itch_index_of(message[0]) < 0 && numi_itch_encode(message[0], NULL, NULL) == 0);
    struct numi_event *event = &single.events[single.count];
    int got = numi_itch_decode_event(single.decoder, message, size, single.sequence++, RX_NS, FLAGS,
                                     event);
    MUST(got == (reason == NUMI_ITCH_OK));
    MUST(got == 0 || numi_itch_instrument(single.decoder, message) == event->instrument);
    single.count += (uint32_t)got;
    free(message);
}

static void run_single(const uint8_t *data, size_t size) {
    while (size - single.used >= 2) {
        uint64_t length = numi_be16(data + single.used);
        if (size - single.used - 2 < length)
            break;
        judge_message(data + single.used + 2, length);
        single.used += 2 + length;
    }
}

static void run_pieces(const uint8_t *data, size_t size, uint32_t event_max) {
    struct numi_event *events = malloc(event_max * sizeof *events);
    MUST(events != NULL);
    for (uint32_t got = event_max; got == event_max;) {
        uint64_t used;
        got = (uint32_t)numi_itch_decode_run(pieces.decoder, data + pieces.used, size - pieces.used,
                                             &used, &pieces.sequence, RX_NS, FLAGS, events,
                                             event_max);
        MUST(got <= event_max && used <= size - pieces.used);
        memcpy(pieces.events + pieces.count, events, got * sizeof *events);
        pieces.count += got;
        pieces.used += used;
    }
    free(events);
}

static void judge_same(const struct outcome *other) {
    const struct numi_itch_decoder *one = whole.decoder, *two = other->decoder;
    MUST(whole.count == other->count && whole.used == other->used);
    MUST(whole.sequence == other->sequence);
    MUST(memcmp(whole.events, other->events, whole.count * sizeof *whole.events) == 0);
    MUST(one->messages == two->messages && one->messages == whole.count);
    MUST(memcmp(one->rejects, two->rejects, sizeof one->rejects) == 0);
    MUST(one->instrument_count == two->instrument_count);
    for (uint32_t i = 0; i < one->instrument_count; i++) {
        MUST(one->locate_of[i] == two->locate_of[i]);
        MUST(memcmp(one->symbol_of[i], two->symbol_of[i], sizeof one->symbol_of[i]) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    uint32_t event_max = 1 + input_byte(&input) % PIECE_MAX;
    uint8_t *run = exactly(input.at, input.left);
    begin(&whole, input.left);
    begin(&pieces, input.left);
    begin(&single, input.left);
    whole.count =
        (uint32_t)numi_itch_decode_run(whole.decoder, run, input.left, &whole.used, &whole.sequence,
                                       RX_NS, FLAGS, whole.events, (uint32_t)input.left / 2 + 1);
    run_pieces(run, input.left, event_max);
    run_single(run, input.left);
    judge_same(&pieces);
    judge_same(&single);
    const uint64_t *rejects = whole.decoder->rejects;
    MUST(whole.sequence - FIRST_SEQUENCE == whole.count + rejects[NUMI_ITCH_EMPTY] +
                                                rejects[NUMI_ITCH_UNKNOWN_TYPE] +
                                                rejects[NUMI_ITCH_BAD_LENGTH]);
    free(whole.events);
    free(pieces.events);
    free(single.events);
    free(run);
    return 0;
}
