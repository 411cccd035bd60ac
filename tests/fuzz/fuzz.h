/* What the fuzz targets share: bytes read one after the other or put where the sanitizer sees one
 * read too far, and a failure that no build switches off. */
#ifndef NUMI_TESTS_FUZZ_H
#define NUMI_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct input {
    const uint8_t *at;
    size_t left;
};

/* The next `size` (at most 8) bytes as a little-endian number; past the end they are zeros. */
static inline uint64_t input_number(struct input *input, size_t size) {
    uint64_t number = 0;
    size_t got = size < input->left ? size : input->left;
    if (got > 0)
        memcpy(&number, input->at, got);
    input->at += got;
    input->left -= got;
    return number;
}

static inline uint8_t input_byte(struct input *input) {
    return (uint8_t)input_number(input, 1);
}

/* The bytes in memory that ends with them; to be freed. */
static inline uint8_t *exactly(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    MUST(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* Reads every byte. */
static inline void touch(const uint8_t *bytes, uint64_t size) {
    uint8_t sum = 0;
    for (uint64_t i = 0; i < size; i++)
        sum ^= bytes[i];
    __asm__ volatile("" : : "r"(sum)); /* nobody finds out that it is not used */
}

#endif
