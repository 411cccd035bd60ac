/* Threads, the only ones there are: each is pinned to a core and steps one thing until it is told
 * to stop, or the thing says that it is done.
 *
 *   open(stages) -> threads step ... -> wait or stop -> counts -> close
 *
 * A step returns how much it did: 0 is an idle turn, which pauses; below 0 ends the thread with
 * that error, and the others after the step they are in; NUMI_RUN_DONE ends it well. Time is told
 * by struct numi_run_time: a clock's, a clock's moved to where a schedule begins (recorded pace),
 * or one that stands (full speed). */
#ifndef NUMI_RUN_RUN_H
#define NUMI_RUN_RUN_H

#include "base/clock.h"
#include "feed/feed.h"

enum numi_run_limit {
    NUMI_RUN_STAGE_MAX = 16,
    NUMI_RUN_ANY_CPU = -1,
};

struct numi_run_counts {
    uint64_t steps;
    uint64_t busy; /* steps that did something */
    uint64_t done; /* what they did, summed up */
    int32_t cpu;   /* that it was pinned to, or NUMI_RUN_ANY_CPU */
    int32_t code;  /* NUMI_OK, or the error that ended it */
    bool has_ended;
};

/* What `now` is in a step. */
struct numi_run_time {
    const struct numi_clock *clock; /* by the TSC alone; NULL: `now` is always `ns` */
    int64_t ns;                     /* added to what the clock says */
    uint32_t domain;                /* of the clock, enum numi_domain */
    uint32_t reserved;
};

struct numi_run;

#ifndef NUMI_CDEF

#define NUMI_RUN_DONE INT64_MAX

struct numi_run_stage {
    int64_t (*step)(void *self, int64_t now_ns);
    void *self;
    int32_t cpu; /* NUMI_RUN_ANY_CPU: not pinned */
};

/* Starts all threads. NUMI_ERR_ARGUMENT, NUMI_ERR_SYSTEM; a core that cannot be had is an error of
 * its thread. */
int numi_run_open(struct numi_run **out, const struct numi_run_stage *stages, uint32_t stage_count,
                  const struct numi_run_time *time);

#endif

/* A feed in threads: the whole of it, or with stages front and back; then recovery, which is
 * stepped off the hot core. */
struct numi_run_feed {
    struct numi_feed *feed;
    struct numi_recovery *recovery;      /* NULL: none, or stepped by somebody else */
    struct numi_request_carry *requests; /* NULL: nothing is asked for */
    struct numi_soup_carry *session;     /* NULL: no session is replayed */
    struct numi_soup_client *client;
    const int32_t *cpus; /* one for each thread, in this order */
    uint32_t cpu_count;
    uint32_t reserved;
    struct numi_run_time time;
};

/* Runs to the end of the ports, where they know it (schedules, captures), or until it is stopped.
 * Where time stands that is when nothing is left to do; with a clock, when nothing will ever happen
 * by itself. Gaps are declared at the end. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY, NUMI_ERR_SYSTEM.
 */
NUMI_API int numi_run_open_feed(struct numi_run **out, const struct numi_run_feed *what);

/* Tells all threads to end after the step they are in. */
NUMI_API void numi_run_stop(struct numi_run *run);

/* 1 when every thread has ended; 0 after `timeout_ns` without. */
NUMI_API int numi_run_wait(struct numi_run *run, int64_t timeout_ns);

NUMI_API uint32_t numi_run_stages(const struct numi_run *run);

/* A stage by number; exact once it has ended. */
NUMI_API void numi_run_counts(const struct numi_run *run, uint32_t stage,
                              struct numi_run_counts *counts);

/* Stops, and waits for the threads to end. */
NUMI_API void numi_run_close(struct numi_run *run);

#endif
