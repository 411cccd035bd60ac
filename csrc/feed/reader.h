/* The reader: from a capture file to events or native records, in the file's order.
 *
 *   capture -> packet -> MoldUDP64 -> messages -> events, or a row in the array of its type
 *   bare file ---------------------> messages ->
 *
 * One line, as it was recorded: nothing is merged, nothing reordered (feed/merge does that). Memory
 * does not grow with the file. What is not a whole message is counted by reason, in a ledger that
 * closes; only a file that contradicts itself is an error. */
#ifndef NUMI_FEED_READER_H
#define NUMI_FEED_READER_H

#include "base/ledger.h"
#include "disk/capture.h"
#include "wire/itch.h"
#include "wire/mold.h"
#include "wire/packet.h"

struct numi_reader_counts {
    struct numi_ledger ledger;  /* frames and messages of packets; a bare file has messages only */
    uint64_t packet_reasons[6]; /* by enum numi_packet_reason; [0] is UDP datagrams */
    uint64_t mold_reasons[4];   /* by enum numi_mold_reason; [0] is whole packets */
    uint64_t heartbeats;
    uint64_t ends_of_session;
    uint64_t sessions; /* changes of the session's name, the first included */
    uint64_t missing;  /* sequences jumped over */
    uint64_t repeated; /* messages at or below a sequence already seen in their session */
    uint64_t rejected; /* messages that are none: the decoder counts them by reason */
};

/* Where records of one type go. */
struct numi_reader_column {
    void *records;
    uint32_t record_max;
    uint32_t record_count;
};

struct numi_reader;

/* All that numi_capture_open fails with. */
NUMI_API int numi_reader_open(struct numi_reader **out, const char *path);
NUMI_API void numi_reader_close(struct numi_reader *reader);

/* The next events, at most `event_max`; 0 at the end of the file. NUMI_ERR_CORRUPT with offset and
 * reason, after the events before it. */
NUMI_API int numi_reader_events(struct numi_reader *reader, struct numi_event *events,
                                uint32_t event_max);

/* The next messages as native records, each appended to its type's column (NUMI_ITCH_TYPE_COUNT of
 * them, in the order of NUMI_ITCH_TYPES), until `message_max` were read or one column has no room
 * for the next. Returns how many were read, 0 at the end; at least 1 while there are more and every
 * column has room. */
NUMI_API int numi_reader_records(struct numi_reader *reader, struct numi_reader_column *columns,
                                 uint32_t message_max);

/* Valid until the reader is closed; their content until the next call. */
NUMI_API const struct numi_reader_counts *numi_reader_counts(const struct numi_reader *reader);
NUMI_API const struct numi_itch_decoder *numi_reader_decoder(const struct numi_reader *reader);
NUMI_API const struct numi_capture *numi_reader_capture(const struct numi_reader *reader);

/* The receive time of the first packet, UTC since 1970; 0 where there is none (a bare file). */
NUMI_API int64_t numi_reader_first_ns(const struct numi_reader *reader);

#endif
