/* The reader: from capture files to events or native records.
 *
 *   capture -> packet -> MoldUDP64 -----------> messages -> events, or a row in its type's array
 *   capture -> packet -> MoldUDP64 -> merge --> messages ->
 *   bare file --------------------------------> messages ->
 *
 * numi_reader_open reads one line as it was recorded, nothing merged, nothing reordered.
 * numi_reader_open_lines puts one or two lines together (feed/merge.h): every message once, in
 * order, in the order of arrival over both; what neither has is a declared gap, one event of kind
 * 0. Files are then read twice, first for their headers, so that a gap is known when it is reached
 * and memory does not grow with the file; pipes cannot be, and packets behind a gap are held to the
 * end.
 *
 * A session is what was sent under one name. Each begins with no instruments, in a call of its own:
 * what the decoder knows is true of all that the last call handed out.
 *
 * What is not a whole message is counted by reason, in a ledger that closes; only a file that
 * contradicts itself is an error. */
#ifndef NUMI_FEED_READER_H
#define NUMI_FEED_READER_H

#include "base/ledger.h"
#include "disk/capture.h"
#include "feed/merge.h"
#include "wire/itch.h"
#include "wire/mold.h"
#include "wire/packet.h"

struct numi_reader_counts {
    struct numi_ledger ledger;  /* frames and messages of packets; a bare file has messages only */
    uint64_t packet_reasons[6]; /* by enum numi_packet_reason; [0] is UDP datagrams */
    uint64_t mold_reasons[4];   /* by enum numi_mold_reason; [0] is whole packets */
    uint64_t heartbeats;
    uint64_t ends_of_session;
    uint64_t sessions;       /* that messages or gaps were handed out of; none in a bare file */
    uint64_t missing;        /* sequences jumped over; of merged lines, in declared gaps */
    uint64_t repeated;       /* messages at or below a sequence already seen in their session */
    uint64_t gaps;           /* declared; only of merged lines */
    uint64_t rejected;       /* messages that are none: the decoder counts them by reason */
    uint64_t first_rejected; /* the sequence of the first of them */
};

/* Columns of numi_reader_records: one a type, in the order of NUMI_ITCH_TYPES, and that of declared
 * gaps. */
enum numi_reader_limit {
    NUMI_READER_GAPS = NUMI_ITCH_TYPE_COUNT,
    NUMI_READER_COLUMN_COUNT,
};

/* Where records of one type go; declared gaps as events of kind 0. */
struct numi_reader_column {
    void *records;
    uint32_t record_max;
    uint32_t record_count;
};

struct numi_reader;

/* All that numi_capture_open fails with. */
NUMI_API int numi_reader_open(struct numi_reader **out, const char *path);

/* The same for the lines of one feed, merged: one or two captures. A single bare file is read as
 * numi_reader_open does; one of two is NUMI_ERR_ARGUMENT. */
NUMI_API int numi_reader_open_lines(struct numi_reader **out, const char *const *paths,
                                    uint32_t path_count);
NUMI_API void numi_reader_close(struct numi_reader *reader);

/* The next events of one session, at most `event_max`; 0 at the end of the file. NUMI_ERR_CORRUPT
 * with offset and reason, after the events before it. */
NUMI_API int numi_reader_events(struct numi_reader *reader, struct numi_event *events,
                                uint32_t event_max);

/* The next messages of one session as native records, each appended to its column, until
 * `message_max` were read or one column has no room for the next. Returns how many were read, gaps
 * not among them, 0 at the end; at least 1 while there are more and every column has room. */
NUMI_API int numi_reader_records(struct numi_reader *reader, struct numi_reader_column *columns,
                                 uint32_t message_max);

/* Valid until the reader is closed; their content until the next call. */
NUMI_API const struct numi_reader_counts *numi_reader_counts(const struct numi_reader *reader);
NUMI_API const struct numi_itch_decoder *numi_reader_decoder(const struct numi_reader *reader);

/* The capture of a line, from 0 on; NULL past the last. */
NUMI_API const struct numi_capture *numi_reader_capture(const struct numi_reader *reader,
                                                        uint32_t line);

/* The receive time of the first packet, UTC since 1970; 0 where there is none (a bare file). */
NUMI_API int64_t numi_reader_first_ns(const struct numi_reader *reader);

#endif
