/* A model checker over the real code of csrc/frame/ring.h: every execution that C11 allows, not a
 * sample of them.
 *
 * Trying all interleavings is not enough. On a real machine (and in C11) a thread may still see an
 * old value of a cursor after another thread has stored a newer one, and what was written before a
 * store is visible after a load only if the store is a release and the load an acquire. So the
 * memory here is not one value a place:
 *
 *   cursors   Each keeps all the values ever stored, oldest first. A thread has a view: the oldest
 * entry of each cursor that it may still read. A load picks any entry from there on, and the
 * explorer tries each; having read one, the thread never goes back behind it. A release store
 * carries the view of its thread, a relaxed one nothing but itself. An acquire load takes over what
 * the store carried, a relaxed one does not. records   They are not atomic, so C11 asks that two
 * accesses of one place, one of them a write, be ordered by happens-before. A view therefore holds
 * a vector clock as well: how many operations of each thread are known to lie before. A write that
 * does not know of an earlier read of its place (or a read of the write) is a data race, and that
 * is a fault whatever value was read. A copy of several records is one operation: nothing inside it
 * synchronises, so cutting it up would show no other race.
 *
 * A thread's path depends on nothing but what its loads returned. So to take a thread's next step
 * its program runs again from the beginning: operations done before answer from a log, the next one
 * works on the shared state and jumps out. A state is plain bytes; one reached a second time, by
 * another interleaving, is not explored again, but its executions are counted.
 *
 * Each cursor has one writer, and with release and acquire everywhere nothing can be read before it
 * is stored: for the ring as it is, the list is complete. A weakened order lets C11 do still more
 * (a relaxed store may overtake an earlier load); those executions are not needed here, as each
 * weakened order shows a fault without them.
 *
 * Built with one order weakened and EXPECT_FAULT, the program succeeds only if a fault is found.
 * With --interleavings loads read the newest value only and races are not looked for, which is
 * sequential consistency: there every weakened order passes, and this is why views are needed. */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t model_load(const _Atomic uint64_t *cursor, memory_order order);
static void model_store(const _Atomic uint64_t *cursor, uint64_t value, memory_order order);
static void model_write(const uint8_t *place, const uint8_t *from, uint64_t count);
static void model_read(uint8_t *to, const uint8_t *place, uint64_t count);

#define NUMI_RING_LOAD(cursor, order)         model_load(cursor, order)
#define NUMI_RING_STORE(cursor, value, order) model_store(cursor, value, order)
#define NUMI_RING_WRITE(place, from, size)    model_write(place, from, size)
#define NUMI_RING_READ(to, place, size)       model_read(to, place, size)
#include "frame/ring.h"

#ifndef EXPECT_FAULT
#define EXPECT_FAULT 0
#endif

enum { PUSHER, POPPER, THREAD_COUNT };
enum { PUSHED, POPPED, CURSOR_COUNT };
enum { CAPACITY_MAX = 4, CALL_MAX = 6, BATCH_MAX = 2, OPERATION_MAX = 4 * CALL_MAX };

/* How many records each call of a thread asks for; 1 is the single push or pop. */
struct plan {
    const char *name;
    uint8_t capacity;
    uint8_t calls[THREAD_COUNT][CALL_MAX];
};

static const struct plan plans[] = {
    {"two pushes, two pops", 2, {{1, 1}, {1, 1}}},
    {"three pushes, three pops", 2, {{1, 1, 1}, {1, 1, 1}}},
    {"batches of two", 2, {{2, 2, 2}, {2, 2, 2}}},
    {"singles then batches", 2, {{1, 2, 2}, {1, 2, 2}}},
    {"batches pushed, singles popped", 2, {{2, 1, 2}, {1, 1, 1, 1}}},
    {"singles pushed, batches popped", 2, {{1, 1, 1, 1}, {2, 1, 2}}},
    {"four places, five calls", 4, {{2, 1, 2, 1, 2}, {1, 2, 2, 1, 2}}},
    {"six pushes, six pops", 2, {{1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}}},
};

/* All of bytes: no padding, so that states compare and hash as memory. */
struct view {
    uint8_t oldest[CURSOR_COUNT]; /* entry of each cursor's history */
    uint8_t clock[THREAD_COUNT];
};
struct store {
    uint8_t value;
    struct view carried;
};
struct thread {
    uint8_t done; /* operations */
    uint8_t ended;
    uint8_t moved; /* records pushed or popped, once ended */
    uint8_t log[OPERATION_MAX][BATCH_MAX];
    struct view view;
};
struct place {
    uint8_t record;
    uint8_t written; /* the pusher's clock at the last write, 0: never */
    uint8_t read;
};
struct state {
    struct thread threads[THREAD_COUNT];
    struct store history[CURSOR_COUNT][CALL_MAX + 1];
    uint8_t newest[CURSOR_COUNT];
    struct place places[CAPACITY_MAX];
};

/* Never touched: the ring's code only makes addresses in it. */
static union {
    struct numi_ring_shared shared;
    uint8_t bytes[sizeof(struct numi_ring_shared) + CAPACITY_MAX];
} arena;

static bool interleavings_only;
static const struct plan *plan;
static struct state now;
static int current;        /* the thread that runs */
static unsigned operation; /* of the thread that runs, counted from its beginning */
static unsigned choice, choice_count;
static jmp_buf step_done;
static struct {
    int thread;
    const char *verb;
    unsigned place, value, behind;
} trail[THREAD_COUNT * OPERATION_MAX];

#define SIGHT_LIST(X)     X(full) X(empty) X(wrapped) X(stale) X(part_of_batch) X(batch_over_wrap)
#define SIGHT_FIELD(name) bool name;
static struct {
    SIGHT_LIST(SIGHT_FIELD)
} seen;

static _Noreturn void fault(const char *what) {
    static const char *const names[] = {"pusher", "popper"};
    unsigned steps = now.threads[PUSHER].done + now.threads[POPPER].done;
    printf("fault in \"%s\": %s\n", plan->name, what);
    for (unsigned i = 0; i <= steps && trail[i].verb != NULL; i++)
        printf("  %s %s %u value %u%s\n", names[trail[i].thread], trail[i].verb, trail[i].place,
               trail[i].value, trail[i].behind ? " (an older one)" : "");
    exit(EXPECT_FAULT && !interleavings_only ? 0 : 1);
}

static void judge(bool holds, const char *what) {
    if (!holds)
        fault(what);
}

/* The answer of an operation done in an earlier step; NULL: this one is new, and its clock has
 * ticked. */
static const uint8_t *from_log(void) {
    struct thread *thread = &now.threads[current];
    if (operation < thread->done)
        return thread->log[operation++];
    thread->view.clock[current]++;
    return NULL;
}

static void note(const char *verb, unsigned place, unsigned value, unsigned behind) {
    unsigned at = now.threads[PUSHER].done + now.threads[POPPER].done;
    trail[at].thread = current;
    trail[at].verb = verb;
    trail[at].place = place;
    trail[at].value = value;
    trail[at].behind = behind;
    trail[at + 1].verb = NULL;
}

static _Noreturn void end_step(void) {
    now.threads[current].done++;
    longjmp(step_done, 1);
}

static void raise_to(uint8_t *at, uint8_t least) {
    if (*at < least)
        *at = least;
}

static void join(struct view *view, const struct view *carried) {
    for (int i = 0; i < CURSOR_COUNT; i++)
        raise_to(&view->oldest[i], carried->oldest[i]);
    for (int i = 0; i < THREAD_COUNT; i++)
        raise_to(&view->clock[i], carried->clock[i]);
}

static uint64_t model_load(const _Atomic uint64_t *cursor, memory_order order) {
    const uint8_t *known = from_log();
    if (known != NULL)
        return known[0];
    struct thread *thread = &now.threads[current];
    int which = cursor == &arena.shared.popped ? POPPED : PUSHED;
    uint8_t newest = now.newest[which];
    uint8_t oldest = interleavings_only ? newest : thread->view.oldest[which];
    choice_count = newest - oldest + 1u;
    uint8_t entry = (uint8_t)(oldest + choice);
    const struct store *store = &now.history[which][entry];
    raise_to(&thread->view.oldest[which], entry);
    if (order != memory_order_relaxed)
        join(&thread->view, &store->carried);
    thread->log[operation][0] = store->value;
    seen.stale |= entry < newest;
    note(which == PUSHED ? "loads pushed, entry" : "loads popped, entry", entry, store->value,
         newest - entry);
    end_step();
}

static void model_store(const _Atomic uint64_t *cursor, uint64_t value, memory_order order) {
    if (from_log() != NULL)
        return;
    struct thread *thread = &now.threads[current];
    int which = cursor == &arena.shared.popped ? POPPED : PUSHED;
    judge(which == current, "an end stores the other's cursor");
    uint8_t entry = ++now.newest[which];
    thread->view.oldest[which] = entry;
    struct store *store = &now.history[which][entry];
    store->value = (uint8_t)value;
    if (order != memory_order_relaxed)
        store->carried = thread->view;
    store->carried.oldest[which] = entry;
    note(which == PUSHED ? "stores pushed, entry" : "stores popped, entry", entry, store->value, 0);
    end_step();
}

static unsigned place_index(const uint8_t *place, uint64_t count) {
    uint64_t index = (uint64_t)(place - arena.shared.records);
    judge(index < plan->capacity && index + count <= plan->capacity, "a copy runs over the wrap");
    return (unsigned)index;
}

static void model_write(const uint8_t *place, const uint8_t *from, uint64_t count) {
    if (from_log() != NULL)
        return;
    const struct view *view = &now.threads[current].view;
    unsigned index = place_index(place, count);
    for (unsigned i = 0; i < count; i++) {
        struct place *at = &now.places[index + i];
        note("writes place", index + i, from[i], 0);
        judge(interleavings_only || at->read <= view->clock[POPPER],
              "race: written while being read");
        seen.wrapped |= at->written != 0;
        at->written = view->clock[PUSHER];
        at->record = from[i];
    }
    end_step();
}

static void model_read(uint8_t *to, const uint8_t *place, uint64_t count) {
    const uint8_t *known = from_log();
    if (known != NULL) {
        memcpy(to, known, count);
        return;
    }
    struct thread *thread = &now.threads[current];
    unsigned index = place_index(place, count);
    for (unsigned i = 0; i < count; i++) {
        struct place *at = &now.places[index + i];
        note("reads place", index + i, at->record, 0);
        judge(interleavings_only || at->written <= thread->view.clock[PUSHER],
              "race: read while being written");
        at->read = thread->view.clock[POPPER];
        thread->log[operation][i] = at->record;
    }
    end_step();
}

/* The programs. The n-th record pushed is n, counted from 1; a call that could not push all tries
 * the rest again. */

/* An end as it is opened, on an empty ring. */
static struct numi_ring_side new_side(uint64_t limit) {
    return (struct numi_ring_side){
        .shared = &arena.shared, .limit = limit, .mask = plan->capacity - 1u};
}

static void run_pusher(void) {
    struct numi_ring_side side = new_side(plan->capacity);
    uint8_t moved = 0;
    for (const uint8_t *count = plan->calls[PUSHER]; count < plan->calls[PUSHER] + CALL_MAX;
         count++) {
        uint8_t records[BATCH_MAX] = {(uint8_t)(moved + 1), (uint8_t)(moved + 2)};
        int pushed = *count == 0   ? 0
                     : *count == 1 ? numi_ring_push(&side, records, 1)
                                   : numi_ring_push_many(&side, records, *count, 1);
        judge(pushed >= 0 && pushed <= *count, "a push returned an impossible count");
        seen.full |= *count > 0 && pushed == 0;
        seen.part_of_batch |= *count == 2 && pushed == 1;
        seen.batch_over_wrap |= pushed == 2 && moved % plan->capacity + 2 > plan->capacity;
        moved = (uint8_t)(moved + pushed);
    }
    now.threads[PUSHER].moved = moved;
}

static void run_popper(void) {
    struct numi_ring_side side = new_side(0);
    uint8_t moved = 0;
    for (const uint8_t *count = plan->calls[POPPER]; count < plan->calls[POPPER] + CALL_MAX;
         count++) {
        uint8_t records[BATCH_MAX] = {0};
        int popped = *count == 0   ? 0
                     : *count == 1 ? numi_ring_pop(&side, records, 1)
                                   : numi_ring_pop_many(&side, records, *count, 1);
        judge(popped >= 0 && popped <= *count, "a pop returned an impossible count");
        seen.empty |= *count > 0 && popped == 0;
        for (int i = 0; i < popped; i++)
            judge(records[i] == ++moved, "a popped record is not the next one pushed");
    }
    now.threads[POPPER].moved = moved;
}

/* What was pushed is what was popped and what lies in the ring. */
static void judge_end(const struct state *state) {
    unsigned pushed = state->threads[PUSHER].moved, popped = state->threads[POPPER].moved;
    judge(state->history[PUSHED][state->newest[PUSHED]].value == pushed, "pushed does not add up");
    judge(state->history[POPPED][state->newest[POPPED]].value == popped, "popped does not add up");
    judge(popped <= pushed && pushed - popped <= plan->capacity, "more held than fits");
    for (unsigned cursor = popped; cursor < pushed; cursor++)
        judge(state->places[cursor % plan->capacity].record == cursor + 1,
              "a waiting record is lost");
}

static struct state take_step(const struct state *from, int thread, unsigned with_choice) {
    now = *from;
    current = thread;
    operation = 0;
    choice = with_choice;
    choice_count = 1;
    if (setjmp(step_done) == 0) {
        (thread == PUSHER ? run_pusher : run_popper)();
        now.threads[thread].ended = 1;
    }
    return now;
}

/* States visited, with the number of executions that lead on from each. */

enum { BUCKET_COUNT = 1 << 18 };
struct visited {
    struct visited *next;
    uint64_t executions;
    struct state state;
};
static struct visited *buckets[BUCKET_COUNT];
static uint64_t state_count;

static struct visited **bucket_of(const struct state *state) {
    uint64_t hash = 0xCBF29CE484222325u;
    const uint8_t *bytes = (const uint8_t *)state;
    for (size_t i = 0; i < sizeof *state; i++)
        hash = (hash ^ bytes[i]) * 0x100000001B3u;
    return &buckets[(hash ^ hash >> 32) % BUCKET_COUNT];
}

static void remember(const struct state *state, uint64_t executions) {
    struct visited **bucket = bucket_of(state), *entry = malloc(sizeof *entry);
    if (entry == NULL)
        abort();
    *entry = (struct visited){*bucket, executions, *state};
    *bucket = entry;
    state_count++;
}

static void forget_all(void) {
    for (int i = 0; i < BUCKET_COUNT; i++)
        for (struct visited *entry = buckets[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            free(entry);
        }
    memset(buckets, 0, sizeof buckets);
    state_count = 0;
}

/* The number of executions from here to the end. */
static uint64_t explore(const struct state *state) {
    for (const struct visited *entry = *bucket_of(state); entry != NULL; entry = entry->next)
        if (memcmp(&entry->state, state, sizeof *state) == 0)
            return entry->executions;
    uint64_t executions = 0;
    for (int thread = 0; thread < THREAD_COUNT; thread++) {
        unsigned tried = 0, choices = 1;
        for (; !state->threads[thread].ended && tried < choices; tried++) {
            struct state next = take_step(state, thread, tried);
            choices = choice_count;
            executions += explore(&next);
        }
    }
    if (state->threads[PUSHER].ended && state->threads[POPPER].ended) {
        judge_end(state);
        executions = 1;
    }
    remember(state, executions);
    return executions;
}

#define SIGHT_REPORT(name)                                                                         \
    if (!seen.name && !(interleavings_only && strcmp(#name, "stale") == 0)) {                      \
        printf("never seen: %s\n", #name);                                                         \
        missing++;                                                                                 \
    }

int main(int argc, char **argv) {
    interleavings_only = argc > 1 && strcmp(argv[1], "--interleavings") == 0;
    int plan_count = sizeof plans / sizeof plans[0], missing = 0;
    for (plan = plans; plan < plans + plan_count; plan++) {
        static const struct state beginning;
        uint64_t executions = explore(&beginning);
        printf("%-32s %9llu states %22llu executions\n", plan->name,
               (unsigned long long)state_count, (unsigned long long)executions);
        forget_all();
    }
    SIGHT_LIST(SIGHT_REPORT)
    if (EXPECT_FAULT && !interleavings_only) {
        printf("the weakened order was not noticed\n");
        return 1;
    }
    printf("%d passed, %d failed\n", plan_count, missing);
    return missing ? 1 : 0;
}
