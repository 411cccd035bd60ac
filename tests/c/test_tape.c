/* The tape where only C can look: the hot side under the guard, both sides at once under the thread
 * sanitizer, a killed process, a full disk. What a tape holds is judged in tests/test_tape.py. */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "base/error.h"
#include "base/guard.h"
#include "disk/tape_export.h"
#include "disk/tape_read.h"

enum { PAYLOAD_SIZE = 22, HEADER_SIZE = 42, MANY = 200000 };

static char folder[64];

static const char *new_folder(void) {
    strcpy(folder, "/tmp/numi-tape-XXXXXX");
    NEED(mkdtemp(folder) != NULL);
    return folder;
}

static void remove_folder(void) {
    DIR *entries = opendir(folder);
    NEED(entries != NULL);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    NEED(rmdir(folder) == 0);
}

static struct numi_tape_options options_of(uint64_t ring_size, uint32_t block_size) {
    return (struct numi_tape_options){
        .path = new_folder(),
        .config = "{}",
        .config_size = 2,
        .identity = 7,
        .ring_size = ring_size,
        .segment_size = 1 << 20,
        .block_size = block_size,
        .pages = NUMI_PAGES_4K,
    };
}

static struct numi_tape *open_tape(uint64_t ring_size, uint32_t block_size) {
    struct numi_tape_options options = options_of(ring_size, block_size);
    struct numi_tape *tape;
    NEED(numi_tape_open(&tape, &options) == NUMI_OK);
    return tape;
}

/* A frame whose payload is its number. */
static int record_frame(struct numi_tape *tape, uint64_t number) {
    uint8_t bytes[HEADER_SIZE + PAYLOAD_SIZE] = {0};
    struct numi_frame frame = {
        .rx = {.ns = (int64_t)number, .domain = NUMI_DOMAIN_VIRTUAL},
        .taken_ns = (int64_t)number,
        .data_size = PAYLOAD_SIZE,
        .wire_size = sizeof bytes,
        .header_size = HEADER_SIZE,
        .line = number % 2,
    };
    memcpy(bytes + HEADER_SIZE, &number, sizeof number);
    return numi_tape_record_frame(tape, &frame, bytes + HEADER_SIZE);
}

/* Every frame of 0 to count - 1, or a lost in its place; the lost ones are returned. */
static uint64_t expect_frames(uint64_t count) {
    struct numi_tape_reader *reader;
    struct numi_tape_record record;
    uint64_t next = 0, lost = 0;
    int code;
    NEED(numi_tape_reader_open(&reader, folder) == NUMI_OK);
    while ((code = numi_tape_reader_next(reader, &record)) == 1) {
        if (record.kind == NUMI_TAPE_LOST) {
            next += record.lost.frames;
            lost += record.lost.frames;
        } else if (record.kind == NUMI_TAPE_FRAME) {
            EXPECT_EQ(record.size, HEADER_SIZE + PAYLOAD_SIZE);
            EXPECT(memcmp(record.data + record.frame.data_offset, &next, sizeof next) == 0);
            EXPECT_EQ(record.frame.line, next % 2);
            next++;
        }
    }
    EXPECT_EQ(code, 0);
    EXPECT_EQ(next, count);
    numi_tape_reader_close(reader);
    return lost;
}

TEST(recording_allocates_nothing) {
    struct numi_tape_counter row = {.name = "received", .value = 1};
    struct numi_clock *clock;
    struct numi_tape *tape = open_tape(1 << 14, 4096);
    NEED(numi_clock_open(&clock, 1000) == NUMI_OK);
    numi_guard_enter();
    for (uint64_t number = 0; number < 500; number++) {
        record_frame(tape, number);
        numi_tape_record_step(tape, (int64_t)number, 64, 1);
        numi_tape_record_counters(tape, 0, (int64_t)number, &row, 1);
        numi_tape_record_clock(tape, clock);
    }
    numi_guard_exit();
    EXPECT_EQ(numi_tape_close(tape), NUMI_OK);
    EXPECT(expect_frames(500) > 0);
    numi_clock_close(clock);
    remove_folder();
}

struct writing {
    struct numi_tape *tape;
    _Atomic bool has_ended;
};

static void *write_beside(void *argument) {
    struct writing *writing = argument;
    while (!writing->has_ended)
        EXPECT(numi_tape_write(writing->tape, 0, 4) >= 0);
    return NULL;
}

TEST(two_threads_lose_nothing_untold) {
    struct writing writing = {.tape = open_tape(1 << 14, 1000)};
    struct numi_tape_recorded recorded;
    pthread_t thread;
    NEED(pthread_create(&thread, NULL, write_beside, &writing) == 0);
    for (uint64_t number = 0; number < MANY; number++)
        record_frame(writing.tape, number);
    numi_tape_recorded(writing.tape, &recorded);
    writing.has_ended = true;
    pthread_join(thread, NULL);
    EXPECT_EQ(numi_tape_close(writing.tape), NUMI_OK);
    EXPECT_EQ(recorded.frames + recorded.lost.frames, MANY);
    EXPECT_EQ(expect_frames(MANY), recorded.lost.frames);
    remove_folder();
}

TEST(a_ring_that_records_fill_to_its_last_byte) {
    for (uint64_t extra = 0; extra <= 16; extra += 8) {
        struct numi_tape *tape = open_tape(1 << 9, 64);
        for (uint64_t number = 0; number < 100; number++) {
            struct numi_tape_counter rows[4] = {{.value = extra}};
            numi_tape_record_counters(tape, 0, 0, rows, (uint32_t)(extra / 8));
            record_frame(tape, number);
            if (number % 3 == 0)
                EXPECT(numi_tape_flush(tape) >= 0);
        }
        EXPECT_EQ(numi_tape_close(tape), NUMI_OK);
        expect_frames(100);
        remove_folder();
    }
}

static void record_until_killed(void *argument) {
    struct numi_tape *tape = argument;
    for (uint64_t number = 0;; number++) {
        record_frame(tape, number);
        numi_tape_write(tape, 0, 1);
        if (number == 5000)
            raise(SIGKILL);
    }
}

TEST(a_killed_process_leaves_what_it_wrote) {
    struct numi_tape_options options = options_of(1 << 14, 1000);
    struct numi_tape *tape;
    NEED(numi_tape_open(&tape, &options) == NUMI_OK);
    struct check_child child = check_fork(record_until_killed, tape);
    EXPECT_EQ(child.signal, SIGKILL);
    EXPECT_EQ(expect_frames(5001), 0);
    /* what is left of it here knows nothing of what the child wrote */
    numi_tape_close(tape);
    remove_folder();
}

static void fill_disk(void *argument) {
    struct numi_tape *tape = argument;
    const struct rlimit tight = {3000, RLIM_INFINITY}, wide = {RLIM_INFINITY, RLIM_INFINITY};
    struct numi_tape_written written;
    signal(SIGXFSZ, SIG_IGN);
    NEED(setrlimit(RLIMIT_FSIZE, &tight) == 0);
    int64_t code = 0;
    for (uint64_t number = 0; number < 100; number++) {
        record_frame(tape, number);
        code = numi_tape_write(tape, 0, 10);
    }
    EXPECT_EQ(code, NUMI_ERR_SYSTEM);
    EXPECT_EQ(numi_error_number(), EFBIG);
    EXPECT_CONTAINS(numi_error_detail(), "0000000000.tape: write at offset");
    numi_tape_written(tape, &written);
    EXPECT(written.failures > 10);
    NEED(setrlimit(RLIMIT_FSIZE, &wide) == 0);
    EXPECT_EQ(numi_tape_close(tape), NUMI_OK);
    EXPECT(expect_frames(100) > 0);
}

TEST(a_full_disk_is_told_and_overcome) {
    struct numi_tape *tape = open_tape(1 << 12, 512);
    EXPECT_FORK_PASSES(fill_disk, tape);
    numi_tape_close(tape);
    remove_folder();
}

TEST(a_tape_that_cannot_be_made) {
    struct numi_tape_options options = options_of(1 << 12, 512);
    struct numi_tape *tape, *other;
    NEED(numi_tape_open(&tape, &options) == NUMI_OK);
    EXPECT_EQ(numi_tape_open(&other, &options), NUMI_ERR_EXISTS);
    EXPECT(other == NULL);
    EXPECT_EQ(numi_tape_close(tape), NUMI_OK);
    options.path = "/proc/no-such-tape";
    EXPECT(numi_tape_open(&other, &options) < 0);
    EXPECT_EQ(numi_tape_close(NULL), NUMI_OK);
    remove_folder();
}

TEST(an_export_closes_what_it_opens) {
    struct numi_tape *tape = open_tape(1 << 14, 1000);
    struct numi_tape_reader *reader;
    struct numi_tape_export *exporter;
    for (uint64_t number = 0; number < 100; number++)
        record_frame(tape, number);
    EXPECT_EQ(numi_tape_close(tape), NUMI_OK);
    NEED(numi_tape_reader_open(&reader, folder) == NUMI_OK);
    EXPECT_EQ(numi_tape_export_open(&exporter, reader, "/proc/no-such-capture"),
              NUMI_ERR_NOT_FOUND);
    NEED(numi_tape_export_open(&exporter, reader, "/dev/null") == NUMI_OK);
    EXPECT(numi_tape_export_step(exporter, 1000) > 100);
    EXPECT_EQ(numi_tape_export_step(exporter, 1000), 0);
    EXPECT_EQ(numi_tape_export_counts(exporter)->interfaces, 2);
    EXPECT_EQ(numi_tape_export_close(exporter), NUMI_OK);
    numi_tape_reader_close(reader);
    remove_folder();
}

CHECK_MAIN
