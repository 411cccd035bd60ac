/* Nothing here is judged by how long it took: a converted time is held against two readings of the
 * kernel's clock, one before and one after, and may lie outside that bracket by no more than the
 * bound it states itself. */
#include "check.h"

#include <time.h>

#include "base/clock.h"
#include "base/error.h"

static const uint32_t kernel_domains[] = {NUMI_DOMAIN_MONO, NUMI_DOMAIN_MONO_RAW, NUMI_DOMAIN_UTC,
                                          NUMI_DOMAIN_TAI};
enum { KERNEL_DOMAIN_COUNT = sizeof kernel_domains / sizeof kernel_domains[0] };

static int64_t kernel_ns(uint32_t domain) {
    int64_t ns = -1;
    NEED(numi_clock_kernel_ns(domain, &ns) == NUMI_OK);
    return ns;
}

/* The kernel's other name for the same clock, past the code under test. */
static int64_t posix_ns(clockid_t id) {
    struct timespec time;
    NEED(clock_gettime(id, &time) == 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct numi_clock *open_clock(void) {
    struct numi_clock *clock = NULL;
    NEED(numi_clock_open(&clock, 0) == NUMI_OK);
    return clock;
}

static struct numi_stamp ticks_now(void) {
    return (struct numi_stamp){.ns = (int64_t)numi_ticks_fenced(),
                               .source = NUMI_STAMP_TSC_AT_POLL,
                               .domain = NUMI_DOMAIN_TSC};
}

TEST(kernel_clocks_are_the_kernels) {
    static const clockid_t ids[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME,
                                    CLOCK_TAI};
    for (int i = 0; i < KERNEL_DOMAIN_COUNT; i++) {
        int64_t before = posix_ns(ids[i]), told = kernel_ns(kernel_domains[i]);
        int64_t after = posix_ns(ids[i]);
        EXPECT(before <= told && told <= after);
    }
    int64_t ns;
    static const uint32_t none[] = {NUMI_DOMAIN_NONE, NUMI_DOMAIN_TSC,     NUMI_DOMAIN_PHC,
                                    NUMI_DOMAIN_NIC,  NUMI_DOMAIN_VIRTUAL, 77};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        EXPECT_EQ(numi_clock_kernel_ns(none[i], &ns), NUMI_ERR_ARGUMENT);
}

/* Outside the bracket by more than the stated bound? */
static void expect_in_bracket(int64_t before, const struct numi_stamp *stamp, int64_t after) {
    int64_t bound = stamp->error_ns;
    EXPECT(stamp->error_ns != UINT32_MAX);
    if (stamp->ns < before - bound || stamp->ns > after + bound) {
        EXPECT(!"inside its bracket widened by its bound");
        fprintf(stderr, "  %s: %lld ns before the bracket, %lld after it, bound %lld\n",
                numi_domain_name(stamp->domain), (long long)(before - stamp->ns),
                (long long)(stamp->ns - after), (long long)bound);
    }
}

static void expect_converts_now(const struct numi_clock *clock, uint32_t domain) {
    int64_t before = kernel_ns(domain);
    struct numi_stamp ticks = ticks_now(), stamp;
    int64_t after = kernel_ns(domain);
    EXPECT_EQ(numi_clock_convert(clock, &ticks, domain, &stamp), NUMI_OK);
    EXPECT_EQ(stamp.domain, domain);
    EXPECT_EQ(stamp.source, NUMI_STAMP_TSC_AT_POLL);
    expect_in_bracket(before, &stamp, after);
}

/* A discipline that slews UTC and MONO meanwhile is excused by the header until the next sample: so
 * sample first. */
TEST(converted_ticks_lie_within_their_bound) {
    if (!numi_clock_invariant())
        SKIP("the TSC changes its rate on this machine");
    struct numi_clock *clock = open_clock();
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < KERNEL_DOMAIN_COUNT; i++)
            expect_converts_now(clock, kernel_domains[i]);
        nanosleep(&(struct timespec){0, (long)check_below(3000000)}, NULL);
        if (round % 4 == 3)
            EXPECT_EQ(numi_clock_sample(clock), KERNEL_DOMAIN_COUNT);
    }
    numi_clock_close(clock);
}

TEST(now_is_the_conversion_of_this_moment) {
    if (!numi_clock_invariant())
        SKIP("the TSC changes its rate on this machine");
    struct numi_clock *clock = open_clock();
    for (int round = 0; round < 200; round++) {
        struct numi_stamp first = ticks_now(), from, until;
        uint32_t domain = kernel_domains[check_below(KERNEL_DOMAIN_COUNT)];
        int64_t now = numi_clock_now(clock, domain);
        struct numi_stamp last = ticks_now();
        EXPECT_EQ(numi_clock_convert(clock, &first, domain, &from), NUMI_OK);
        EXPECT_EQ(numi_clock_convert(clock, &last, domain, &until), NUMI_OK);
        EXPECT(from.ns <= now && now <= until.ns);
    }
    EXPECT_EQ(numi_clock_now(clock, NUMI_DOMAIN_NIC), -1);
    numi_clock_close(clock);
}

/* There and back: a tick is less than a nanosecond or a few, and truncation costs one of each at
 * most. */
TEST(round_trips) {
    struct numi_clock *clock = open_clock();
    for (int round = 0; round < 2000; round++) {
        uint32_t a = kernel_domains[check_below(KERNEL_DOMAIN_COUNT)];
        uint32_t b = kernel_domains[check_below(KERNEL_DOMAIN_COUNT)];
        const struct numi_clock_fit *fit = numi_clock_fit_of(clock, a);
        int64_t tick_ns = (int64_t)(fit->scale >> 32) + 1;
        int64_t offset = (int64_t)check_below(20000000000u) - 10000000000;
        struct numi_stamp from = {.ns = fit->base_ns + offset, .error_ns = 5, .domain = (uint8_t)a};
        struct numi_stamp there, back, ticks;
        EXPECT_EQ(numi_clock_convert(clock, &from, b, &there), NUMI_OK);
        EXPECT_EQ(numi_clock_convert(clock, &there, a, &back), NUMI_OK);
        EXPECT(llabs(back.ns - from.ns) <= 2 * (tick_ns + 1));
        EXPECT(there.error_ns >= from.error_ns && back.error_ns >= there.error_ns);
        EXPECT_EQ(numi_clock_convert(clock, &from, NUMI_DOMAIN_TSC, &ticks), NUMI_OK);
        EXPECT_EQ(ticks.domain, NUMI_DOMAIN_TSC);
        EXPECT_EQ(numi_clock_convert(clock, &ticks, a, &back), NUMI_OK);
        EXPECT(llabs(back.ns - from.ns) <= tick_ns + 1);
    }
    numi_clock_close(clock);
}

TEST(the_same_domain_is_left_as_it_is) {
    struct numi_clock *clock = open_clock();
    for (uint32_t domain = NUMI_DOMAIN_UTC; domain < NUMI_DOMAIN_COUNT; domain++) {
        struct numi_stamp to,
            from = {
                .ns = 123, .error_ns = 9, .source = NUMI_STAMP_HW_RAW, .domain = (uint8_t)domain};
        EXPECT_EQ(numi_clock_convert(clock, &from, domain, &to), NUMI_OK);
        EXPECT(memcmp(&from, &to, sizeof to) == 0);
    }
    numi_clock_close(clock);
}

/* PHC, NIC and virtual time have no fit, and "none" is no time at all: refused, never a number. */
TEST(domains_without_a_calibration_are_refused) {
    struct numi_clock *clock = open_clock();
    static const uint32_t loose[] = {NUMI_DOMAIN_NONE, NUMI_DOMAIN_PHC, NUMI_DOMAIN_NIC,
                                     NUMI_DOMAIN_VIRTUAL, 200};
    for (size_t i = 0; i < sizeof loose / sizeof loose[0]; i++) {
        struct numi_stamp to = {.ns = 42}, from = {.ns = 1, .domain = (uint8_t)loose[i]};
        EXPECT_EQ(numi_clock_convert(clock, &from, NUMI_DOMAIN_UTC, &to), NUMI_ERR_UNCALIBRATED);
        EXPECT_EQ(numi_clock_convert(clock, &from, NUMI_DOMAIN_TSC, &to), NUMI_ERR_UNCALIBRATED);
        from.domain = NUMI_DOMAIN_TSC;
        EXPECT_EQ(numi_clock_convert(clock, &from, loose[i], &to), NUMI_ERR_UNCALIBRATED);
        from.domain = NUMI_DOMAIN_TAI;
        EXPECT_EQ(numi_clock_convert(clock, &from, loose[i], &to), NUMI_ERR_UNCALIBRATED);
        EXPECT_EQ(to.ns, 42);
        EXPECT(numi_clock_fit_of(clock, loose[i]) == NULL);
    }
    struct numi_stamp to, none = {.domain = NUMI_DOMAIN_NONE};
    EXPECT_EQ(numi_clock_convert(clock, &none, NUMI_DOMAIN_NONE, &to), NUMI_ERR_UNCALIBRATED);
    EXPECT_CONTAINS(numi_error_detail(), "none");
    numi_clock_close(clock);
}

TEST(an_unknown_error_stays_unknown) {
    struct numi_clock *clock = open_clock();
    struct numi_stamp to, from = ticks_now();
    from.error_ns = UINT32_MAX;
    EXPECT_EQ(numi_clock_convert(clock, &from, NUMI_DOMAIN_UTC, &to), NUMI_OK);
    EXPECT_EQ(to.error_ns, UINT32_MAX);
    numi_clock_close(clock);
}

/* Times from outside may be anything: no overflow, and the bound says that the number is worth
 * nothing. */
TEST(absurd_times_have_no_bound) {
    static const int64_t absurd[] = {INT64_MIN, INT64_MIN / 4, INT64_MAX / 4, INT64_MAX};
    struct numi_clock *clock = open_clock();
    for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++)
        for (int from = 0; from < KERNEL_DOMAIN_COUNT; from++)
            for (int into = 0; into < KERNEL_DOMAIN_COUNT; into++) {
                struct numi_stamp to, stamp = {.ns = absurd[i]};
                stamp.domain = (uint8_t)kernel_domains[from];
                EXPECT_EQ(numi_clock_convert(clock, &stamp, kernel_domains[into], &to), NUMI_OK);
                EXPECT(from == into || to.error_ns == UINT32_MAX);
            }
    numi_clock_close(clock);
}

TEST(the_bound_grows_with_the_distance) {
    struct numi_clock *clock = open_clock();
    struct numi_stamp near, far, before, ticks = ticks_now();
    EXPECT_EQ(numi_clock_convert(clock, &ticks, NUMI_DOMAIN_MONO, &near), NUMI_OK);
    int64_t now = ticks.ns, hour = now > 0 ? (int64_t)1 << 43 : 0;
    ticks.ns = now + hour;
    EXPECT_EQ(numi_clock_convert(clock, &ticks, NUMI_DOMAIN_MONO, &far), NUMI_OK);
    ticks.ns = now - hour;
    EXPECT_EQ(numi_clock_convert(clock, &ticks, NUMI_DOMAIN_MONO, &before), NUMI_OK);
    EXPECT(far.error_ns > near.error_ns);
    EXPECT(before.error_ns > near.error_ns);
    EXPECT(before.ns < near.ns && near.ns < far.ns);
    numi_clock_close(clock);
}

TEST(fits_say_what_they_rest_on) {
    struct numi_clock *clock = open_clock();
    for (int i = 0; i < KERNEL_DOMAIN_COUNT; i++) {
        const struct numi_clock_fit *fit = numi_clock_fit_of(clock, kernel_domains[i]);
        NEED(fit != NULL);
        EXPECT_EQ(fit->sample_count, 16);
        EXPECT(fit->scale > 0);
        EXPECT(fit->error_ns > 0 && fit->wander_ppb > 0);
        EXPECT(fit->last_ticks <= numi_clock_ticks());
    }
    EXPECT_EQ(numi_clock_fit_of(clock, NUMI_DOMAIN_MONO_RAW)->drift_ppb, 0);
    for (int sample = 0; sample < 70; sample++) /* more than a fit looks back over */
        numi_clock_sample(clock);
    EXPECT_EQ(numi_clock_fit_of(clock, NUMI_DOMAIN_MONO)->sample_count, 64);
    numi_clock_close(clock);
}

TEST(too_long_a_calibration_is_refused) {
    struct numi_clock *clock = NULL;
    EXPECT_EQ(numi_clock_open(&clock, 10000000001), NUMI_ERR_ARGUMENT);
    EXPECT(clock == NULL);
    EXPECT_EQ(numi_clock_open(&clock, 1), NUMI_OK);
    numi_clock_close(clock);
    numi_clock_close(NULL);
}

TEST(names) {
    EXPECT_TEXT(numi_domain_name(NUMI_DOMAIN_NONE), "none");
    EXPECT_TEXT(numi_domain_name(NUMI_DOMAIN_MONO_RAW), "mono_raw");
    EXPECT_TEXT(numi_domain_name(NUMI_DOMAIN_VIRTUAL), "virtual");
    EXPECT_TEXT(numi_domain_name(NUMI_DOMAIN_COUNT), "unknown");
    EXPECT_TEXT(numi_stamp_source_name(NUMI_STAMP_TSC_AT_POLL), "tsc_at_poll");
    EXPECT_TEXT(numi_stamp_source_name(NUMI_STAMP_HW_RAW), "hw_raw");
    EXPECT_TEXT(numi_stamp_source_name(NUMI_STAMP_SOURCE_COUNT), "unknown");
}

CHECK_MAIN
