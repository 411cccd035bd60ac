/* Big-endian integers of any place, as the wire has them. */
#ifndef NUMI_WIRE_BYTES_H
#define NUMI_WIRE_BYTES_H

#include "base/types.h"

#ifndef NUMI_CDEF
#include <string.h>

static inline uint16_t numi_be16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap16(value);
}

static inline uint32_t numi_be32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
}

static inline uint64_t numi_be64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap64(value);
}

/* Six bytes; reads no more than they are. */
static inline uint64_t numi_be48(const uint8_t *at) {
    return (uint64_t)numi_be16(at) << 32 | numi_be32(at + 2);
}

static inline void numi_put_be16(uint8_t *at, uint16_t value) {
    value = __builtin_bswap16(value);
    memcpy(at, &value, sizeof value);
}

static inline void numi_put_be32(uint8_t *at, uint32_t value) {
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof value);
}

static inline void numi_put_be64(uint8_t *at, uint64_t value) {
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof value);
}

static inline void numi_put_be48(uint8_t *at, uint64_t value) {
    numi_put_be16(at, (uint16_t)(value >> 32));
    numi_put_be32(at + 2, (uint32_t)value);
}

#endif
#endif
