#include "capture_file.h"

#define PCAP_MICRO 0xA1B2C3D4u
#define PCAP_NANO  0xA1B23C4Du

static struct file file;
static struct content content;

static const uint32_t compressions[] = {NUMI_COMPRESSION_NONE, NUMI_COMPRESSION_GZIP,
                                        NUMI_COMPRESSION_ZSTD};

static void start(bool big) {
    memset(&file, 0, sizeof file);
    file.big = big;
}

/* --- pcap */

static void build_pcap(bool big, bool nano) {
    start(big);
    pcap_head(&file, nano ? PCAP_NANO : PCAP_MICRO, 0x24000000 | 101);
    pcap_record(&file, 1, 2, "abc", 9);
    pcap_record(&file, UINT32_MAX, UINT32_MAX, "", 0);
    pcap_record(&file, 0, 999999, "defgh", 5);
}

TEST(pcap_in_both_orders_and_units) {
    for (int kind = 0; kind < 4; kind++) {
        bool nano = kind & 2;
        int64_t unit = nano ? 1 : 1000;
        build_pcap(kind & 1, nano);
        read_file(&file, &content);
        EXPECT_EQ(content.code, 0);
        EXPECT_EQ(content.count, 3);
        EXPECT_EQ(content.format, nano ? NUMI_CAPTURE_PCAP_NS : NUMI_CAPTURE_PCAP);
        expect_packet(&content, 0, true, 1000000000 + 2 * unit, "abc", 9, 0, 101);
        int64_t latest = (int64_t)UINT32_MAX * 1000000000 + (int64_t)UINT32_MAX * unit;
        expect_packet(&content, 1, true, latest, "", 0, 0, 101);
        expect_packet(&content, 2, true, 999999 * unit, "defgh", 5, 0, 101);
        EXPECT_EQ(content.packets[0].offset, 24);
        EXPECT_EQ(content.packets[1].offset, 43);
        EXPECT_EQ(content.counts.bytes, 8);
        EXPECT_EQ(content.counts.cut, 1);
        EXPECT_EQ(content.interface_count, 1);
        EXPECT_EQ(content.interfaces[0].resolution, nano ? 9 : 6);
        EXPECT_EQ(content.interfaces[0].snap_size, 65535);
    }
}

TEST(a_pcap_cut_anywhere_keeps_what_came_before) {
    static const uint32_t ends[] = {24, 43, 59, 80};
    build_pcap(false, true);
    NEED(file.size == ends[3]);
    for (uint32_t size = 4; size <= file.size; size++) {
        int whole = -1;
        for (int i = 0; i < 4; i++)
            whole += ends[i] <= size;
        read_bytes(file.bytes, size, &content);
        EXPECT_EQ(content.code, 0);
        EXPECT_EQ(content.count, whole < 0 ? 0 : whole);
        bool truncated = whole < 0 || ends[whole] != size;
        EXPECT_EQ(content.counts.truncated, truncated);
        EXPECT_EQ(content.counts.truncated_offset, !truncated || whole < 0 ? 0 : ends[whole]);
    }
}

/* --- pcapng */

/* Two interfaces: units of 2^-10 s in one, of nanoseconds from a later zero in the other. */
static void build_section(bool big) {
    file.big = big;
    section(&file);
    interface(&file, 1, 4, 0x80 | 10, 0);
    interface(&file, 101, 0, 9, 1700000000);
    packet_block(&file, 6, 0, 1536, "abc", 5);
    packet_block(&file, 2, 1, 1, "defg", 4);
    simple_block(&file, "snap", 6);
    statistics_block(&file, 1, 4, 7);
    statistics_block(&file, 1, 7, UINT64_MAX);
    uint32_t begin = begin_block(&file, 4);
    number(&file, 1, 2);
    number(&file, 9, 2);
    text(&file, "\x7f\0\0\1home\0\0\0\0", 12);
    end_of_options(&file);
    comment(&file, "names");
    end_block(&file, begin);
    end_block(&file, begin_block(&file, 0x0BAD));
}

static void expect_section(int first, uint32_t index) {
    uint32_t below = 2 * index;
    expect_packet(&content, first, true, 1500000000, "abc", 5, below, 1);
    expect_packet(&content, first + 1, true, 1700000000000000001, "defg", 4, below + 1, 101);
    expect_packet(&content, first + 2, false, 0, "snap", 6, below, 1);
    const struct numi_capture_interface *one = &content.interfaces[below], *two = one + 1;
    EXPECT_EQ(one->link, 1);
    EXPECT_EQ(one->section, index);
    EXPECT_EQ(one->number, 0);
    EXPECT_EQ(one->snap_size, 4);
    EXPECT_EQ(one->resolution, 0x8A);
    EXPECT_EQ(one->statistics.present, 0);
    EXPECT_TEXT(one->name, "eth");
    EXPECT_TEXT(one->description, "");
    EXPECT_EQ(two->number, 1);
    EXPECT_EQ(two->offset_s, 1700000000);
    EXPECT_EQ(two->statistics.present, NUMI_CAPTURE_RECEIVED | NUMI_CAPTURE_OS_DROPPED);
    EXPECT_EQ(two->statistics.received, 7);
    EXPECT(two->statistics.os_dropped == UINT64_MAX);
    EXPECT_EQ(two->statistics.ns, 1700000000000000005);
}

TEST(pcapng_with_sections_of_both_orders) {
    start(false);
    build_section(false);
    build_section(true);
    read_file(&file, &content);
    EXPECT_EQ(content.code, 0);
    EXPECT_EQ(content.count, 6);
    EXPECT_EQ(content.format, NUMI_CAPTURE_PCAPNG);
    EXPECT_EQ(content.interface_count, 4);
    expect_section(0, 0);
    expect_section(3, 1);
    EXPECT_EQ(content.counts.sections, 2);
    EXPECT_EQ(content.counts.unknown_blocks, 2);
    EXPECT_EQ(content.counts.statistics, 4);
    EXPECT_EQ(content.counts.names, 2);
    EXPECT_EQ(content.counts.comments, 12);
    EXPECT_EQ(content.counts.cut, 4);
    EXPECT_TEXT(content.comments, "|section|interface|interface|packet|packet|names"
                                  "|section|interface|interface|packet|packet|names");
}

TEST(a_pcapng_cut_anywhere_keeps_what_came_before) {
    start(true);
    build_section(true);
    struct content whole;
    read_file(&file, &whole);
    uint32_t at = 0;
    for (uint32_t size = 4; size <= file.size; size++) {
        uint32_t next = at + (uint32_t)(file.bytes[at + 6] << 8 | file.bytes[at + 7]);
        at = size == next ? next : at;
        read_bytes(file.bytes, size, &content);
        EXPECT_EQ(content.code, 0);
        EXPECT_EQ(content.counts.truncated, size != at);
        EXPECT_EQ(content.counts.truncated_offset, size != at ? at : 0);
        int count = 0;
        for (int i = 0; i < whole.count; i++)
            count += whole.packets[i].offset < at;
        EXPECT_EQ(content.count, count);
    }
    EXPECT_EQ(at, file.size);
}

TEST(a_pcapng_that_contradicts_itself_says_where) {
    /* the first interface stands at 44, its options at 60 */
    static const struct {
        uint32_t at, value;
        const char *reason;
    } cases[] = {
        {8, 0x1A2B3C4E, "byte order is 0x4e3c2b1a (offset 0)"},
        {12, 0x00020000, "version 2.0: read is 1.0 (offset 0)"},
        {12, 0x00010001, "version 1.1: read is 1.0 (offset 0)"},
        {48, 0x41,
         "a block of 65 bytes: allowed are multiples of 4 from 12 to 16777216 (offset 44)"},
        {48, 8, "a block of 8 bytes"},
        {48, 0x01000004, "a block of 16777220 bytes"},
        {48, 12, "a block of 12 bytes that ends in 65536 (offset 44)"},
        {68, 0x00090002, "option 9 has 2 bytes (offset 44)"},
        {76, 0x000E0007, "option 14 has 7 bytes (offset 44)"},
        {88, 0x00010400, "option 1 has 1024 bytes (offset 44)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(true);
        build_section(true);
        uint32_t size = file.size;
        file.size = cases[i].at;
        number(&file, cases[i].value, 4);
        read_bytes(file.bytes, size, &content);
        EXPECT_EQ(content.code, NUMI_ERR_CORRUPT);
        EXPECT_EQ(content.count, 0);
        EXPECT_CONTAINS(numi_error_detail(), cases[i].reason);
        EXPECT_CONTAINS(numi_error_detail(), test_path);
    }
}

/* After a sound packet, so that the offset is not that of the beginning. */
static void expect_corrupt_after_a_packet(void (*add)(void), const char *reason) {
    start(false);
    section(&file);
    interface(&file, 1, 0, 6, 0);
    packet_block(&file, 6, 0, 1, "abc", 3);
    char place[32];
    snprintf(place, sizeof place, "(offset %u)", file.size);
    add();
    read_file(&file, &content);
    EXPECT_EQ(content.code, NUMI_ERR_CORRUPT);
    EXPECT_EQ(content.count, 1);
    EXPECT_CONTAINS(numi_error_detail(), reason);
    EXPECT_CONTAINS(numi_error_detail(), place);
}

static void add_strange_interface(void) {
    packet_block(&file, 6, 1, 1, "abc", 3);
}

static void add_strange_statistics(void) {
    statistics_block(&file, UINT32_MAX, 4, 1);
}

static void add_short_packet(void) {
    end_block(&file, begin_block(&file, 6));
}

static void add_long_simple(void) {
    simple_block(&file, "abcd", 5);
}

TEST(a_block_that_contradicts_what_came_before) {
    expect_corrupt_after_a_packet(add_strange_interface, "interface 1 was never described");
    expect_corrupt_after_a_packet(add_strange_statistics, "interface 4294967295 was never");
    expect_corrupt_after_a_packet(add_short_packet, "a block of kind 0x6 too short");
    expect_corrupt_after_a_packet(add_long_simple, "a packet of 5 bytes in a block of 8");
}

TEST(a_section_forgets_the_interfaces_before_it) {
    start(false);
    build_section(false);
    section(&file);
    packet_block(&file, 6, 0, 1, "abc", 3);
    read_file(&file, &content);
    EXPECT_EQ(content.code, NUMI_ERR_CORRUPT);
    EXPECT_EQ(content.count, 3);
    EXPECT_CONTAINS(numi_error_detail(), "interface 0 was never described");
}

TEST(comments_without_end_are_counted_and_some_are_kept) {
    start(false);
    section(&file);
    interface(&file, 1, 0, 6, 0);
    uint32_t begin = begin_block(&file, 0x0A0D0D0A);
    number(&file, 0x1A2B3C4D, 4);
    number(&file, 1, 4);
    number(&file, UINT64_MAX, 8);
    for (int i = 0; i < 2000; i++)
        comment(&file, "x");
    end_block(&file, begin);
    read_file(&file, &content);
    EXPECT_EQ(content.code, 0);
    EXPECT_EQ(content.counts.comments, 2002);
    EXPECT_EQ(content.counts.comments_lost, 2002 - NUMI_CAPTURE_COMMENT_MAX);
}

TEST(units_become_nanoseconds_rounded_down) {
    static const struct {
        uint8_t resolution;
        int64_t offset_s;
        uint64_t units;
        int64_t ns;
        bool fits;
    } cases[] = {
        {0, 0, 3, 3000000000, true},
        {6, 0, 1, 1000, true},
        {6, -5, 1, -4999999000, true},
        {9, 1700000000, 1, 1700000000000000001, true},
        {12, 0, 1999, 1, true},
        {12, -1, 1, -1000000000, true},
        {28, 0, UINT64_MAX, 1, true},
        {29, 0, UINT64_MAX, 0, true},
        {127, 0, UINT64_MAX, 0, true},
        {0x80, 0, 3, 3000000000, true},
        {0x80 | 20, 0, 1, 953, true},
        {0x80 | 32, 0, UINT32_MAX, 999999999, true},
        {0x80 | 64, 0, UINT64_MAX, 999999999, true},
        {0xFF, 0, UINT64_MAX, 0, true},
        {9, 0, INT64_MAX, INT64_MAX, true},
        {9, 0, (uint64_t)INT64_MAX + 1, 0, false},
        {9, -10, UINT64_MAX, 0, false},
        {9, INT64_MAX, 0, 0, false},
        {9, INT64_MIN, UINT64_MAX, 0, false},
        {0, 0, UINT64_MAX, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ns;
        bool fits =
            numi_capture_units_to_ns(cases[i].units, cases[i].resolution, cases[i].offset_s, &ns);
        EXPECT_EQ(fits, cases[i].fits);
        if (cases[i].fits)
            EXPECT_EQ(ns, cases[i].ns);
    }
}

TEST(a_time_that_64_bits_do_not_hold_is_none) {
    start(false);
    section(&file);
    interface(&file, 1, 0, 0, 0);
    packet_block(&file, 6, 0, UINT64_MAX, "abc", 3);
    read_file(&file, &content);
    EXPECT_EQ(content.code, 0);
    expect_packet(&content, 0, false, 0, "abc", 3, 0, 1);
    EXPECT_EQ(content.counts.times_out_of_range, 1);
}

/* --- bare ITCH */

static void build_itch(void) {
    start(true);
    message(&file, 'S', 12);
    message(&file, 'A', 36);
    number(&file, 0, 2);
    message(&file, 'D', 19);
}

TEST(a_bare_file_comes_in_runs) {
    build_itch();
    read_file(&file, &content);
    EXPECT_EQ(content.code, 0);
    EXPECT_EQ(content.format, NUMI_CAPTURE_ITCH);
    EXPECT_EQ(content.count, 1);
    EXPECT_EQ(content.packets[0].link, NUMI_CAPTURE_LINK_ITCH);
    EXPECT_EQ(content.packets[0].has_time, 0);
    EXPECT_EQ(content.packets[0].message_count, 4);
    EXPECT_EQ(content.counts.messages, 3);
    EXPECT_EQ(content.counts.end_marks, 1);
    EXPECT(content.size == file.size && memcmp(content.bytes, file.bytes, file.size) == 0);
}

TEST(a_bare_file_cut_anywhere_keeps_what_came_before) {
    static const uint32_t ends[] = {0, 14, 52, 54, 75};
    build_itch();
    NEED(file.size == 75);
    for (uint32_t size = 3; size <= file.size; size++) {
        int whole = 0;
        while (whole < 4 && ends[whole + 1] <= size)
            whole++;
        read_bytes(file.bytes, size, &content);
        EXPECT_EQ(content.code, 0);
        EXPECT_EQ(content.counts.messages + content.counts.end_marks, whole);
        EXPECT_EQ(content.counts.bytes, ends[whole]);
        EXPECT_EQ(content.counts.truncated, size != ends[whole]);
        EXPECT_EQ(content.counts.truncated_offset, size != ends[whole] ? ends[whole] : 0);
    }
}

TEST(a_bare_file_peeked_and_taken) {
    build_itch();
    file.size -= 3;
    save(file.bytes, file.size);
    struct numi_capture *capture;
    const uint8_t *bytes;
    NEED(numi_capture_open(&capture, test_path) == NUMI_OK);
    EXPECT_EQ(numi_capture_peek(capture, &bytes), 72);
    EXPECT_EQ(numi_capture_peek(capture, &bytes), 72);
    numi_capture_take(capture, 14, 1, 0);
    EXPECT_EQ(numi_capture_peek(capture, &bytes), 58);
    EXPECT_EQ(bytes[2], 'A');
    numi_capture_take(capture, 40, 2, 1);
    EXPECT_EQ(numi_capture_peek(capture, &bytes), 0);
    EXPECT_EQ(numi_capture_peek(capture, &bytes), 0);
    EXPECT_EQ(numi_capture_counts(capture)->messages, 2);
    EXPECT_EQ(numi_capture_counts(capture)->end_marks, 1);
    EXPECT_EQ(numi_capture_counts(capture)->truncated, 1);
    EXPECT_EQ(numi_capture_counts(capture)->truncated_offset, 54);
    numi_capture_close(capture);
    unlink(test_path);
}

TEST(the_longest_message_fits_a_run) {
    static uint8_t bytes[3 * 65537 + 14] = {[1] = 12, [2] = 'S'};
    for (int i = 0; i < 3; i++)
        memset(bytes + 14 + i * 65537, 0xFF, 2);
    read_bytes(bytes, sizeof bytes, &content);
    EXPECT_EQ(content.code, 0);
    EXPECT_EQ(content.counts.messages, 4);
    EXPECT_EQ(content.counts.bytes, sizeof bytes);
}

/* --- what is no capture */

static void expect_refused(const void *bytes, uint32_t size, const char *reason) {
    read_bytes(bytes, size, &content);
    EXPECT_EQ(content.code, NUMI_ERR_CORRUPT);
    EXPECT_CONTAINS(numi_error_detail(), reason);
    EXPECT_CONTAINS(numi_error_detail(), test_path);
    EXPECT_CONTAINS(numi_error_detail(), "(offset ");
}

TEST(what_is_no_capture_is_told_why) {
    expect_refused("", 0, "not a capture: it is empty");
    expect_refused("\x0a\x0d\x0d", 3, "of no format known here; read are pcap");
    expect_refused("\0\x0cX", 3, "of no format");
    expect_refused("\x34\xcd\xb2\xa1", 4, "editcap -F pcap");
    expect_refused("\xfd"
                   "7zXZ\0 and so on",
                   16, "inside xz");
    expect_refused("\xd4\xc3\xb2\xa1\3\0\4\0                ", 24, "pcap version 3: read is 2");
    expect_refused("\xd4\xc3\xb2\xa1\3\0\4\0                ", 24, "(offset 4)");
    build_pcap(false, false);
    number(&file, 0, 8);
    number(&file, 262145, 8);
    expect_refused(file.bytes, file.size, "a packet of 262145 bytes: at most 262144 (offset 80)");
}

TEST(files_that_cannot_be_opened) {
    struct numi_capture *capture;
    EXPECT_EQ(numi_capture_open(&capture, "/tmp/numi/is/not/there"), NUMI_ERR_NOT_FOUND);
    EXPECT(capture == NULL);
    EXPECT_CONTAINS(numi_error_detail(), "/tmp/numi/is/not/there");
    EXPECT_EQ(numi_capture_open(&capture, "/tmp"), NUMI_ERR_SYSTEM);
    EXPECT_CONTAINS(numi_error_detail(), "/tmp: read at offset 0");
    struct numi_sink *sink;
    EXPECT_EQ(numi_sink_open(&sink, "/tmp/numi/is/not/there", 0), NUMI_ERR_NOT_FOUND);
    EXPECT_EQ(numi_sink_open(&sink, "/tmp/x", NUMI_COMPRESSION_COUNT), NUMI_ERR_ARGUMENT);
    EXPECT(sink == NULL);
    EXPECT_EQ(numi_sink_close(NULL), NUMI_OK);
    numi_capture_close(NULL);
}

/* --- compression */

TEST(many_members_and_frames_with_what_may_stand_between) {
    static struct file packed, skipped;
    build_pcap(false, true);
    struct file first = file, second = {.size = 0};
    first.size = 30;
    text(&second, file.bytes + 30, file.size - 30);
    packed.size = 0;
    compress_to(&packed, &first, NUMI_COMPRESSION_GZIP);
    number(&packed, 0, 5);
    compress_to(&packed, &second, NUMI_COMPRESSION_GZIP);
    number(&packed, 0, 3);
    read_file(&packed, &content);
    EXPECT_EQ(content.code, 0);
    EXPECT_EQ(content.count, 3);
    EXPECT_EQ(content.counts.torn, 0);
    skipped.size = 0;
    number(&skipped, 0x184D2A53, 4);
    number(&skipped, 6, 4);
    text(&skipped, "______", 6);
    compress_to(&skipped, &first, NUMI_COMPRESSION_ZSTD);
    compress_to(&skipped, &second, NUMI_COMPRESSION_ZSTD);
    read_file(&skipped, &content);
    EXPECT_EQ(content.code, 0);
    EXPECT_EQ(content.count, 3);
    EXPECT_EQ(content.counts.torn, 0);
}

TEST(a_torn_tail_is_told_and_no_error) {
    static struct file packed;
    for (uint32_t compression = 1; compression < NUMI_COMPRESSION_COUNT; compression++) {
        build_pcap(false, true);
        packed.size = 0;
        compress_to(&packed, &file, compression);
        int before = 0;
        for (uint32_t size = 4; size <= packed.size; size++) {
            read_bytes(packed.bytes, size, &content);
            if (content.code < 0) {
                EXPECT_CONTAINS(numi_error_detail(), "not a capture");
                continue;
            }
            EXPECT(content.count >= before && content.count <= 3);
            before = content.count;
            EXPECT_EQ(content.counts.torn, size < packed.size);
        }
        EXPECT_EQ(before, 3);
    }
}

TEST(damage_is_an_error_once_what_lies_before_it_was_read) {
    static struct file packed;
    for (uint32_t compression = 1; compression < NUMI_COMPRESSION_COUNT; compression++) {
        build_pcap(false, true);
        packed.size = 0;
        compress_to(&packed, &file, compression);
        text(&packed, "garbage", 7);
        read_file(&packed, &content);
        EXPECT_EQ(content.code, NUMI_ERR_CORRUPT);
        EXPECT_EQ(content.count, 3);
        EXPECT_CONTAINS(numi_error_detail(), compression == 1 ? "damaged gzip: incorrect header"
                                                              : "damaged zstd: Unknown frame");
        EXPECT_CONTAINS(numi_error_detail(), "(offset 80, ");
        packed.bytes[packed.size - 7 - 3] ^= 1; /* within the checksum */
        read_file(&packed, &content);
        EXPECT_EQ(content.code, NUMI_ERR_CORRUPT);
        EXPECT_CONTAINS(numi_error_detail(), "damaged");
    }
}

TEST(sinks_of_every_size_and_compression) {
    static uint8_t data[3 * NUMI_SINK_BUFFER_SIZE];
    static const uint32_t sizes[] = {
        0, 1, 1000, NUMI_SINK_BUFFER_SIZE - 1, NUMI_SINK_BUFFER_SIZE, sizeof data};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(check_random() & 0x1F);
    for (int kind = 0; kind < 3 * 6; kind++) {
        uint32_t size = sizes[kind / 3], compression = compressions[kind % 3];
        struct numi_sink *sink;
        struct numi_stream *stream;
        NEED(numi_sink_open(&sink, new_path(), compression) == NUMI_OK);
        for (uint32_t at = 0, part; at < size; at += part) {
            part = 1 + (uint32_t)check_below(size - at);
            EXPECT_EQ(numi_sink_write(sink, data + at, part), NUMI_OK);
        }
        EXPECT_EQ(numi_sink_offset(sink), size);
        EXPECT_EQ(numi_sink_close(sink), NUMI_OK);
        NEED(numi_stream_open(&stream, test_path) == NUMI_OK);
        const uint8_t *bytes;
        EXPECT_EQ(numi_stream_compression(stream), compression);
        EXPECT_EQ(numi_stream_need(stream, sizeof data + 1, &bytes), size);
        EXPECT(memcmp(bytes, data, size) == 0);
        EXPECT_EQ(numi_stream_torn(stream), 0);
        EXPECT_EQ(numi_stream_file_offset(stream), numi_stream_file_size(stream));
        EXPECT_EQ(numi_stream_need(stream, NUMI_STREAM_NEED_MAX + 1, &bytes), NUMI_ERR_ARGUMENT);
        numi_stream_close(stream);
        unlink(test_path);
    }
}

TEST(names) {
    EXPECT_TEXT(numi_compression_name(NUMI_COMPRESSION_ZSTD), "zstd");
    EXPECT_TEXT(numi_compression_name(NUMI_COMPRESSION_COUNT), "unknown");
    EXPECT_TEXT(numi_capture_format_name(NUMI_CAPTURE_PCAP_NS), "pcap-ns");
    EXPECT_TEXT(numi_capture_format_name(NUMI_CAPTURE_FORMAT_COUNT), "unknown");
}

CHECK_MAIN
