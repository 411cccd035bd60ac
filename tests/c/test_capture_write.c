#include "capture_file.h"

#include <sys/stat.h>

static struct content content;

static struct numi_capture_writer *open_writer(uint32_t format, uint32_t compression) {
    struct numi_capture_writer *writer;
    NEED(numi_capture_writer_open(&writer, new_path(), format, compression) == NUMI_OK);
    return writer;
}

static void close_and_read(struct numi_capture_writer *writer) {
    EXPECT_EQ(numi_capture_writer_close(writer), NUMI_OK);
    read_path(test_path, &content);
    unlink(test_path);
    EXPECT_EQ(content.code, 0);
    EXPECT_EQ(content.counts.truncated, 0);
    EXPECT_EQ(content.counts.torn, 0);
}

TEST(a_pcap_comes_back) {
    for (uint32_t kind = 0; kind < 2 * NUMI_COMPRESSION_COUNT; kind++) {
        uint32_t format = kind % 2 == 0 ? NUMI_CAPTURE_PCAP : NUMI_CAPTURE_PCAP_NS;
        int64_t unit = kind % 2 == 0 ? 1000 : 1;
        struct numi_capture_writer *writer = open_writer(format, kind / 2);
        EXPECT_EQ(numi_capture_writer_interface(writer, 113, NULL, NULL), 0);
        EXPECT_EQ(numi_capture_writer_packet(writer, 0, 1700000000123456789, "abc", 3, 10), 0);
        EXPECT_EQ(numi_capture_writer_packet(writer, 0, 0, "", 0, 0), 0);
        EXPECT_EQ(numi_capture_writer_offset(writer), 24 + 19 + 16);
        close_and_read(writer);
        EXPECT_EQ(content.format, format);
        EXPECT_EQ(content.count, 2);
        expect_packet(&content, 0, true, 1700000000123456789 / unit * unit, "abc", 10, 0, 113);
        expect_packet(&content, 1, true, 0, "", 0, 0, 113);
    }
}

static void write_everything(struct numi_capture_writer *writer) {
    struct numi_capture_statistics statistics = {
        .received = 10, .delivered = 7, .ns = 6, .has_time = 1};
    EXPECT_EQ(numi_capture_writer_comment(writer, "a file"), 0);
    EXPECT_EQ(numi_capture_writer_interface(writer, 1, "line A", "239.1.1.1:5001"), 0);
    EXPECT_EQ(numi_capture_writer_comment(writer, "one"), 0);
    EXPECT_EQ(numi_capture_writer_comment(writer, "two"), 0);
    EXPECT_EQ(numi_capture_writer_interface(writer, 101, NULL, NULL), 1);
    EXPECT_EQ(numi_capture_writer_packet(writer, 1, INT64_MAX, "abc", 3, 10), 0);
    EXPECT_EQ(numi_capture_writer_comment(writer, "lost on line B"), 0);
    EXPECT_EQ(numi_capture_writer_packet(writer, 0, 5, "defg", 4, 4), 0);
    EXPECT_EQ(numi_capture_writer_statistics(writer, 1, &statistics), 0);
    statistics.present = NUMI_CAPTURE_RECEIVED | NUMI_CAPTURE_DROPPED | NUMI_CAPTURE_DELIVERED;
    EXPECT_EQ(numi_capture_writer_statistics(writer, 0, &statistics), 0);
    EXPECT_EQ(numi_capture_writer_comment(writer, "and that was it"), 0);
}

TEST(a_pcapng_comes_back) {
    for (uint32_t compression = 0; compression < NUMI_COMPRESSION_COUNT; compression++) {
        struct numi_capture_writer *writer = open_writer(NUMI_CAPTURE_PCAPNG, compression);
        write_everything(writer);
        close_and_read(writer);
        EXPECT_EQ(content.count, 2);
        expect_packet(&content, 0, true, INT64_MAX, "abc", 10, 1, 101);
        expect_packet(&content, 1, true, 5, "defg", 4, 0, 1);
        EXPECT_TEXT(content.comments, "|a file|one|two|lost on line B|and that was it");
        EXPECT_EQ(content.interface_count, 2);
        EXPECT_TEXT(content.interfaces[0].name, "line A");
        EXPECT_TEXT(content.interfaces[0].description, "239.1.1.1:5001");
        EXPECT_EQ(content.interfaces[0].resolution, 9);
        const struct numi_capture_statistics *said = &content.interfaces[0].statistics;
        EXPECT_EQ(said->present,
                  NUMI_CAPTURE_RECEIVED | NUMI_CAPTURE_DROPPED | NUMI_CAPTURE_DELIVERED);
        EXPECT_EQ(said->received, 10);
        EXPECT_EQ(said->dropped, 0);
        EXPECT_EQ(said->delivered, 7);
        EXPECT_EQ(said->ns, 6);
        EXPECT_EQ(content.interfaces[1].statistics.present, 0);
    }
}

TEST(files_of_nothing_are_captures_too) {
    for (uint32_t format = NUMI_CAPTURE_PCAP; format <= NUMI_CAPTURE_PCAPNG; format++) {
        close_and_read(open_writer(format, NUMI_COMPRESSION_NONE));
        EXPECT_EQ(content.format, format);
        EXPECT_EQ(content.count, 0);
    }
}

TEST(packets_of_every_size) {
    static uint8_t data[NUMI_CAPTURE_PACKET_SIZE_MAX];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)check_random();
    for (uint32_t kind = 0; kind < 2 * NUMI_COMPRESSION_COUNT; kind++) {
        struct numi_capture *capture;
        struct numi_capture_packet packet;
        struct numi_capture_writer *writer =
            open_writer(kind % 2 == 0 ? NUMI_CAPTURE_PCAP_NS : NUMI_CAPTURE_PCAPNG, kind / 2);
        numi_capture_writer_interface(writer, 1, NULL, NULL);
        for (uint32_t size = 1; size <= sizeof data; size = size * 3 / 2 + 1)
            EXPECT_EQ(numi_capture_writer_packet(writer, 0, size, data, size, sizeof data), 0);
        EXPECT_EQ(numi_capture_writer_packet(writer, 0, 0, data, sizeof data, sizeof data), 0);
        EXPECT_EQ(numi_capture_writer_close(writer), NUMI_OK);
        NEED(numi_capture_open(&capture, test_path) == NUMI_OK);
        uint32_t size = 1;
        while (numi_capture_next(capture, &packet) == 1) {
            EXPECT_EQ(packet.size, size <= sizeof data ? size : sizeof data);
            EXPECT(memcmp(packet.data, data, packet.size) == 0);
            size = size * 3 / 2 + 1;
        }
        EXPECT(size > sizeof data);
        numi_capture_close(capture);
        unlink(test_path);
    }
}

static void refuse_in_pcap(struct numi_capture_writer *writer) {
    struct numi_capture_statistics statistics = {.received = 1};
    EXPECT_EQ(numi_capture_writer_packet(writer, 0, 0, "", 0, 0), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_interface(writer, 65536, NULL, NULL), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_interface(writer, 1, NULL, NULL), 0);
    EXPECT_EQ(numi_capture_writer_interface(writer, 1, NULL, NULL), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_comment(writer, "x"), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_statistics(writer, 0, &statistics), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_packet(writer, 0, -1, "", 0, 0), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_packet(writer, 0, (int64_t)1 << 62, "", 0, 0), NUMI_ERR_ARGUMENT);
    EXPECT_CONTAINS(numi_error_detail(), "32 bits");
    EXPECT_EQ(numi_capture_writer_packet(writer, 0, 0, "ab", 2, 1), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_packet(writer, 1, 0, "ab", 2, 2), NUMI_ERR_ARGUMENT);
}

TEST(what_a_format_has_no_room_for_is_refused) {
    static char words[NUMI_CAPTURE_WRITER_COMMENT_MAX];
    struct numi_capture_writer *writer;
    EXPECT_EQ(numi_capture_writer_open(&writer, new_path(), NUMI_CAPTURE_ITCH, 0),
              NUMI_ERR_ARGUMENT);
    unlink(test_path);
    writer = open_writer(NUMI_CAPTURE_PCAP_NS, 0);
    refuse_in_pcap(writer);
    close_and_read(writer);
    EXPECT_EQ(content.count, 0);
    writer = open_writer(NUMI_CAPTURE_PCAPNG, 0);
    memset(words, 'x', sizeof words - 1);
    EXPECT_EQ(numi_capture_writer_comment(writer, words), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_comment(writer, words + 7), NUMI_OK);
    EXPECT_EQ(numi_capture_writer_comment(writer, ""), NUMI_ERR_ARGUMENT);
    words[NUMI_CAPTURE_NAME_ROOM] = 0;
    EXPECT_EQ(numi_capture_writer_interface(writer, 1, words, NULL), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_interface(writer, 1, NULL, words), NUMI_ERR_ARGUMENT);
    EXPECT_EQ(numi_capture_writer_interface(writer, 1, words + 1, words + 1), 0);
    close_and_read(writer);
    EXPECT_EQ(strlen(content.interfaces[0].name), NUMI_CAPTURE_NAME_ROOM - 1);
}

/* --- disks that are full */

enum { FULL_AT = 700001, FULL_PACKET = 1000 };

static void write_until_full(uint32_t format, uint32_t compression) {
    static uint8_t data[FULL_PACKET];
    struct numi_capture_writer *writer = open_writer(format, compression);
    numi_capture_writer_interface(writer, 1, NULL, NULL);
    int code = NUMI_OK;
    for (int i = 0; i < 5000 && code == NUMI_OK; i++) {
        for (size_t at = 0; at < sizeof data; at++)
            data[at] = (uint8_t)check_random();
        code = numi_capture_writer_packet(writer, 0, i, data, sizeof data, sizeof data);
    }
    EXPECT_EQ(code, NUMI_ERR_SYSTEM);
    EXPECT_CONTAINS(numi_error_detail(), "write at offset 700001 of the file: File too large");
    EXPECT_EQ(numi_capture_writer_packet(writer, 0, 0, data, 1, 1), code);
    EXPECT_EQ(numi_capture_writer_flush(writer), code);
    EXPECT_EQ(numi_capture_writer_close(writer), code);
    EXPECT_CONTAINS(numi_error_detail(), "write at offset 700001");
}

static void fill_a_disk(void *unused) {
    (void)unused;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){FULL_AT, FULL_AT});
    for (uint32_t kind = 0; kind < 2 * NUMI_COMPRESSION_COUNT; kind++) {
        bool ng = kind % 2;
        write_until_full(ng ? NUMI_CAPTURE_PCAPNG : NUMI_CAPTURE_PCAP_NS, kind / 2);
        read_path(test_path, &content);
        unlink(test_path);
        EXPECT_EQ(content.code, 0);
        int wanted = (FULL_AT - 24) / (FULL_PACKET + (ng ? 32 : 16));
        EXPECT(content.count <= wanted + wanted / 20); /* heads are compressed, too */
        EXPECT(content.count > wanted * 3 / 4);
        if (kind < 2)
            EXPECT_EQ(content.count, wanted);
        EXPECT_EQ(content.counts.truncated, 1);
    }
}

TEST(a_full_disk_is_told_and_keeps_whole_records) {
    EXPECT_FORK_PASSES(fill_a_disk, NULL);
}

TEST(a_failure_that_only_the_close_meets) {
    struct numi_capture_writer *writer;
    for (uint32_t compression = 0; compression < NUMI_COMPRESSION_COUNT; compression++) {
        NEED(numi_capture_writer_open(&writer, "/dev/full", NUMI_CAPTURE_PCAPNG, compression) == 0);
        EXPECT_EQ(numi_capture_writer_interface(writer, 1, NULL, NULL), 0);
        EXPECT_EQ(numi_capture_writer_close(writer), NUMI_ERR_SYSTEM);
        EXPECT_CONTAINS(numi_error_detail(), "/dev/full: write at offset 0");
    }
}

/* --- pipes */

static int ends[2];
static char pipe_path[32];

static void open_pipe(void) {
    NEED(pipe(ends) == 0);
    snprintf(pipe_path, sizeof pipe_path, "/proc/self/fd/%d", ends[0]);
}

/* A child that writes `count` packets of 1,000 zeros into the pipe. */
static pid_t start_writer(uint32_t compression, int count) {
    fflush(NULL);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid > 0) {
        close(ends[1]);
        return pid;
    }
    static const uint8_t zeros[1000];
    struct numi_capture_writer *writer;
    dup2(ends[1], STDOUT_FILENO);
    if (numi_capture_writer_open(&writer, "-", NUMI_CAPTURE_PCAPNG, compression) < 0)
        _exit(1);
    numi_capture_writer_interface(writer, 1, NULL, NULL);
    for (int i = 0; i < count; i++)
        numi_capture_writer_packet(writer, 0, i, zeros, sizeof zeros, sizeof zeros);
    _exit(numi_capture_writer_close(writer) < 0);
}

static long resident_max_kib(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void read_large(uint32_t compression, int count, long growth_max_kib) {
    struct numi_capture *capture;
    struct numi_capture_packet packet;
    open_pipe();
    pid_t pid = start_writer(compression, count);
    NEED(numi_capture_open(&capture, pipe_path) == NUMI_OK);
    int got = numi_capture_next(capture, &packet);
    long before = 0;
    for (int i = 0; got == 1; i++, got = numi_capture_next(capture, &packet)) {
        if (i == 5000) /* buffers have been touched by now */
            before = resident_max_kib();
        if (packet.ns != i || packet.size != 1000)
            EXPECT_EQ(packet.ns, i);
    }
    EXPECT_EQ(got, 0);
    EXPECT_EQ(numi_capture_counts(capture)->packets, count);
    EXPECT_EQ(numi_stream_file_size(numi_capture_stream(capture)), -1);
    EXPECT(resident_max_kib() - before <= growth_max_kib);
    numi_capture_close(capture);
    close(ends[0]);
    EXPECT_EQ(check_wait(pid).exit_code, 0);
}

TEST(memory_is_flat_in_the_length_of_the_file) {
    read_large(NUMI_COMPRESSION_NONE, 65536, 1024);
    read_large(NUMI_COMPRESSION_GZIP, 65536, 1024);
    read_large(NUMI_COMPRESSION_ZSTD, 65536, 1024);
}

static void read_stdin(void *unused) {
    (void)unused;
    open_pipe();
    pid_t pid = start_writer(NUMI_COMPRESSION_GZIP, 10);
    dup2(ends[0], STDIN_FILENO);
    read_path("-", &content);
    EXPECT_EQ(content.code, 0);
    EXPECT_EQ(content.count, 10);
    EXPECT_EQ(check_wait(pid).exit_code, 0);
}

TEST(stdin_is_a_file_too) {
    EXPECT_FORK_PASSES(read_stdin, NULL);
}

/* Packets come out as they arrive: nobody waits for a full window. */
TEST(a_pipe_is_not_waited_for_in_vain) {
    struct numi_capture_writer *writer;
    struct numi_capture *capture;
    struct numi_capture_packet packet;
    char writing[32];
    open_pipe();
    snprintf(writing, sizeof writing, "/proc/self/fd/%d", ends[1]);
    NEED(numi_capture_writer_open(&writer, writing, NUMI_CAPTURE_PCAP_NS, 0) == NUMI_OK);
    numi_capture_writer_interface(writer, 1, NULL, NULL);
    for (int i = 0; i < 10; i++) {
        numi_capture_writer_packet(writer, 0, i, "abc", 3, 3);
        EXPECT_EQ(numi_capture_writer_flush(writer), NUMI_OK);
        if (i == 0)
            NEED(numi_capture_open(&capture, pipe_path) == NUMI_OK);
        EXPECT_EQ(numi_capture_next(capture, &packet), 1);
        EXPECT_EQ(packet.ns, i);
    }
    EXPECT_EQ(numi_capture_writer_close(writer), NUMI_OK);
    close(ends[1]);
    EXPECT_EQ(numi_capture_next(capture, &packet), 0);
    numi_capture_close(capture);
    close(ends[0]);
}

static void on_alarm(int number_of_signal) {
    (void)number_of_signal;
}

TEST(a_signal_interrupts_a_wait_and_nothing_is_lost) {
    struct numi_capture *capture;
    struct numi_capture_packet packet;
    static const uint8_t head[24] = {0x4D, 0x3C, 0xB2, 0xA1, 2, 0, 4, 0, [20] = 1};
    static const uint8_t record[20] = {[8] = 4, [12] = 4, [16] = 'a', 'b', 'c', 'd'};
    open_pipe();
    NEED(write(ends[1], head, 24) == 24 && write(ends[1], record, 7) == 7);
    NEED(numi_capture_open(&capture, pipe_path) == NUMI_OK);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL); /* no SA_RESTART */
    alarm(1);
    EXPECT_EQ(numi_capture_next(capture, &packet), NUMI_ERR_SYSTEM);
    EXPECT_CONTAINS(numi_error_detail(), "Interrupted system call");
    NEED(write(ends[1], record + 7, 13) == 13);
    EXPECT_EQ(numi_capture_next(capture, &packet), 1);
    EXPECT(packet.size == 4 && memcmp(packet.data, "abcd", 4) == 0);
    numi_capture_close(capture);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_block_larger_than_the_window_passes) {
    static uint32_t block[(5 << 20) / 4] = {0x0BAD, sizeof block};
    block[sizeof block / 4 - 1] = sizeof block;
    struct numi_capture_writer *writer = open_writer(NUMI_CAPTURE_PCAPNG, 0);
    numi_capture_writer_interface(writer, 1, NULL, NULL);
    uint64_t size = numi_capture_writer_offset(writer);
    EXPECT_EQ(numi_capture_writer_close(writer), NUMI_OK);
    int made = open(test_path, O_WRONLY | O_APPEND | O_CLOEXEC);
    NEED(made >= 0 && write(made, block, sizeof block) == sizeof block);
    NEED(write(made, block, sizeof block - 1) == sizeof block - 1);
    close(made);
    read_path(test_path, &content);
    EXPECT_EQ(content.code, 0);
    EXPECT_EQ(content.counts.unknown_blocks, 1);
    EXPECT_EQ(content.counts.truncated_offset, size + sizeof block);
    unlink(test_path);
}

CHECK_MAIN
