#include "run/run.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core.h"
#include "base/error.h"

/* What a thread counts, on lines of its own: others look at it now and then. */
struct thread {
    struct numi_run *run;
    struct numi_run_stage stage;
    pthread_t id;
    _Atomic uint64_t steps;
    _Atomic uint64_t busy;
    _Atomic uint64_t done;
    _Atomic int32_t code;
    _Atomic bool has_ended;
} NUMI_ALIGNED(NUMI_SHARING_SIZE);

struct numi_run {
    struct numi_run_time time;
    uint32_t thread_count;
    void *owned; /* freed at the end */
    _Atomic bool is_stopping;
    struct thread threads[];
};

static int64_t now_of(const struct numi_run *run) {
    const struct numi_run_time *time = &run->time;
    return time->clock == NULL ? time->ns : time->ns + numi_clock_now(time->clock, time->domain);
}

static inline void add(_Atomic uint64_t *count, uint64_t more) {
    /* One thread writes: no read-modify-write is needed. */
    uint64_t known = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, known + more, memory_order_relaxed);
}

static void step_until_done(struct thread *thread) {
    const struct numi_run *run = thread->run;
    while (!atomic_load_explicit(&run->is_stopping, memory_order_relaxed)) {
        int64_t done = thread->stage.step(thread->stage.self, now_of(run));
        add(&thread->steps, 1);
        if (done == NUMI_RUN_DONE)
            return;
        if (done < 0) {
            atomic_store(&thread->code, (int32_t)done);
            return;
        }
        if (done == 0)
            numi_pause();
        add(&thread->busy, done > 0);
        add(&thread->done, (uint64_t)done);
    }
}

static void *run_thread(void *argument) {
    struct thread *thread = argument;
    int code = thread->stage.cpu == NUMI_RUN_ANY_CPU ? NUMI_OK
                                                     : numi_core_pin((uint32_t)thread->stage.cpu);
    if (code < 0)
        atomic_store(&thread->code, code);
    else
        step_until_done(thread);
    if (atomic_load(&thread->code) < 0)
        numi_run_stop(thread->run); /* the others would wait for it */
    atomic_store(&thread->has_ended, true);
    return NULL;
}

static int start(struct numi_run *run, const struct numi_run_stage *stage) {
    struct thread *thread = &run->threads[run->thread_count];
    thread->run = run;
    thread->stage = *stage;
    int number = pthread_create(&thread->id, NULL, run_thread, thread);
    if (number != 0)
        return numi_error_set(NUMI_ERR_SYSTEM, "a thread: %s", strerror(number));
    run->thread_count++;
    return NUMI_OK;
}

static int open_run(struct numi_run **out, uint32_t stage_count) {
    uint64_t size = sizeof **out + stage_count * sizeof(struct thread);
    *out = NULL;
    if (stage_count == 0 || stage_count > NUMI_RUN_STAGE_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%u stages: allowed are 1 to %d", stage_count,
                              NUMI_RUN_STAGE_MAX);
    struct numi_run *run = aligned_alloc(NUMI_SHARING_SIZE, numi_round_up(size, NUMI_SHARING_SIZE));
    if (run == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "threads");
    memset(run, 0, size);
    *out = run;
    return NUMI_OK;
}

static int start_all(struct numi_run **out, const struct numi_run_stage *stages,
                     uint32_t stage_count) {
    int code = NUMI_OK;
    for (uint32_t i = 0; i < stage_count && code == NUMI_OK; i++)
        code = start(*out, &stages[i]);
    if (code == NUMI_OK)
        return NUMI_OK;
    numi_run_close(*out);
    *out = NULL;
    return code;
}

int numi_run_open(struct numi_run **out, const struct numi_run_stage *stages, uint32_t stage_count,
                  const struct numi_run_time *time) {
    int code = open_run(out, stage_count);
    if (code != NUMI_OK)
        return code;
    (*out)->time = *time;
    return start_all(out, stages, stage_count);
}

void numi_run_stop(struct numi_run *run) {
    atomic_store(&run->is_stopping, true);
}

int numi_run_wait(struct numi_run *run, int64_t timeout_ns) {
    const struct timespec turn = {.tv_nsec = 100000};
    for (int64_t waited = 0;; waited += turn.tv_nsec) {
        uint32_t ended = 0;
        for (uint32_t i = 0; i < run->thread_count; i++)
            ended += atomic_load(&run->threads[i].has_ended);
        if (ended == run->thread_count || waited >= timeout_ns)
            return ended == run->thread_count;
        nanosleep(&turn, NULL);
    }
}

uint32_t numi_run_stages(const struct numi_run *run) {
    return run->thread_count;
}

void numi_run_counts(const struct numi_run *run, uint32_t stage, struct numi_run_counts *counts) {
    const struct thread *thread = &run->threads[stage];
    *counts = (struct numi_run_counts){
        .steps = atomic_load_explicit(&thread->steps, memory_order_relaxed),
        .busy = atomic_load_explicit(&thread->busy, memory_order_relaxed),
        .done = atomic_load_explicit(&thread->done, memory_order_relaxed),
        .cpu = thread->stage.cpu,
        .code = atomic_load(&thread->code),
        .has_ended = atomic_load(&thread->has_ended),
    };
}

void numi_run_close(struct numi_run *run) {
    if (run == NULL)
        return;
    numi_run_stop(run);
    for (uint32_t i = 0; i < run->thread_count; i++)
        pthread_join(run->threads[i].id, NULL);
    free(run->owned);
    free(run);
}

/* ---- A feed to its end. */

struct feed_run {
    struct numi_run_feed what;
    bool is_flushed;              /* the front's */
    _Atomic bool front_has_ended; /* told to the others */
};

enum { FRAMES_A_STEP = 4096 };

/* Nothing is left to do now. Where nothing will ever be, the ports are at their end: gaps are
 * declared, and then it is done. */
static int64_t flush_or_end(struct feed_run *self) {
    struct numi_feed *feed = self->what.feed;
    if (self->what.time.clock != NULL && numi_feed_due(feed) != INT64_MAX)
        return 0;
    if (self->is_flushed)
        return NUMI_RUN_DONE;
    numi_feed_flush(feed);
    self->is_flushed = true;
    return 0;
}

static int64_t step_whole(void *argument, int64_t now_ns) {
    struct feed_run *self = argument;
    int64_t done = numi_feed_step(self->what.feed, now_ns, FRAMES_A_STEP);
    if (done == 0)
        done = flush_or_end(self);
    atomic_store_explicit(&self->front_has_ended, done == NUMI_RUN_DONE, memory_order_relaxed);
    return done;
}

static int64_t step_front(void *argument, int64_t now_ns) {
    struct feed_run *self = argument;
    int64_t done = numi_feed_step_front(self->what.feed, now_ns, FRAMES_A_STEP);
    if (done != 0 || numi_feed_front_waits(self->what.feed))
        return done;
    done = flush_or_end(self);
    atomic_store(&self->front_has_ended, done == NUMI_RUN_DONE);
    return done;
}

static int64_t step_back(void *argument, int64_t now_ns) {
    struct feed_run *self = argument;
    (void)now_ns;
    bool has_ended = atomic_load(&self->front_has_ended); /* before the look into the ring */
    int64_t done = numi_feed_step_back(self->what.feed);
    return done == 0 && has_ended ? NUMI_RUN_DONE : done;
}

static int64_t step_recovery(void *argument, int64_t now_ns) {
    struct feed_run *self = argument;
    const struct numi_run_feed *what = &self->what;
    if (atomic_load(&self->front_has_ended))
        return NUMI_RUN_DONE;
    int64_t asked = numi_recovery_step(what->recovery, what->requests, now_ns);
    int64_t replayed =
        what->session == NULL || asked < 0
            ? 0
            : numi_recovery_step_session(what->recovery, what->session, what->client, now_ns);
    return asked < 0 || replayed < 0 ? (asked < 0 ? asked : replayed) : asked + replayed;
}

static uint32_t stages_of(const struct numi_run_feed *what, struct feed_run *self,
                          struct numi_run_stage stages[3]) {
    uint32_t count = 0;
    bool is_staged = numi_feed_is_staged(what->feed);
    stages[count++] = (struct numi_run_stage){is_staged ? step_front : step_whole, self, 0};
    if (is_staged)
        stages[count++] = (struct numi_run_stage){step_back, self, 0};
    if (what->recovery != NULL)
        stages[count++] = (struct numi_run_stage){step_recovery, self, 0};
    return count;
}

int numi_run_open_feed(struct numi_run **out, const struct numi_run_feed *what) {
    struct numi_run_stage stages[3];
    *out = NULL;
    struct feed_run *self = calloc(1, sizeof *self);
    if (self == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "threads");
    self->what = *what;
    uint32_t count = stages_of(what, self, stages);
    int code = count == what->cpu_count
                   ? open_run(out, count)
                   : numi_error_set(NUMI_ERR_ARGUMENT, "%u cores: the feed has %u stages",
                                    what->cpu_count, count);
    if (code != NUMI_OK) {
        free(self);
        return code;
    }
    for (uint32_t i = 0; i < count; i++)
        stages[i].cpu = what->cpus[i];
    (*out)->owned = self;
    (*out)->time = what->time;
    return start_all(out, stages, count);
}
