#include "check.h"

#include <errno.h>
#include <pthread.h>

#include "base/error.h"

TEST(every_code_has_its_name_and_a_message) {
#define CHECK_CODE(name, code, message)                                                            \
    EXPECT_EQ(name, code);                                                                         \
    EXPECT_TEXT(numi_error_name(code), #name);                                                     \
    EXPECT_TEXT(numi_error_message(code), message);
    NUMI_ERROR_LIST(CHECK_CODE)
}

TEST(codes_are_dense_and_below_zero) {
    int count = 0;
#define COUNT_CODE(name, code, message) count++;
    NUMI_ERROR_LIST(COUNT_CODE)
    for (int code = 0; code > -count; code--)
        EXPECT(strcmp(numi_error_name(code), "NUMI_ERR_UNKNOWN") != 0);
    static const int unknown[] = {1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        EXPECT_TEXT(numi_error_name(unknown[i]), "NUMI_ERR_UNKNOWN");
        EXPECT(strlen(numi_error_message(unknown[i])) > 0);
    }
    EXPECT_TEXT(numi_error_name(-count), "NUMI_ERR_UNKNOWN");
}

TEST(set_keeps_the_detail_and_returns_the_code) {
    EXPECT_EQ(numi_error_set(NUMI_ERR_CORRUPT, "offset %d of %s", 7, "x"), NUMI_ERR_CORRUPT);
    EXPECT_TEXT(numi_error_detail(), "offset 7 of x");
}

TEST(a_long_detail_is_cut_not_overrun) {
    char name[2000];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    numi_error_set(NUMI_ERR_ARGUMENT, "%s", name);
    EXPECT_EQ(strlen(numi_error_detail()), 511);
    /* no room left for errno's text, or for all of it */
    EXPECT_EQ(numi_error_set_errno(ENOENT, "%s", name), NUMI_ERR_NOT_FOUND);
    EXPECT_EQ(strlen(numi_error_detail()), 511);
    name[505] = 0;
    EXPECT_EQ(numi_error_set_errno(ENOENT, "%s", name), NUMI_ERR_NOT_FOUND);
    EXPECT_EQ(strlen(numi_error_detail()), 511);
}

TEST(errno_picks_the_code) {
    static const struct {
        int error_number, code;
    } pairs[] = {
        {EPERM, NUMI_ERR_PERMISSION},   {EACCES, NUMI_ERR_PERMISSION},
        {ENOMEM, NUMI_ERR_NO_MEMORY},   {ENOENT, NUMI_ERR_NOT_FOUND},
        {EEXIST, NUMI_ERR_EXISTS},      {EBUSY, NUMI_ERR_BUSY},
        {ENOSYS, NUMI_ERR_UNSUPPORTED}, {EOPNOTSUPP, NUMI_ERR_UNSUPPORTED},
        {EIO, NUMI_ERR_SYSTEM},         {ENOSPC, NUMI_ERR_SYSTEM},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        EXPECT_EQ(numi_error_set_errno(pairs[i].error_number, "x"), pairs[i].code);
    numi_error_set_errno(EIO, "reading %s", "tape");
    EXPECT_CONTAINS(numi_error_detail(), "reading tape: ");
    EXPECT_CONTAINS(numi_error_detail(), "(errno 5)");
}

static void *set_elsewhere(void *untouched) {
    bool *empty = untouched;
    *empty = numi_error_detail()[0] == 0;
    numi_error_set(NUMI_ERR_BUSY, "the other thread's");
    return NULL;
}

TEST(the_detail_is_the_threads_own) {
    numi_error_set(NUMI_ERR_ARGUMENT, "mine");
    bool empty = false;
    pthread_t thread;
    NEED(pthread_create(&thread, NULL, set_elsewhere, &empty) == 0);
    pthread_join(thread, NULL);
    EXPECT(empty);
    EXPECT_TEXT(numi_error_detail(), "mine");
}

CHECK_MAIN
