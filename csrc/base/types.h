/* Words and limits that every room uses.
 *
 * Public headers are read twice: by the compiler, and (with NUMI_CDEF defined, after `cc -E -P`) by
 * cffi, which makes the Python binding, the NumPy dtypes and the struct tables of the documentation
 * from them. So system includes and inline functions stand behind `#ifndef NUMI_CDEF`, constants
 * are enums, and a struct with an alignment of its own ends in NUMI_LAYOUT_FROM_COMPILER. */
#ifndef NUMI_BASE_TYPES_H
#define NUMI_BASE_TYPES_H

#ifdef NUMI_CDEF
#define NUMI_ALIGNED(bytes)
#define NUMI_LAYOUT_FROM_COMPILER ...;
#define NUMI_API
#else
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define NUMI_ALIGNED(bytes) __attribute__((aligned(bytes)))
#define NUMI_LAYOUT_FROM_COMPILER
#define NUMI_API                         __attribute__((visibility("default")))
#define NUMI_PRINTF(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#define NUMI_LIKELY(condition)           __builtin_expect(!!(condition), 1)
#define NUMI_UNLIKELY(condition)         __builtin_expect(!!(condition), 0)
#endif

enum numi_limit {
    NUMI_CACHE_LINE_SIZE = 64,
    /* Two lines: the adjacent-line prefetcher pulls pairs, so what two cores write stays this far
       apart. */
    NUMI_SHARING_SIZE = 128,
    NUMI_CPU_MAX = 1024,
};

#ifndef NUMI_CDEF

static inline bool numi_is_power_of_two(uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* `unit` is a power of two. */
static inline uint64_t numi_round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) & ~(unit - 1);
}

/* One of two addresses, without a branch: for what no predictor knows. Compilers make one of `?:`,
 * and of a mask that they see through. */
static inline void *numi_select(bool condition, const void *one, const void *other) {
    uintptr_t mask = -(uintptr_t)condition;
    __asm__("" : "+r"(mask));
    return (void *)((uintptr_t)other ^ (((uintptr_t)one ^ (uintptr_t)other) & mask));
}

/* One spin of a polling loop: lets a sibling hyper-thread run. */
static inline void numi_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
#endif
