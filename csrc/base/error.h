/* What can go wrong, by name. A function returns a count (>= 0) or one of these (< 0).
 *
 * A broken invariant of our own is no error: it aborts (base/check.h). Bad input from a caller, a
 * file or the kernel is one of these codes, and the detail says which value, what is allowed and
 * how to get it. */
#ifndef NUMI_BASE_ERROR_H
#define NUMI_BASE_ERROR_H

#include "base/types.h"

#define NUMI_ERROR_LIST(X)                                                                         \
    X(NUMI_OK, 0, "success")                                                                       \
    X(NUMI_ERR_ARGUMENT, -1, "an argument is out of its range")                                    \
    X(NUMI_ERR_NO_MEMORY, -2, "the memory asked for cannot be had")                                \
    X(NUMI_ERR_SYSTEM, -3, "a system call failed")                                                 \
    X(NUMI_ERR_PERMISSION, -4, "the process lacks a permission")                                   \
    X(NUMI_ERR_UNSUPPORTED, -5, "not possible on this machine")                                    \
    X(NUMI_ERR_CORRUPT, -6, "the data contradict themselves")                                      \
    X(NUMI_ERR_VERSION, -7, "written by another version of the format")                            \
    X(NUMI_ERR_FOREIGN, -8, "the object belongs to somebody else")                                 \
    X(NUMI_ERR_DOUBLE_GIVE, -9, "the frame has been given back already")                           \
    X(NUMI_ERR_BUSY, -10, "held by another process")                                               \
    X(NUMI_ERR_NOT_FOUND, -11, "there is no such thing")                                           \
    X(NUMI_ERR_EXISTS, -12, "it exists already")                                                   \
    X(NUMI_ERR_UNCALIBRATED, -13, "no calibration joins these clock domains")

#define NUMI_ERROR_ENUM(name, code, message) name = code,
enum numi_error { NUMI_ERROR_LIST(NUMI_ERROR_ENUM) };

/* The C name of a code, "NUMI_ERR_UNKNOWN" for any other number; lives for ever. */
NUMI_API const char *numi_error_name(int code);

/* One line on what the code means; lives for ever. */
NUMI_API const char *numi_error_message(int code);

/* What the last failing call of this thread had to say (place, value, remedy); "" if nothing. Valid
 * until the next failing call of the same thread. */
NUMI_API const char *numi_error_detail(void);

/* The errno behind the last failing call of this thread; 0 where it was no system call. */
NUMI_API int numi_error_number(void);

#ifndef NUMI_CDEF

/* Keeps the detail for this thread and returns `code`, so that `return numi_error_set(...)` reads
 * well. Never called on the hot path. */
int numi_error_set(int code, const char *format, ...) NUMI_PRINTF(2, 3);

/* The same for a failed system call: picks the code from `error_number` and appends its text. */
int numi_error_set_errno(int error_number, const char *format, ...) NUMI_PRINTF(2, 3);

#endif
#endif
