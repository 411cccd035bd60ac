/* Clocks: the TSC in nanoseconds of any kernel clock, with an error bound.
 *
 * A reading of the TSC costs no system call and is the same on all cores (if `invariant`). To say
 * what it means in another clock, that clock is sampled between two TSC readings - the truth lies
 * inside the bracket - and a line is fitted through the last samples:
 *
 *     ns = base_ns + (ticks - base_ticks) * ns_per_tick
 *
 * The bound of a converted time is the widest distance of a sample from the line plus half its
 * bracket, and grows with the distance from the last sample by `wander_ppb`. It covers a clock that
 * runs straight; a clock slewed or stepped by its discipline (UTC) is covered from the next sample
 * on. Take one a second, off the hot core.
 *
 * Two times subtract only inside one domain; across domains they are converted first, and without a
 * calibration that is NUMI_ERR_UNCALIBRATED, never a number. */
#ifndef NUMI_BASE_CLOCK_H
#define NUMI_BASE_CLOCK_H

#include "base/types.h"

enum numi_domain {
    NUMI_DOMAIN_NONE,
    NUMI_DOMAIN_UTC,
    NUMI_DOMAIN_TAI,
    NUMI_DOMAIN_MONO,
    NUMI_DOMAIN_MONO_RAW,
    NUMI_DOMAIN_TSC,
    NUMI_DOMAIN_PHC,
    NUMI_DOMAIN_NIC,
    NUMI_DOMAIN_VIRTUAL,
    NUMI_DOMAIN_COUNT,
};

enum numi_stamp_source {
    NUMI_STAMP_NONE,
    NUMI_STAMP_TSC_AT_POLL,
    NUMI_STAMP_SOFTWARE,
    NUMI_STAMP_BPF,
    NUMI_STAMP_HW_SYS,
    NUMI_STAMP_HW_RAW,
    NUMI_STAMP_SOURCE_COUNT,
};

/* A time that says where it comes from. In the domain TSC `ns` counts ticks. */
struct numi_stamp {
    int64_t ns;
    uint32_t error_ns; /* the truth lies within +- this; UINT32_MAX: unknown */
    uint8_t source;    /* enum numi_stamp_source */
    uint8_t domain;    /* enum numi_domain */
    uint16_t reserved;
};

/* How one kernel clock follows from the ticks. */
struct numi_clock_fit {
    uint64_t base_ticks;
    int64_t base_ns;
    uint64_t scale; /* nanoseconds a tick, times 2^32 */
    uint64_t last_ticks;
    uint32_t error_ns;
    uint32_t wander_ppb;
    int32_t drift_ppb;     /* rate of this clock against MONO_RAW, minus one */
    uint32_t sample_count; /* in the fit; 0: not calibrated */
    uint32_t step_count;   /* times the clock jumped and the fit began anew */
    uint32_t bracket_ns;   /* of the last sample */
};

struct numi_clock;

/* Calibrates against MONOTONIC, MONOTONIC_RAW, REALTIME and TAI for about `spend_ns` (0: 20 ms) and
 * hands out a clock. NUMI_ERR_ARGUMENT, NUMI_ERR_NO_MEMORY, NUMI_ERR_SYSTEM. */
NUMI_API int numi_clock_open(struct numi_clock **out, uint64_t spend_ns);
NUMI_API void numi_clock_close(struct numi_clock *clock);

/* One bracketed sample of each clock, then new fits. System calls: never on the hot core. Returns
 * the number of clocks sampled. Not to be called while another thread converts with the same clock.
 */
NUMI_API int numi_clock_sample(struct numi_clock *clock);

/* The fit of a domain, valid until the clock is closed, its content until the next sample; NULL
 * where the domain is none that the kernel keeps. */
NUMI_API const struct numi_clock_fit *numi_clock_fit_of(const struct numi_clock *clock,
                                                        uint32_t domain);

/* Whether the TSC runs at one rate in all power states and on all cores. */
NUMI_API int numi_clock_invariant(void);

/* The TSC now, in ticks. */
NUMI_API uint64_t numi_clock_ticks(void);

/* Now, in nanoseconds of `domain` (MONO, MONO_RAW, UTC, TAI), by the TSC alone: no system call. */
NUMI_API int64_t numi_clock_now(const struct numi_clock *clock, uint32_t domain);

/* `from` as a time of `domain`, its error bound widened by that of the conversion.
 * NUMI_ERR_UNCALIBRATED where no fit joins the two. */
NUMI_API int numi_clock_convert(const struct numi_clock *clock, const struct numi_stamp *from,
                                uint32_t domain, struct numi_stamp *to);

/* The same by two fits that were kept (scales over 0), of the domain of `from` and of `domain`;
 * NULL stands for the TSC itself. NUMI_ERR_ARGUMENT where 64 bits do not hold the result. */
NUMI_API int numi_clock_fit_convert(const struct numi_clock_fit *source,
                                    const struct numi_clock_fit *target,
                                    const struct numi_stamp *from, uint32_t domain,
                                    struct numi_stamp *to);

/* What the kernel itself says, with a system call or the vDSO: what now() is judged by.
 * NUMI_ERR_ARGUMENT. */
NUMI_API int numi_clock_kernel_ns(uint32_t domain, int64_t *ns);

NUMI_API const char *numi_domain_name(uint32_t domain);
NUMI_API const char *numi_stamp_source_name(uint32_t source);

#ifndef NUMI_CDEF

#if defined(__x86_64__)
#include <x86intrin.h>

static inline uint64_t numi_ticks(void) {
    return __rdtsc();
}

/* Nothing before it is still running, nothing after it has begun. */
static inline uint64_t numi_ticks_fenced(void) {
    _mm_lfence();
    uint64_t ticks = __rdtsc();
    _mm_lfence();
    return ticks;
}
#elif defined(__aarch64__)
static inline uint64_t numi_ticks(void) {
    uint64_t ticks;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}

static inline uint64_t numi_ticks_fenced(void) {
    uint64_t ticks;
    __asm__ __volatile__("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks)::"memory");
    return ticks;
}
#endif

__extension__ typedef __int128 numi_i128;

/* Signed, so that times before the base come out right. */
static inline int64_t numi_clock_fit_ns(const struct numi_clock_fit *fit, uint64_t ticks) {
    int64_t distance = (int64_t)(ticks - fit->base_ticks);
    return fit->base_ns + (int64_t)(((numi_i128)distance * (numi_i128)fit->scale) >> 32);
}

/* A span of ticks in ns, by the rate of this fit. */
static inline uint64_t numi_clock_fit_span_ns(const struct numi_clock_fit *fit, uint64_t ticks) {
    return (uint64_t)(((numi_i128)ticks * (numi_i128)fit->scale) >> 32);
}

#endif
#endif
