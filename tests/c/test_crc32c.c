#include "check.h"

#include "base/crc32c.h"

/* The naive twin: one bit after the other. */
static uint32_t bitwise(uint32_t crc, const uint8_t *data, uint64_t size) {
    crc = ~crc;
    for (uint64_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

enum { LENGTH_MAX = 4200, ALIGNMENT_MAX = 16 };

static uint8_t bytes[LENGTH_MAX + ALIGNMENT_MAX];

static void fill_bytes(void) {
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)check_random();
}

static void expect_all(const void *data, uint64_t size, uint32_t wanted) {
    EXPECT_EQ(numi_crc32c(0, data, size), wanted);
    EXPECT_EQ(numi_crc32c_portable(0, data, size), wanted);
    EXPECT_EQ(bitwise(0, data, size), wanted);
}

TEST(known_answers) {
    uint8_t zeros[32] = {0}, ones[32], ascending[32], descending[32];
    memset(ones, 0xFF, sizeof ones);
    for (int i = 0; i < 32; i++) {
        ascending[i] = (uint8_t)i;
        descending[i] = (uint8_t)(31 - i);
    }
    expect_all("123456789", 9, 0xE3069283);
    expect_all(zeros, 32, 0x8A9136AA);
    expect_all(ones, 32, 0x62A8AB43);
    expect_all(ascending, 32, 0x46DD794E);
    expect_all(descending, 32, 0x113FDB5C);
    expect_all("", 0, 0);
}

/* Each length once by the bitwise loop (grown a byte at a time), and both functions against it. */
TEST(every_length_at_every_alignment) {
    fill_bytes();
    for (int at = 0; at < ALIGNMENT_MAX; at++) {
        uint32_t wanted = 0;
        for (uint64_t size = 0; size < LENGTH_MAX; size++) {
            if (at % 4 == 0 || size < 900 || size % 7 == 0) {
                EXPECT_EQ(numi_crc32c(0, bytes + at, size), wanted);
                EXPECT_EQ(numi_crc32c_portable(0, bytes + at, size), wanted);
            }
            wanted = bitwise(wanted, bytes + at + size, 1);
        }
    }
}

TEST(goes_on_where_it_stopped) {
    fill_bytes();
    for (int round = 0; round < 3000; round++) {
        uint64_t size = check_below(LENGTH_MAX), cut = check_below(size + 1);
        uint64_t at = check_below(ALIGNMENT_MAX);
        uint32_t whole = numi_crc32c(0, bytes + at, size);
        uint32_t first = numi_crc32c(0, bytes + at, cut);
        EXPECT_EQ(numi_crc32c(first, bytes + at + cut, size - cut), whole);
        EXPECT_EQ(numi_crc32c_portable(first, bytes + at + cut, size - cut), whole);
    }
}

TEST(begins_from_any_crc) {
    fill_bytes();
    for (int round = 0; round < 300; round++) {
        uint32_t begin = (uint32_t)check_random();
        uint64_t size = check_below(2000);
        uint32_t wanted = bitwise(begin, bytes, size);
        EXPECT_EQ(numi_crc32c(begin, bytes, size), wanted);
        EXPECT_EQ(numi_crc32c_portable(begin, bytes, size), wanted);
    }
}

/* Longer than three streams several times over. */
TEST(a_megabyte) {
    enum { SIZE = 1 << 20 };
    uint8_t *data = malloc(SIZE);
    NEED(data != NULL);
    for (int i = 0; i < SIZE; i++)
        data[i] = (uint8_t)check_random();
    uint32_t wanted = bitwise(0, data, SIZE);
    EXPECT_EQ(numi_crc32c(0, data, SIZE), wanted);
    EXPECT_EQ(numi_crc32c_portable(0, data, SIZE), wanted);
    free(data);
}

TEST(the_cpus_instruction_is_used_where_there_is_one) {
#if defined(__x86_64__)
    EXPECT_EQ(numi_crc32c_is_hardware() != 0, __builtin_cpu_supports("sse4.2") != 0);
#else
    EXPECT(numi_crc32c_is_hardware() == 0 || numi_crc32c_is_hardware() == 1);
#endif
}

CHECK_MAIN
