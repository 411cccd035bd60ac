#include "check.h"

#include <stdarg.h>
#include <sys/mman.h>

#include "base/guard.h"

#if !NUMI_GUARD

TEST(guard) {
    SKIP("this build has no guard (configure with -Dguard=true)");
}

#else

/* volatile: else the compiler removes an allocation that nobody uses. */
static void *volatile sink;
/* ... and makes malloc of a realloc of what it knows to be NULL. */
static void *volatile nothing;
static char text[] = "some text";

static int print_list(char **out, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int length = vasprintf(out, format, list);
    va_end(list);
    return length;
}

static void use_malloc(void) {
    sink = malloc(10);
    free(sink);
}

static void use_calloc(void) {
    sink = calloc(2, 10);
    free(sink);
}

static void use_realloc(void) {
    sink = realloc(nothing, 10);
    free(sink);
}

static void use_reallocarray(void) {
    sink = reallocarray(nothing, 2, 10);
    free(sink);
}

static void use_aligned_alloc(void) {
    sink = aligned_alloc(64, 128);
    free(sink);
}

static void use_posix_memalign(void) {
    void *out = NULL;
    if (posix_memalign(&out, 64, 128) == 0)
        sink = out;
    free(sink);
}

static void use_strdup(void) {
    sink = strdup(text);
    free(sink);
}

static void use_strndup(void) {
    sink = strndup(text, 4);
    free(sink);
}

static void use_asprintf(void) {
    char *out = NULL;
    if (asprintf(&out, "%s %d", text, 7) == 11)
        sink = out;
    free(sink);
}

static void use_vasprintf(void) {
    char *out = NULL;
    if (print_list(&out, "%s %d", text, 7) == 11)
        sink = out;
    free(sink);
}

static void use_mmap(void) {
    sink = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(sink, 4096);
}

/* Allocated before the guard is entered, so that only the free is wrong. */
static void *kept;

static void use_free(void) {
    free(kept);
    kept = NULL;
}

static const struct {
    const char *name;
    void (*use)(void);
} uses[] = {
    {"malloc", use_malloc},
    {"calloc", use_calloc},
    {"realloc", use_realloc},
    {"reallocarray", use_reallocarray},
    {"aligned_alloc", use_aligned_alloc},
    {"posix_memalign", use_posix_memalign},
    {"strdup", use_strdup},
    {"strndup", use_strndup},
    {"asprintf", use_asprintf},
    {"vasprintf", use_vasprintf},
    {"mmap64", use_mmap},
    {"free", use_free},
};
enum { USE_COUNT = sizeof uses / sizeof uses[0] };

static void use_inside(void *index) {
    kept = malloc(10);
    numi_guard_enter();
    uses[*(int *)index].use();
    numi_guard_exit();
}

TEST(each_name_aborts_inside_and_is_named) {
    for (int i = 0; i < USE_COUNT; i++) {
        char line[64];
        snprintf(line, sizeof line, "numi-bypass: %s on the hot path", uses[i].name);
        EXPECT_FORK_ABORTS(use_inside, &i, line);
    }
}

static void use_outside(void *index) {
    kept = malloc(10);
    uses[*(int *)index].use();
    numi_guard_enter();
    numi_guard_exit();
    kept = malloc(10);
    uses[*(int *)index].use();
    EXPECT(sink != MAP_FAILED);
}

TEST(each_name_works_outside) {
    for (int i = 0; i < USE_COUNT; i++)
        EXPECT_FORK_PASSES(use_outside, &i);
}

static void use_between(void *unused) {
    (void)unused;
    numi_guard_enter();
    numi_guard_enter();
    numi_guard_exit();
    use_malloc();
    numi_guard_exit();
}

TEST(guards_nest) {
    EXPECT_FORK_ABORTS(use_between, NULL, "malloc on the hot path");
}

TEST(nothing_else_is_refused_inside) {
    volatile uint64_t sum = 0;
    numi_guard_enter();
    for (uint64_t i = 0; i < 1000; i++)
        sum += i;
    numi_guard_exit();
    EXPECT_EQ(sum, 499500);
}

#endif

CHECK_MAIN
