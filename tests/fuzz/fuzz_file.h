/* For targets whose input is a file: it stands in memory, under a path, and never on a disk.
 * Defines its macro before any other header, so it comes first. */
#ifndef NUMI_TESTS_FUZZ_FILE_H
#define NUMI_TESTS_FUZZ_FILE_H

#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

enum { EXPANDED_MAX = 8 << 20 }; /* what expands to more is left there */

/* Puts the bytes where the path that is returned leads; the same one each time. */
static const char *file_of(const uint8_t *data, size_t size) {
    static char path[32];
    static int file = -1;
    if (file < 0) {
        file = memfd_create("input", MFD_CLOEXEC);
        MUST(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    MUST(ftruncate(file, 0) == 0);
    MUST(pwrite(file, data, size, 0) == (ssize_t)size);
    return path;
}

#endif
