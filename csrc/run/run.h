/* Threads, the only ones there are: each is pinned to a core and steps one thing until it is told
 * to stop, or the thing says that it is done.
 *
 *   open(stages) -> threads step ... -> wait or stop -> counts -> close
 *
 * A step returns how much it did: 0 is an idle turn, which pauses; below 0 ends the thread with
 * that error; NUMI_RUN_DONE ends it well. `now` is the TSC in nanoseconds of the domain that is
 * told, or one constant time for schedules and captures at full speed. */
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

struct numi_run;

#ifndef NUMI_CDEF

#define NUMI_RUN_DONE INT64_MAX

struct numi_run_stage {
    int64_t (*step)(void *self, int64_t now_ns);
    void *self;
    int32_t cpu; /* NUMI_RUN_ANY_CPU: not pinned */
};

/* Starts all threads. With `clock` NULL `now` is always `now_ns`. NUMI_ERR_ARGUMENT,
 * NUMI_ERR_SYSTEM; a core that cannot be had is an error of its thread. */
int numi_run_open(struct numi_run **out, const struct numi_run_stage *stages, uint32_t stage_count,
                  const struct numi_clock *clock, uint32_t domain, int64_t now_ns);

#endif

/* A feed to the end of its ports, which know when that is (schedules, captures): one thread, or
 * with stages two. Gaps are declared at the end. `cpus` has one for each thread. */
NUMI_API int numi_run_open_feed(struct numi_run **out, struct numi_feed *feed, const int32_t *cpus,
                                uint32_t cpu_count, int64_t now_ns);

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
