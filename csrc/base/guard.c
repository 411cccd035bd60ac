#include "base/guard.h"

#if NUMI_GUARD

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Thread_local volatile int numi_guard_depth;

/* backtrace() allocates on its first call: make that call before anybody is on the hot path. */
__attribute__((constructor)) static void load_unwinder(void) {
    void *frame[1];
    backtrace(frame, 1);
}

static void refuse_on_hot_path(const char *name) {
    if (NUMI_LIKELY(numi_guard_depth == 0))
        return;
    numi_guard_depth = 0;
    char line[96];
    int length = snprintf(line, sizeof line, "numi-bypass: %s on the hot path\n", name);
    if (write(STDERR_FILENO, line, (size_t)length) == length) {
        void *frames[32];
        backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    }
    abort();
}

#define WRAP(result, name, parameters, arguments)                                                  \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters {                                                              \
        refuse_on_hot_path(#name);                                                                 \
        return __real_##name arguments;                                                            \
    }

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(void *, reallocarray, (void *old, size_t count, size_t size), (old, count, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(int, posix_memalign, (void **out, size_t alignment, size_t size), (out, alignment, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t size), (text, size))
WRAP(int, vasprintf, (char **out, const char *format, va_list list), (out, format, list))
WRAP(void *, mmap, (void *at, size_t size, int prot, int flags, int fd, off_t offset),
     (at, size, prot, flags, fd, offset))
/* With 64-bit file offsets mmap is this name. */
WRAP(void *, mmap64, (void *at, size_t size, int prot, int flags, int fd, off_t offset),
     (at, size, prot, flags, fd, offset))

void __real_free(void *old);
void __wrap_free(void *old);
void __wrap_free(void *old) {
    refuse_on_hot_path("free");
    __real_free(old);
}

int __wrap_asprintf(char **out, const char *format, ...);
int __wrap_asprintf(char **out, const char *format, ...) {
    refuse_on_hot_path("asprintf");
    va_list list;
    va_start(list, format);
    int length = __real_vasprintf(out, format, list);
    va_end(list);
    return length;
}

#endif
