#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char detail[512];
static _Thread_local int number;

#define NAME_CASE(name, code, message)                                                             \
    case name:                                                                                     \
        return #name;
#define MESSAGE_CASE(name, code, message)                                                          \
    case name:                                                                                     \
        return message;

const char *numi_error_name(int code) {
    switch (code) { NUMI_ERROR_LIST(NAME_CASE) }
    return "NUMI_ERR_UNKNOWN";
}

const char *numi_error_message(int code) {
    switch (code) { NUMI_ERROR_LIST(MESSAGE_CASE) }
    return "a code that this build does not know";
}

const char *numi_error_detail(void) {
    return detail;
}

int numi_error_number(void) {
    return number;
}

int numi_error_set(int code, const char *format, ...) {
    number = 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return code;
}

static int code_of_errno(int error_number) {
    switch (error_number) {
    case EPERM:
    case EACCES:
        return NUMI_ERR_PERMISSION;
    case ENOMEM:
        return NUMI_ERR_NO_MEMORY;
    case ENOENT:
        return NUMI_ERR_NOT_FOUND;
    case EEXIST:
        return NUMI_ERR_EXISTS;
    case EBUSY:
        return NUMI_ERR_BUSY;
    case ENOSYS:
    case EOPNOTSUPP:
        return NUMI_ERR_UNSUPPORTED;
    default:
        return NUMI_ERR_SYSTEM;
    }
}

int numi_error_set_errno(int error_number, const char *format, ...) {
    number = error_number;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof detail)
        snprintf(detail + length, sizeof detail - (size_t)length, ": %s (errno %d)",
                 strerror(error_number), error_number);
    return code_of_errno(error_number);
}
