/* Large blocks are kept and lent again, in the mutating programs alone: for each of them the
 * address sanitizer asks the kernel anew, which takes longer than all the rest of a run.
 *
 * Its redzones stay around them, and what was given back is poisoned until it is lent again. Only a
 * large block that is never given back goes unnoticed here: ./ci/test fuzz sees that. */
#include "fuzz.h"

#include <sanitizer/asan_interface.h>

enum { LARGE = 1 << 17, LARGE_COUNT = 64, FILLED = 4096 };

struct large {
    void *bytes;
    size_t size;
    bool lent;
};

static struct large larges[LARGE_COUNT];
static uint32_t large_count;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *bytes, size_t size);
void __real_free(void *bytes);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *bytes, size_t size);
void __wrap_free(void *bytes);

static struct large *find(const void *bytes) {
    for (uint32_t i = 0; i < large_count; i++)
        if (larges[i].bytes == bytes)
            return &larges[i];
    return NULL;
}

static void *lend(size_t size) {
    for (uint32_t i = 0; i < large_count; i++) {
        struct large *large = &larges[i];
        if (large->size == size && !large->lent) {
            ASAN_UNPOISON_MEMORY_REGION(large->bytes, size);
            large->lent = true;
            return large->bytes;
        }
    }
    void *bytes = __real_malloc(size);
    if (bytes != NULL && large_count < LARGE_COUNT)
        larges[large_count++] = (struct large){bytes, size, true};
    return bytes;
}

void *__wrap_malloc(size_t size) {
    if (size < LARGE)
        return __real_malloc(size);
    void *bytes = lend(size);
    if (bytes != NULL)
        memset(bytes, 0xBE, FILLED);
    return bytes;
}

void *__wrap_calloc(size_t count, size_t size) {
    size_t all;
    if (__builtin_mul_overflow(count, size, &all) || all < LARGE)
        return __real_calloc(count, size);
    void *bytes = lend(all);
    if (bytes != NULL)
        memset(bytes, 0, all);
    return bytes;
}

void __wrap_free(void *bytes) {
    struct large *large = bytes == NULL ? NULL : find(bytes);
    if (large == NULL) {
        __real_free(bytes);
        return;
    }
    MUST(large->lent);
    large->lent = false;
    ASAN_POISON_MEMORY_REGION(bytes, large->size);
}

void *__wrap_realloc(void *bytes, size_t size) {
    const struct large *large = bytes == NULL ? NULL : find(bytes);
    if (large == NULL)
        return __real_realloc(bytes, size);
    void *wider = __wrap_malloc(size);
    if (wider == NULL)
        return NULL;
    memcpy(wider, bytes, large->size < size ? large->size : size);
    __wrap_free(bytes);
    return wider;
}
