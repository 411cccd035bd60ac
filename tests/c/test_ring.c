#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "frame/ring.h"

/* The n-th record's bytes follow from n, so nobody has to remember what was pushed. */

static uint8_t byte_of(uint64_t number, uint32_t at) {
    uint64_t word = (number + 1) * 0x9E3779B97F4A7C15u;
    return (uint8_t)((word >> (at % 8 * 8)) + at / 8);
}

static void fill_records(uint8_t *records, uint64_t number, uint64_t count, uint32_t size) {
    for (uint64_t i = 0; i < count; i++)
        for (uint32_t at = 0; at < size; at++)
            records[i * size + at] = byte_of(number + i, at);
}

static bool are_records(const uint8_t *records, uint64_t number, uint64_t count, uint32_t size) {
    for (uint64_t i = 0; i < count; i++)
        for (uint32_t at = 0; at < size; at++)
            if (records[i * size + at] != byte_of(number + i, at))
                return false;
    return true;
}

static struct numi_ring *open_ring(uint32_t record_size, uint32_t record_count) {
    struct numi_ring *ring = NULL;
    NEED(numi_ring_open(&ring, record_size, record_count, NUMI_PAGES_4K) == NUMI_OK);
    return ring;
}

TEST(options_out_of_range) {
    static const uint32_t wrong[][2] = {{0, 16}, {4097, 16},          {8, 0},       {8, 1},
                                        {8, 3},  {8, (1u << 28) + 1}, {8, 1u << 29}};
    struct numi_ring *ring = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        EXPECT_EQ(numi_ring_open(&ring, wrong[i][0], wrong[i][1], NUMI_PAGES_4K),
                  NUMI_ERR_ARGUMENT);
        EXPECT_EQ(numi_ring_create_file("/dev/shm/never", wrong[i][0], wrong[i][1]),
                  NUMI_ERR_ARGUMENT);
    }
    EXPECT_EQ(numi_ring_open(&ring, 8, 16, NUMI_PAGES_COUNT), NUMI_ERR_ARGUMENT);
    EXPECT(ring == NULL);
    numi_ring_close(NULL);
}

/* The naive twin of a ring is a queue, and of the queue nothing is needed but how many went in and
 * came out. */
struct twin {
    uint64_t pushed, popped, push_stalls, pop_stalls;
    uint32_t record_size;
    uint64_t record_count;
};

static uint64_t at_most(uint64_t count, uint64_t limit) {
    return count < limit ? count : limit;
}

static void push_some(struct numi_ring *ring, struct twin *twin, uint8_t *records, uint32_t count) {
    uint64_t room = twin->record_count - (twin->pushed - twin->popped);
    uint64_t expected = at_most(count, room);
    fill_records(records, twin->pushed, count, twin->record_size);
    if (count == 1 && check_below(2))
        EXPECT_EQ(numi_ring_push(&ring->push, records, twin->record_size), expected);
    else
        EXPECT_EQ(numi_ring_push_batch(ring, records, count), expected);
    twin->pushed += expected;
    twin->push_stalls += room < count;
}

static void pop_some(struct numi_ring *ring, struct twin *twin, uint8_t *records, uint32_t count) {
    uint64_t waiting = twin->pushed - twin->popped, expected = at_most(count, waiting);
    memset(records, 0x77, (size_t)(count + 1) * twin->record_size);
    if (count == 1 && check_below(2))
        EXPECT_EQ(numi_ring_pop(&ring->pop, records, twin->record_size), expected);
    else
        EXPECT_EQ(numi_ring_pop_batch(ring, records, count), expected);
    EXPECT(are_records(records, twin->popped, expected, twin->record_size));
    EXPECT_EQ(records[expected * twin->record_size], 0x77); /* and nothing past them */
    twin->popped += expected;
    twin->pop_stalls += waiting < count;
}

static void expect_as_twin(const struct numi_ring *ring, const struct twin *twin) {
    EXPECT_EQ(numi_ring_size(ring), twin->pushed - twin->popped);
    EXPECT_EQ(numi_ring_push_stalls(ring), twin->push_stalls);
    EXPECT_EQ(numi_ring_pop_stalls(ring), twin->pop_stalls);
}

static void hold_against_queue(uint32_t record_size, uint32_t record_count, int steps) {
    struct numi_ring *ring = open_ring(record_size, record_count);
    struct twin twin = {.record_size = record_size, .record_count = record_count};
    uint32_t batch_max = record_count + 3;
    uint8_t *records = malloc((size_t)(batch_max + 1) * record_size);
    NEED(records != NULL);
    EXPECT_EQ(numi_ring_record_size(ring), record_size);
    EXPECT_EQ(numi_ring_record_count(ring), record_count);
    for (int step = 0; step < steps; step++) {
        uint32_t count = check_below(2) ? 1 : (uint32_t)check_below(batch_max + 1);
        /* in phases, so that full and empty come often */
        bool push = check_below(8) < (step / 20 % 2 ? 6u : 2u);
        (push ? push_some : pop_some)(ring, &twin, records, count);
        expect_as_twin(ring, &twin);
    }
    EXPECT(twin.pushed > 2 * record_count); /* round the wrap */
    EXPECT(twin.push_stalls > 0 && twin.pop_stalls > 0);
    free(records);
    numi_ring_close(ring);
}

TEST(the_ring_is_a_queue) {
    static const uint32_t sizes[] = {1, 2, 3, 7, 8, 12, 16, 64, 100, 1000, 4095, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint32_t record_count = 2; record_count <= 32; record_count *= 4)
            hold_against_queue(sizes[i], record_count, sizes[i] < 1000 ? 1000 : 300);
}

/* Two real threads: what the thread sanitizer sees. */

struct stream {
    struct numi_ring *ring;
    uint64_t count;
    uint64_t moved;
    bool wrong;
    atomic_bool over;        /* this end has stopped */
    atomic_bool *other_over; /* nothing more will come, or be taken away */
};
enum { STREAM_BATCH = 7 };

/* Singles and batches take turns. */
static uint32_t batch_at(const struct stream *stream, uint64_t turn) {
    return (uint32_t)at_most(turn % 3 ? 1 + turn % STREAM_BATCH : 1, stream->count - stream->moved);
}

static void *push_stream(void *argument) {
    struct stream *stream = argument;
    uint32_t size = stream->ring->record_size;
    uint8_t *records = malloc((size_t)STREAM_BATCH * size);
    for (uint64_t turn = 0; records != NULL && stream->moved < stream->count && !stream->wrong;
         turn++) {
        bool last_try = atomic_load(stream->other_over); /* read before the ring is */
        uint32_t count = batch_at(stream, turn);
        fill_records(records, stream->moved, count, size);
        int pushed = count == 1 ? numi_ring_push(&stream->ring->push, records, size)
                                : numi_ring_push_batch(stream->ring, records, count);
        stream->wrong = pushed < 0;
        stream->moved += pushed > 0 ? (uint64_t)pushed : 0;
        if (pushed == 0 && last_try)
            break;
        if (pushed == 0)
            sched_yield();
    }
    atomic_store(&stream->over, true);
    free(records);
    return NULL;
}

static void *pop_stream(void *argument) {
    struct stream *stream = argument;
    uint32_t size = stream->ring->record_size;
    uint8_t *records = malloc((size_t)STREAM_BATCH * size);
    for (uint64_t turn = 1; records != NULL && stream->moved < stream->count && !stream->wrong;
         turn++) {
        bool last_try = atomic_load(stream->other_over); /* read before the ring is */
        uint32_t count = batch_at(stream, turn);
        int popped = count == 1 ? numi_ring_pop(&stream->ring->pop, records, size)
                                : numi_ring_pop_batch(stream->ring, records, count);
        stream->wrong = popped < 0 || !are_records(records, stream->moved, (uint64_t)popped, size);
        stream->moved += popped > 0 ? (uint64_t)popped : 0;
        if (popped == 0 && last_try)
            break;
        if (popped == 0)
            sched_yield();
    }
    atomic_store(&stream->over, true);
    free(records);
    return NULL;
}

static void stream_through(struct numi_ring *push, struct numi_ring *pop, uint64_t count) {
    struct stream in = {.ring = push, .count = count}, out = {.ring = pop, .count = count};
    in.other_over = &out.over;
    out.other_over = &in.over;
    pthread_t pusher, popper;
    NEED(pthread_create(&pusher, NULL, push_stream, &in) == 0);
    NEED(pthread_create(&popper, NULL, pop_stream, &out) == 0);
    pthread_join(pusher, NULL);
    pthread_join(popper, NULL);
    EXPECT_EQ(in.moved, count);
    EXPECT_EQ(out.moved, count);
    EXPECT(!in.wrong && !out.wrong);
    EXPECT_EQ(numi_ring_size(push), 0);
}

TEST(two_threads_through_a_ring_in_process) {
    static const struct {
        uint32_t record_size, record_count;
        uint64_t count;
    } streams[] = {{8, 2, 100000},   {8, 1024, 300000}, {1, 16, 200000},
                   {64, 64, 200000}, {200, 8, 50000},   {4096, 4, 5000}};
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct numi_ring *ring = open_ring(streams[i].record_size, streams[i].record_count);
        stream_through(ring, ring, streams[i].count);
        numi_ring_close(ring);
    }
}

/* Ring files. */

static char folder[64];

static const char *path_of(const char *name) {
    static char path[128];
    if (folder[0] == 0) {
        snprintf(folder, sizeof folder, "%s/numi-test-ring-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        NEED(mkdtemp(folder) != NULL);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *new_file(const char *name, uint32_t record_size, uint32_t record_count) {
    const char *path = path_of(name);
    unlink(path);
    NEED(numi_ring_create_file(path, record_size, record_count) == NUMI_OK);
    return path;
}

static struct numi_ring *attach(const char *path, uint32_t ends) {
    struct numi_ring *ring = NULL;
    int code = numi_ring_attach_file(&ring, path, ends);
    if (code != NUMI_OK)
        fprintf(stderr, "attaching: %s\n", numi_error_detail());
    NEED(code == NUMI_OK && ring != NULL);
    return ring;
}

static int count_entries(const char *path) {
    DIR *entries = opendir(path);
    NEED(entries != NULL);
    int count = 0;
    while (readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count;
}

/* Refused, nothing handed out, no descriptor kept and no claim either. */
static void expect_refused(const char *path, uint32_t ends, int code) {
    struct numi_ring *ring = NULL;
    int open_before = count_entries("/proc/self/fd");
    EXPECT_EQ(numi_ring_attach_file(&ring, path, ends), code);
    EXPECT(ring == NULL);
    EXPECT_EQ(count_entries("/proc/self/fd"), open_before);
}

static void write_at(const char *path, uint64_t offset, const void *bytes, size_t size) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    NEED(file >= 0 && pwrite(file, bytes, size, (off_t)offset) == (ssize_t)size);
    close(file);
}

static void write_cursor(const char *path, size_t offset, uint64_t value) {
    write_at(path, offset, &value, sizeof value);
}

enum {
    PUSHED_AT = offsetof(struct numi_ring_shared, pushed),
    POPPED_AT = offsetof(struct numi_ring_shared, popped),
};

TEST(two_threads_through_a_file_mapped_twice) {
    static const uint32_t sizes[] = {8, 24, 512};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *path = new_file("twice", sizes[i], 64);
        struct numi_ring *push = attach(path, NUMI_RING_PUSH), *pop = attach(path, NUMI_RING_POP);
        stream_through(push, pop, sizes[i] > 100 ? 30000 : 100000);
        numi_ring_close(push);
        numi_ring_close(pop);
    }
}

enum { CHILD_RECORDS = 100000 };

/* Of another process nobody here can say whether it has stopped. */
static atomic_bool never;

static void push_from_child(void *path) {
    struct stream stream = {
        .ring = attach(path, NUMI_RING_PUSH), .count = CHILD_RECORDS, .other_over = &never};
    push_stream(&stream);
    EXPECT_EQ(stream.moved, CHILD_RECORDS);
    numi_ring_close(stream.ring);
}

TEST(two_processes_through_a_file) {
    static char path[128];
    snprintf(path, sizeof path, "%s", new_file("processes", 40, 128));
    fflush(NULL);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        push_from_child(path);
        _exit(check.failures > 0);
    }
    struct stream stream = {
        .ring = attach(path, NUMI_RING_POP), .count = CHILD_RECORDS, .other_over = &never};
    pop_stream(&stream);
    if (stream.wrong)
        kill(pid, SIGKILL); /* it would wait for ever for a place */
    EXPECT_EQ(check_wait(pid).exit_code, 0);
    EXPECT_EQ(stream.moved, CHILD_RECORDS);
    EXPECT(!stream.wrong);
    EXPECT_EQ(numi_ring_size(stream.ring), 0);
    numi_ring_close(stream.ring);
}

TEST(a_file_is_made_once) {
    const char *path = new_file("once", 8, 16);
    EXPECT_EQ(numi_ring_create_file(path, 8, 16), NUMI_ERR_EXISTS);
    struct stat status;
    EXPECT(stat(path, &status) == 0);
    EXPECT_EQ(status.st_size, sizeof(struct numi_ring_shared) + 8 * 16);
    EXPECT_EQ(status.st_mode & 0777, 0600);
    EXPECT_EQ(numi_ring_create_file(path_of("no/such/folder"), 8, 16), NUMI_ERR_NOT_FOUND);
}

TEST(what_is_no_ring_file_is_refused) {
    expect_refused(path_of("missing"), NUMI_RING_PUSH, NUMI_ERR_NOT_FOUND);
    const char *path = new_file("bad", 8, 16);
    expect_refused(path, 0, NUMI_ERR_ARGUMENT);
    expect_refused(path, 4, NUMI_ERR_ARGUMENT);
    NEED(truncate(path, 0) == 0);
    expect_refused(path, NUMI_RING_BOTH, NUMI_ERR_CORRUPT);
    NEED(truncate(path, sizeof(struct numi_ring_shared) - 1) == 0);
    expect_refused(path, NUMI_RING_BOTH, NUMI_ERR_CORRUPT);
    NEED(truncate(path, sizeof(struct numi_ring_shared)) == 0); /* all of the head, now zeros */
    expect_refused(path, NUMI_RING_BOTH, NUMI_ERR_CORRUPT);
    path = new_file("bad", 8, 16);
    NEED(truncate(path, sizeof(struct numi_ring_shared) + 8 * 16 - 1) == 0);
    expect_refused(path, NUMI_RING_BOTH, NUMI_ERR_CORRUPT);
    EXPECT_CONTAINS(numi_error_detail(), "cut short");
}

/* Every single bit of the head that is covered: refused, whichever it is. */
TEST(a_damaged_head_is_refused) {
    const char *path = new_file("damaged", 8, 16);
    struct numi_ring_shared head;
    int file = open(path, O_RDWR | O_CLOEXEC);
    NEED(file >= 0 && pread(file, &head, sizeof head, 0) == (ssize_t)sizeof head);
    close(file);
    for (size_t bit = 0; bit < 8 * 28; bit++) {
        size_t at = bit / 8;
        uint8_t byte = (uint8_t)(((uint8_t *)&head)[at] ^ 1 << bit % 8);
        bool in_version = at >= 8 && at < 12;
        write_at(path, at, &byte, 1);
        expect_refused(path, NUMI_RING_BOTH, in_version ? NUMI_ERR_VERSION : NUMI_ERR_CORRUPT);
        write_at(path, at, (uint8_t *)&head + at, 1);
    }
    numi_ring_close(attach(path, NUMI_RING_BOTH));
}

/* A head whose checksum is right and whose sizes are not. */
TEST(impossible_sizes_are_refused) {
    static const struct {
        uint32_t record_size;
        uint64_t record_count;
    } wrong[] = {{0, 16},
                 {4097, 16},
                 {8, 0},
                 {8, 1},
                 {8, 15},
                 {8, (uint64_t)1 << 29},
                 {8, ((uint64_t)1 << 32) + 16},
                 {8, UINT64_MAX},
                 {8, 32},
                 {4096, 1 << 28}};
    const char *path = new_file("sizes", 8, 16);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct numi_ring_shared head = {.version = NUMI_RING_VERSION,
                                        .record_size = wrong[i].record_size,
                                        .record_count = wrong[i].record_count};
        memcpy(head.magic, "numiring", 8);
        head.head_crc = numi_crc32c(0, &head, offsetof(struct numi_ring_shared, head_crc));
        write_at(path, 0, &head, sizeof head);
        expect_refused(path, NUMI_RING_BOTH, NUMI_ERR_CORRUPT);
    }
}

TEST(contradicting_cursors_are_refused) {
    static const uint64_t wrong[][2] = {{17, 0}, {0, 1}, {5, 6}, {UINT64_MAX, 0}, {100, 83}};
    const char *path = new_file("cursors", 8, 16);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_cursor(path, PUSHED_AT, wrong[i][0]);
        write_cursor(path, POPPED_AT, wrong[i][1]);
        expect_refused(path, NUMI_RING_BOTH, NUMI_ERR_CORRUPT);
    }
    write_cursor(path, PUSHED_AT, 100);
    write_cursor(path, POPPED_AT, 84);
    struct numi_ring *ring = attach(path, NUMI_RING_BOTH); /* full is no contradiction */
    EXPECT_EQ(numi_ring_size(ring), 16);
    numi_ring_close(ring);
}

static void attach_as_nobody(void *path) {
    struct numi_ring *ring = NULL;
    if (setuid(65534) != 0)
        _exit(CHECK_SKIPPED);
    EXPECT_EQ(numi_ring_attach_file(&ring, path, NUMI_RING_BOTH), NUMI_ERR_PERMISSION);
}

TEST(another_users_file_is_refused) {
    if (geteuid() != 0)
        SKIP("only root can become another user");
    static char path[128];
    snprintf(path, sizeof path, "%s", new_file("owner", 8, 16));
    NEED(chmod(folder, 0755) == 0);
    struct check_child child = check_fork(attach_as_nobody, path);
    if (child.exit_code == CHECK_SKIPPED)
        SKIP("this process may not become another user");
    EXPECT_EQ(child.exit_code, 0);
    EXPECT_TEXT(child.text, "");
}

static void attach_in_vain(void *path) {
    expect_refused(path, NUMI_RING_PUSH, NUMI_ERR_BUSY);
    expect_refused(path, NUMI_RING_BOTH, NUMI_ERR_BUSY);
    numi_ring_close(attach(path, NUMI_RING_POP));
}

TEST(a_held_end_is_busy) {
    static char path[128];
    snprintf(path, sizeof path, "%s", new_file("busy", 8, 16));
    struct numi_ring *push = attach(path, NUMI_RING_PUSH);
    attach_in_vain(path); /* from the same process */
    EXPECT_FORK_PASSES(attach_in_vain, path);
    struct numi_ring *pop = attach(path, NUMI_RING_POP);
    expect_refused(path, NUMI_RING_POP, NUMI_ERR_BUSY);
    EXPECT_CONTAINS(numi_error_detail(), "pop end");
    numi_ring_close(push);
    expect_refused(path, NUMI_RING_BOTH, NUMI_ERR_BUSY);
    push = attach(path, NUMI_RING_PUSH); /* the vain attempt kept nothing */
    numi_ring_close(push);
    numi_ring_close(pop);
    numi_ring_close(attach(path, NUMI_RING_BOTH));
}

TEST(a_handle_does_only_what_its_end_may) {
    const char *path = new_file("ends", 8, 16);
    uint64_t record = 1;
    struct numi_ring *push = attach(path, NUMI_RING_PUSH), *pop = attach(path, NUMI_RING_POP);
    EXPECT_EQ(numi_ring_pop_batch(push, &record, 1), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_ring_push_batch(pop, &record, 1), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_ring_size(push), 0);
    numi_ring_close(push);
    numi_ring_close(pop);
}

/* Each round attaches anew, now here, now there, and finds everything where the last holder left
 * it. */
TEST(a_new_holder_goes_on_where_the_last_left_off) {
    static char path[128];
    snprintf(path, sizeof path, "%s", new_file("resume", 24, 8));
    struct twin twin = {.record_size = 24, .record_count = 8};
    uint8_t records[12 * 24];
    for (int round = 0; round < 300; round++) {
        uint32_t count = 1 + (uint32_t)check_below(10);
        bool push = check_below(2);
        struct numi_ring *ring = attach(path, check_below(2) ? NUMI_RING_BOTH
                                              : push         ? NUMI_RING_PUSH
                                                             : NUMI_RING_POP);
        EXPECT_EQ(numi_ring_size(ring), twin.pushed - twin.popped);
        twin.push_stalls = twin.pop_stalls = 0; /* a handle counts its own */
        (push ? push_some : pop_some)(ring, &twin, records, count);
        expect_as_twin(ring, &twin);
        numi_ring_close(ring);
    }
    EXPECT(twin.popped > 16);
}

static _Noreturn void push_and_hang(const char *path, int told) {
    struct numi_ring *ring = attach(path, NUMI_RING_PUSH);
    uint8_t records[5 * 8];
    fill_records(records, 0, 5, 8);
    if (numi_ring_push_batch(ring, records, 5) != 5 || write(told, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

TEST(a_killed_holder_frees_its_end) {
    static char path[128];
    snprintf(path, sizeof path, "%s", new_file("killed", 8, 16));
    int told[2];
    char byte;
    NEED(pipe(told) == 0);
    fflush(NULL);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0)
        push_and_hang(path, told[1]);
    close(told[1]);
    EXPECT_EQ(read(told[0], &byte, 1), 1);
    close(told[0]);
    expect_refused(path, NUMI_RING_PUSH, NUMI_ERR_BUSY);
    kill(pid, SIGKILL);
    EXPECT_EQ(check_wait(pid).signal, SIGKILL);
    struct numi_ring *push = attach(path, NUMI_RING_PUSH), *pop = attach(path, NUMI_RING_POP);
    struct twin twin = {.record_size = 8, .record_count = 16, .pushed = 5};
    uint8_t records[17 * 8];
    push_some(push, &twin, records, 3);
    pop_some(pop, &twin, records, 16);
    EXPECT_EQ(twin.popped, 8);
    numi_ring_close(push);
    numi_ring_close(pop);
}

/* A broken peer makes this end stop, as often as it tries, and its own cursor stays where it was.
 */
TEST(corrupted_cursors_stop_an_end_and_nothing_else) {
    static const uint64_t off[] = {17, 18, 1000, (uint64_t)1 << 63, UINT64_MAX};
    const char *path = new_file("corrupted", 8, 16);
    struct numi_ring *push = attach(path, NUMI_RING_PUSH), *pop = attach(path, NUMI_RING_POP);
    uint64_t records[20];
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        write_cursor(path, PUSHED_AT, off[i]);
        for (int again = 0; again < 3; again++) {
            EXPECT_EQ(numi_ring_pop_batch(pop, records, 1 + again), NUMI_ERR_CORRUPT);
            EXPECT_EQ(numi_ring_pop(&pop->pop, records, 8), NUMI_ERR_CORRUPT);
        }
        EXPECT_CONTAINS(numi_error_detail(), "push end");
        EXPECT(numi_ring_size(pop) <= 16);
        write_cursor(path, PUSHED_AT, 0);
        EXPECT_EQ(numi_ring_pop_batch(pop, records, 1), 0);
    }
    EXPECT_EQ(numi_ring_push_batch(push, records, 16), 16);
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        write_cursor(path, POPPED_AT, off[i]);
        for (int again = 0; again < 3; again++) {
            EXPECT_EQ(numi_ring_push_batch(push, records, 1 + again), NUMI_ERR_CORRUPT);
            EXPECT_EQ(numi_ring_push(&push->push, records, 8), NUMI_ERR_CORRUPT);
        }
        EXPECT_CONTAINS(numi_error_detail(), "pop end");
        write_cursor(path, POPPED_AT, 0);
        EXPECT_EQ(numi_ring_push_batch(push, records, 1), 0);
    }
    EXPECT_EQ(numi_ring_pop_batch(pop, records, 20), 16);
    numi_ring_close(push);
    numi_ring_close(pop);
}

/* Sizes are read once: what a peer writes over the head later moves nobody. */
TEST(the_head_is_not_read_again) {
    const char *path = new_file("head", 8, 16);
    struct numi_ring *ring = attach(path, NUMI_RING_BOTH);
    uint8_t junk[128], records[17 * 8];
    memset(junk, 0xFF, sizeof junk);
    write_at(path, 0, junk, sizeof junk);
    struct twin twin = {.record_size = 8, .record_count = 16};
    for (int round = 0; round < 20; round++) {
        push_some(ring, &twin, records, 7);
        pop_some(ring, &twin, records, 7);
    }
    EXPECT_EQ(numi_ring_record_count(ring), 16);
    EXPECT_EQ(numi_ring_record_size(ring), 8);
    numi_ring_close(ring);
}

/* A peer that writes nonsense over both cursors while this end attaches: refused or attached, it
 * never runs outside the ring. */

static atomic_bool scribbling;

static void *scribble(void *path) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    struct numi_ring_shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    const uint64_t values[] = {0, (uint64_t)1 << 62, 3, UINT64_MAX - 2};
    for (uint64_t turn = 0; shared != MAP_FAILED && atomic_load(&scribbling); turn++)
        atomic_store(&shared->pushed, values[turn % 4]);
    if (shared != MAP_FAILED)
        munmap(shared, sizeof *shared);
    close(file);
    return NULL;
}

TEST(cursors_that_change_during_the_attach) {
    static char path[128];
    snprintf(path, sizeof path, "%s", new_file("scribbled", 64, 4));
    uint8_t *records = calloc(1000, 64);
    pthread_t thread;
    atomic_store(&scribbling, true);
    NEED(records != NULL && pthread_create(&thread, NULL, scribble, path) == 0);
    for (int round = 0; round < 30000; round++) {
        struct numi_ring *ring = NULL;
        int code = numi_ring_attach_file(&ring, path, NUMI_RING_BOTH);
        EXPECT(code == NUMI_OK || code == NUMI_ERR_CORRUPT);
        if (code != NUMI_OK)
            continue;
        EXPECT(ring->push.limit - ring->push.own <= 4);
        EXPECT(ring->pop.limit - ring->pop.own <= 4);
        int popped =
            ring->pop.limit - ring->pop.own <= 4 ? numi_ring_pop_batch(ring, records, 1000) : 0;
        EXPECT(popped == NUMI_ERR_CORRUPT || (popped >= 0 && popped <= 4));
        numi_ring_close(ring);
        write_cursor(path, POPPED_AT, 0);
    }
    atomic_store(&scribbling, false);
    pthread_join(thread, NULL);
    free(records);
}

/* Last: every test unmapped what it attached, and the folder can go. */
TEST(nothing_is_left_mapped) {
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    NEED(maps != NULL && folder[0] != 0);
    while (fgets(line, sizeof line, maps) != NULL)
        EXPECT(strstr(line, folder) == NULL);
    fclose(maps);
    DIR *entries = opendir(folder);
    NEED(entries != NULL);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    EXPECT_EQ(rmdir(folder), 0);
}

CHECK_MAIN
