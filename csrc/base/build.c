#include "base/build.h"

#include "base/check.h"
#include "base/guard.h"

#define TEXT(name)   #name
#define EXPAND(name) TEXT(name)

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__x86_64__)
#define ARCH "x86_64"
#elif defined(__aarch64__)
#define ARCH "aarch64"
#else
#error "numi-bypass runs on x86_64 and aarch64"
#endif

#define FIELD_TEXT(name, value)   "\"" name "\": \"" value "\""
#define FIELD_NUMBER(name, value) "\"" name "\": " EXPAND(value)

const char *numi_build_info(void) {
    /* clang-format off */
    return "{" FIELD_TEXT("version", NUMI_VERSION)
           ", " FIELD_TEXT("compiler", COMPILER)
           ", " FIELD_TEXT("arch", ARCH)
           ", " FIELD_TEXT("optimization", NUMI_OPTIMIZATION)
           ", " FIELD_NUMBER("lto", NUMI_LTO)
           ", " FIELD_TEXT("sanitize", NUMI_SANITIZE)
           ", " FIELD_NUMBER("checks", NUMI_CHECKS)
           ", " FIELD_NUMBER("guard", NUMI_GUARD)
           ", " FIELD_NUMBER("plant", NUMI_PLANT) "}";
    /* clang-format on */
}
