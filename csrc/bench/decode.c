#include "bench/decode.h"

#include "base/clock.h"
#include "wire/bytes.h"

static uint64_t read_order(const uint8_t *message) {
    return numi_be64(message + 11);
}

/* What the message says, added up so that no read can be left out. */
static uint64_t read_fields(const uint8_t *message) {
    switch (message[0]) {
    case 'A':
    case 'F':
        return read_order(message) + message[19] + numi_be32(message + 20) +
               numi_be32(message + 32);
    case 'E':
        return read_order(message) + numi_be32(message + 19) + numi_be64(message + 23);
    case 'C':
        return read_order(message) + numi_be32(message + 19) + numi_be64(message + 23) +
               numi_be32(message + 32);
    case 'X':
        return read_order(message) + numi_be32(message + 19);
    case 'D':
        return read_order(message);
    case 'U':
        return read_order(message) + numi_be64(message + 19) + numi_be32(message + 27) +
               numi_be32(message + 31);
    case 'P':
        return read_order(message) + message[19] + numi_be32(message + 20) +
               numi_be32(message + 32) + numi_be64(message + 36);
    default:
        return message[0];
    }
}

uint64_t numi_bench_probe_itch(const uint8_t *bytes, uint64_t size, uint64_t *messages) {
    const uint8_t *at = bytes, *const end = bytes + size;
    uint64_t sum = 0, count = 0, begin = numi_ticks_fenced();
    while (end - at >= 2 && end - at - 2 >= numi_be16(at)) {
        const uint8_t *message = at + 2;
        at = message + numi_be16(at);
        sum += read_fields(message) + numi_be16(message + 1) + numi_be48(message + 5);
        count++;
    }
    uint64_t spent = numi_ticks_fenced() - begin;
    __asm__ __volatile__("" ::"r"(sum));
    *messages = count;
    return spent;
}

uint64_t numi_bench_decode_itch(const uint8_t *bytes, uint64_t size, struct numi_event *events,
                                uint32_t event_max, uint64_t *messages) {
    struct numi_itch_decoder *decoder;
    *messages = 0;
    if (numi_itch_decoder_open(&decoder) != 0)
        return 0;
    uint64_t at = 0, used = 0, sequence = 1, begin = numi_ticks_fenced();
    do {
        numi_itch_decode_run(decoder, bytes + at, size - at, &used, &sequence, 0, 0, events,
                             event_max);
        at += used;
    } while (used > 0);
    uint64_t spent = numi_ticks_fenced() - begin;
    *messages = decoder->messages;
    numi_itch_decoder_close(decoder);
    return spent;
}

uint64_t numi_bench_whole_size(const uint8_t *bytes, uint64_t size) {
    const uint8_t *at = bytes, *const end = bytes + size;
    while (end - at >= 2 && end - at - 2 >= numi_be16(at))
        at += 2 + numi_be16(at);
    return (uint64_t)(at - bytes);
}
