/* A small test harness of our own.
 *
 *   TEST(name) { EXPECT(...); EXPECT_EQ(...); }    registers itself; tests run in the order they
 * are written CHECK_MAIN                                     once a file
 *
 * EXPECT goes on after a failure, NEED gives up the whole executable (where going on would only
 * crash). SKIP(reason) says that this machine or build cannot run the test; an executable of which
 * every test was skipped exits 77. The last line is "N passed, 0 failed". Leaks are looked for by
 * the sanitizer, so a test closes what it opens.
 *
 * Randomness comes from check_random(), seeded anew for each test by NUMI_TEST_SEED or the default,
 * and the seed is printed with a failure. */
#ifndef NUMI_TESTS_CHECK_H
#define NUMI_TESTS_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHECK_TEST_MAX = 64,
    CHECK_PRINT_MAX = 10, /* failures printed a test: the first ones tell the story */
    CHECK_SKIPPED = 77,
    CHECK_TEXT_SIZE = 8192,
};

struct check_test {
    const char *name;
    int line;
    void (*run)(void);
};

static struct {
    struct check_test tests[CHECK_TEST_MAX];
    int test_count;
    const char *test_name;
    int failures; /* in the running test */
    const char *skip_reason;
    int passed, failed, skipped;
    uint64_t seed;
    uint64_t random;
} check;

static inline void check_register(const char *name, int line, void (*run)(void)) {
    if (check.test_count == CHECK_TEST_MAX)
        abort();
    check.tests[check.test_count++] = (struct check_test){name, line, run};
}

#define TEST(name)                                                                                 \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void register_##name(void) {                               \
        check_register(#name, __LINE__, test_##name);                                              \
    }                                                                                              \
    static void test_##name(void)

/* True where the failure is to be printed. */
static inline bool check_failure(const char *file, int line) {
    if (check.failures++ >= CHECK_PRINT_MAX)
        return false;
    fflush(stdout);
    fprintf(stderr, "%s:%d: in %s (NUMI_TEST_SEED=%llu): ", file, line, check.test_name,
            (unsigned long long)check.seed);
    return true;
}

static inline void check_true(const char *file, int line, bool holds, const char *text) {
    if (!holds && check_failure(file, line))
        fprintf(stderr, "not so: %s\n", text);
}

static inline void check_equal(const char *file, int line, long long got, long long wanted,
                               const char *text) {
    if (got != wanted && check_failure(file, line))
        fprintf(stderr, "%s is %lld (0x%llx), not %lld (0x%llx)\n", text, got,
                (unsigned long long)got, wanted, (unsigned long long)wanted);
}

static inline void check_text(const char *file, int line, const char *got, const char *wanted,
                              const char *text) {
    if ((got == NULL || strcmp(got, wanted) != 0) && check_failure(file, line))
        fprintf(stderr, "%s is \"%s\", not \"%s\"\n", text, got == NULL ? "NULL" : got, wanted);
}

static inline void check_contains(const char *file, int line, const char *got, const char *part,
                                  const char *text) {
    if (strstr(got, part) == NULL && check_failure(file, line))
        fprintf(stderr, "%s is \"%s\", without \"%s\"\n", text, got, part);
}

#define EXPECT(condition) check_true(__FILE__, __LINE__, condition, #condition)
#define EXPECT_EQ(got, wanted)                                                                     \
    check_equal(__FILE__, __LINE__, (long long)(got), (long long)(wanted), #got)
#define EXPECT_TEXT(got, wanted)   check_text(__FILE__, __LINE__, got, wanted, #got)
#define EXPECT_CONTAINS(got, part) check_contains(__FILE__, __LINE__, got, part, #got)

#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            EXPECT(!#condition);                                                                   \
            check_give_up();                                                                       \
        }                                                                                          \
    } while (0)

#define SKIP(reason)                                                                               \
    do {                                                                                           \
        check.skip_reason = reason;                                                                \
        return;                                                                                    \
    } while (0)

static inline _Noreturn void check_give_up(void) {
    printf("%d passed, %d failed\n", check.passed, check.failed + 1);
    exit(1);
}

/* splitmix64 */
static inline uint64_t check_random(void) {
    uint64_t z = check.random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* 0 to limit - 1 */
static inline uint64_t check_below(uint64_t limit) {
    return check_random() % limit;
}

/* Each test gets its own stream, so that it does not depend on which others ran before it. */
static inline void check_seed(const char *name) {
    const char *text = getenv("NUMI_TEST_SEED");
    check.seed = text != NULL && *text != 0 ? strtoull(text, NULL, 0) : 20240229;
    check.random = check.seed;
    for (; *name != 0; name++)
        check.random = check.random * 31 + (uint8_t)*name;
}

static inline void check_run(const struct check_test *test) {
    check.test_name = test->name;
    check.failures = 0;
    check.skip_reason = NULL;
    check_seed(test->name);
    test->run();
    if (check.failures > 0) {
        fprintf(stderr, "%s: %d failed\n", test->name, check.failures);
        check.failed++;
    } else if (check.skip_reason != NULL) {
        printf("skipped: %s: %s\n", test->name, check.skip_reason);
        check.skipped++;
    } else {
        check.passed++;
    }
}

/* Constructors run in whatever order the linker likes; tests run as they are written. */
static inline int check_compare(const void *a, const void *b) {
    return ((const struct check_test *)a)->line - ((const struct check_test *)b)->line;
}

static inline int check_main(void) {
    qsort(check.tests, (size_t)check.test_count, sizeof check.tests[0], check_compare);
    for (int i = 0; i < check.test_count; i++)
        check_run(&check.tests[i]);
    if (check.failed == 0 && check.passed == 0 && check.skipped > 0)
        return CHECK_SKIPPED;
    printf("%d passed, %d failed\n", check.passed, check.failed);
    return check.failed == 0 ? 0 : 1;
}

#define CHECK_MAIN                                                                                 \
    int main(void) {                                                                               \
        return check_main();                                                                       \
    }

/* How a forked child ended and what it wrote to stderr. */
struct check_child {
    int exit_code; /* -1: by a signal */
    int signal;
    char text[CHECK_TEXT_SIZE];
};

static inline struct check_child check_wait(pid_t pid) {
    struct check_child child = {.exit_code = -1};
    int status = 0;
    NEED(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status))
        child.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status))
        child.signal = WTERMSIG(status);
    return child;
}

/* Runs `body` in a child process, which ends with exit code 1 where an EXPECT of its own failed. No
 * threads must run. */
static inline struct check_child check_fork(void (*body)(void *), void *argument) {
    int ends[2];
    fflush(NULL);
    NEED(pipe(ends) == 0);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(ends[1], STDERR_FILENO);
        check.failures = 0;
        body(argument);
        _exit(check.failures > 0);
    }
    close(ends[1]);
    char text[CHECK_TEXT_SIZE];
    size_t size = 0;
    for (ssize_t got; size < sizeof text - 1; size += (size_t)got)
        if ((got = read(ends[0], text + size, sizeof text - 1 - size)) <= 0)
            break;
    close(ends[0]);
    struct check_child child = check_wait(pid);
    memcpy(child.text, text, size);
    child.text[size] = 0;
    return child;
}

/* A child that ran to its end and found nothing wrong. */
static inline void check_fork_passes(const char *file, int line, void (*body)(void *),
                                     void *argument) {
    struct check_child child = check_fork(body, argument);
    if (child.exit_code != 0 && check_failure(file, line))
        fprintf(stderr, "the child ended with exit code %d, signal %d:\n%s\n", child.exit_code,
                child.signal, child.text);
}

#define EXPECT_FORK_PASSES(body, argument) check_fork_passes(__FILE__, __LINE__, body, argument)

/* A child that aborted and said `part` on stderr. */
static inline void check_fork_aborts(const char *file, int line, void (*body)(void *),
                                     void *argument, const char *part) {
    struct check_child child = check_fork(body, argument);
    check_equal(file, line, child.signal, SIGABRT, "the child's signal");
    check_contains(file, line, child.text, part, "the child's stderr");
}

#define EXPECT_FORK_ABORTS(body, argument, part)                                                   \
    check_fork_aborts(__FILE__, __LINE__, body, argument, part)

#endif
