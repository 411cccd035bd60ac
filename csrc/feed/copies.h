/* Copies: which lines brought a message, when, and whether they said the same.
 *
 * Of each of the last messages that were taken there is a record: a digest of its bytes, and the
 * time and the line of its first copy. A later copy is held against it. A record lies at its
 * sequence modulo their number; the message that is taken next there puts it out, and then it is
 * known which lines never brought it. */
#ifndef NUMI_FEED_COPIES_H
#define NUMI_FEED_COPIES_H

#include "base/histogram.h"
#include "base/types.h"

enum numi_copies_limit { NUMI_DISAGREEMENT_MAX = 16 };

enum numi_merge_line { NUMI_LINE_A, NUMI_LINE_B, NUMI_LINE_RECOVERY, NUMI_LINE_COUNT };

/* Two copies of a message that differ. */
struct numi_disagreement {
    uint64_t sequence;
    int64_t at_ns;
    uint32_t line; /* of the copy that came later, and counts for nothing */
    uint32_t first_line;
};

/* What a line brought. `missing` and `rescued` are known of messages whose record is out. */
struct numi_line_counts {
    uint64_t packets;  /* with messages */
    uint64_t messages; /* in them */
    uint64_t first;    /* messages of which its copy was taken */
    uint64_t second;   /* that another line had brought before, as far as records go back */
    uint64_t repeated; /* that it had brought itself before, likewise */
    uint64_t late;     /* packets behind one of the same line with greater sequences */
    uint64_t missing;  /* messages that it never brought */
    uint64_t rescued;  /* that it alone brought */
    uint64_t disagreements;
};

struct numi_copy {
    uint64_t sequence;
    uint64_t digest;
    int64_t first_ns;
    uint32_t lines; /* that brought it, a bit each; 0: no record */
    uint32_t first_line;
};

struct numi_copies {
    struct numi_copy *records;
    uint64_t mask;
    uint32_t count; /* of records, 0: none are kept */
    uint32_t unused;
    struct numi_line_counts lines[3]; /* by enum numi_merge_line */
    struct numi_histogram lag[2];     /* of second copies, ns behind the first; by line */
    struct numi_disagreement last[16];
    uint64_t disagreements; /* the last of them at (disagreements - 1) % 16 */
};

#ifndef NUMI_CDEF

/* `count` a power of two, or 0: nothing is compared. NUMI_ERR_NO_MEMORY. */
int numi_copies_open(struct numi_copies *copies, uint32_t count);
void numi_copies_close(struct numi_copies *copies);

/* All records are out: the session is over. */
void numi_copies_end(struct numi_copies *copies);

/* A message is taken: its first copy. */
void numi_copies_first(struct numi_copies *copies, uint64_t sequence, const uint8_t *message,
                       uint32_t size, uint32_t line, int64_t now_ns);

/* A further copy. Whether it differs from the first, as far as that is known. */
bool numi_copies_again(struct numi_copies *copies, uint64_t sequence, const uint8_t *message,
                       uint32_t size, uint32_t line, int64_t now_ns);

#endif
#endif
