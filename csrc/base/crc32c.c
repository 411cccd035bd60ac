#include "base/crc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

enum {
    POLYNOMIAL = (int)0x82F63B78, /* reflected */
    STREAM_SIZE = 256,            /* bytes of each of the three streams that run side by side */
};

/* slices[k][b]: byte b followed by k zero bytes. after_stream[k][b]: byte k of a crc, moved past
 * STREAM_SIZE zeros. */
static uint32_t slices[8][256];
static uint32_t after_stream[4][256];

typedef uint32_t crc_function(uint32_t crc, const uint8_t *data, uint64_t size);
static crc_function *fast;

static uint64_t load_u64(const uint8_t *data) {
    uint64_t value;
    memcpy(&value, data, sizeof value);
    return value; /* both architectures are little-endian */
}

static uint32_t portable(uint32_t crc, const uint8_t *data, uint64_t size) {
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word = load_u64(data) ^ crc;
        crc = 0;
        for (int k = 0; k < 8; k++)
            crc ^= slices[7 - k][word >> (8 * k) & 0xFF];
    }
    for (; size > 0; size--, data++)
        crc = crc >> 8 ^ slices[0][(crc ^ *data) & 0xFF];
    return crc;
}

#if defined(__x86_64__)
#define CRC_TARGET         __attribute__((target("sse4.2")))
#define CRC_U64(crc, word) ((uint32_t)_mm_crc32_u64(crc, word))
#define CRC_U8(crc, byte)  _mm_crc32_u8(crc, byte)
#elif defined(__aarch64__)
#define CRC_TARGET         __attribute__((target("+crc")))
#define CRC_U64(crc, word) __crc32cd(crc, word)
#define CRC_U8(crc, byte)  __crc32cb(crc, byte)
#endif

static uint32_t move_past_stream(uint32_t crc) {
    return after_stream[0][crc & 0xFF] ^ after_stream[1][crc >> 8 & 0xFF] ^
           after_stream[2][crc >> 16 & 0xFF] ^ after_stream[3][crc >> 24];
}

/* The instruction takes one word a cycle but answers after three: three streams keep it busy. */
CRC_TARGET static uint32_t hardware(uint32_t crc, const uint8_t *data, uint64_t size) {
    for (; size >= 3 * STREAM_SIZE; size -= 3 * STREAM_SIZE, data += 3 * STREAM_SIZE) {
        uint32_t second = 0, third = 0;
        for (int at = 0; at < STREAM_SIZE; at += 8) {
            crc = CRC_U64(crc, load_u64(data + at));
            second = CRC_U64(second, load_u64(data + STREAM_SIZE + at));
            third = CRC_U64(third, load_u64(data + 2 * STREAM_SIZE + at));
        }
        crc = move_past_stream(move_past_stream(crc) ^ second) ^ third;
    }
    for (; size >= 8; size -= 8, data += 8)
        crc = CRC_U64(crc, load_u64(data));
    for (; size > 0; size--, data++)
        crc = CRC_U8(crc, *data);
    return crc;
}

static bool has_instruction(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("sse4.2");
#else
    return getauxval(AT_HWCAP) & HWCAP_CRC32;
#endif
}

static void make_slices(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? (uint32_t)POLYNOMIAL : 0);
        slices[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++)
            slices[k][byte] = slices[k - 1][byte] >> 8 ^ slices[0][slices[k - 1][byte] & 0xFF];
}

static void make_after_stream(void) {
    static const uint8_t zeros[STREAM_SIZE];
    for (int k = 0; k < 4; k++)
        for (uint32_t byte = 0; byte < 256; byte++)
            after_stream[k][byte] = portable(byte << (8 * k), zeros, STREAM_SIZE);
}

__attribute__((constructor)) static void choose(void) {
    make_slices();
    make_after_stream();
    fast = has_instruction() ? hardware : portable;
}

uint32_t numi_crc32c(uint32_t crc, const void *data, uint64_t size) {
    return ~fast(~crc, data, size);
}

uint32_t numi_crc32c_portable(uint32_t crc, const void *data, uint64_t size) {
    return ~portable(~crc, data, size);
}

int numi_crc32c_is_hardware(void) {
    return fast == hardware;
}
