/* The ledgers: what came in is what went out, by name, with no remainder.
 *
 *   frames:   received = delivered + duplicate + stale + control + held
 *                      + out_of_window + malformed + not_ours + queue_full
 *
 *   messages: carried = new + duplicate + stale + held + out_of_window
 *
 *   pool:     size = available + held + lent
 *
 * A run whose remainder is not zero has failed. What the kernel or the NIC dropped never was
 * received: it stands in rows of the port's own. `held` is a level (frames waiting now), all others
 * only grow. */
#ifndef NUMI_BASE_LEDGER_H
#define NUMI_BASE_LEDGER_H

#include "base/types.h"

#define NUMI_FRAME_ROW_LIST(X)                                                                     \
    X(RECEIVED, received)                                                                          \
    X(DELIVERED, delivered)                                                                        \
    X(DUPLICATE, duplicate)                                                                        \
    X(STALE, stale)                                                                                \
    X(CONTROL, control)                                                                            \
    X(HELD, held)                                                                                  \
    X(OUT_OF_WINDOW, out_of_window)                                                                \
    X(MALFORMED, malformed)                                                                        \
    X(NOT_OURS, not_ours)                                                                          \
    X(QUEUE_FULL, queue_full)

#define NUMI_MESSAGE_ROW_LIST(X)                                                                   \
    X(CARRIED, carried)                                                                            \
    X(NEW, new)                                                                                    \
    X(DUPLICATE, duplicate)                                                                        \
    X(STALE, stale)                                                                                \
    X(HELD, held)                                                                                  \
    X(OUT_OF_WINDOW, out_of_window)

#define NUMI_FRAME_ROW_ENUM(name, text)   NUMI_FRAMES_##name,
#define NUMI_MESSAGE_ROW_ENUM(name, text) NUMI_MESSAGES_##name,

enum numi_frame_row { NUMI_FRAME_ROW_LIST(NUMI_FRAME_ROW_ENUM) NUMI_FRAME_ROW_COUNT };
enum numi_message_row { NUMI_MESSAGE_ROW_LIST(NUMI_MESSAGE_ROW_ENUM) NUMI_MESSAGE_ROW_COUNT };

struct numi_ledger {
    uint64_t frames[10];  /* by enum numi_frame_row */
    uint64_t messages[6]; /* by enum numi_message_row */
};

struct numi_pool_ledger {
    uint64_t size;
    uint64_t available;
    uint64_t held;
    uint64_t lent;
    uint64_t misses;       /* takes that found the pool empty */
    uint64_t return_drops; /* gives refused: double, foreign */
};

/* What neither ledger explains: received minus all ways out, carried minus all ways out; 0 and 0
 * when all is well. Negative: more went out than came in. */
NUMI_API int64_t numi_ledger_check_frames(const struct numi_ledger *ledger);
NUMI_API int64_t numi_ledger_check_messages(const struct numi_ledger *ledger);
NUMI_API int64_t numi_ledger_check_pool(const struct numi_pool_ledger *ledger);

/* Adds every row, for a ledger over several threads. */
NUMI_API void numi_ledger_add(struct numi_ledger *ledger, const struct numi_ledger *from);

/* The row's word in output ("received"); NULL past the last. */
NUMI_API const char *numi_ledger_frame_row_name(uint32_t row);
NUMI_API const char *numi_ledger_message_row_name(uint32_t row);

#endif
