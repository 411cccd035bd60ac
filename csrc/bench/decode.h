/* Decoding against a bare probe: the C side of benches/decode.py.
 *
 * Both walk the same bytes in memory, messages behind lengths of 2 bytes. The probe reads every
 * field and switches on the type, as a decoder must, but writes nothing: the floor. */
#ifndef NUMI_BENCH_DECODE_H
#define NUMI_BENCH_DECODE_H

#include "wire/itch.h"

/* Returns the ticks it took, the number of messages through `messages`. */
NUMI_API uint64_t numi_bench_probe_itch(const uint8_t *bytes, uint64_t size, uint64_t *messages);

/* The same with numi_itch_decode_run into `events`, again and again. */
NUMI_API uint64_t numi_bench_decode_itch(const uint8_t *bytes, uint64_t size,
                                         struct numi_event *events, uint32_t event_max,
                                         uint64_t *messages);

/* How many of the bytes are whole messages. */
NUMI_API uint64_t numi_bench_whole_size(const uint8_t *bytes, uint64_t size);

#endif
