#include "base/clock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum {
    SAMPLE_MAX = 64,   /* a fit looks back over this many samples */
    BRACKET_TRIES = 8, /* the narrowest of so many is the sample */
    SCALE_BITS = 32,
    OPEN_SAMPLES = 16,
    STEP_LEAST_NS = 100000, /* nearer than this to the line is never called a step */
};

static const struct {
    uint32_t domain;
    clockid_t id;
} kernel_clocks[] = {
    {NUMI_DOMAIN_MONO_RAW, CLOCK_MONOTONIC_RAW}, /* first: the others' drift is told against it */
    {NUMI_DOMAIN_MONO, CLOCK_MONOTONIC},
    {NUMI_DOMAIN_UTC, CLOCK_REALTIME},
    {NUMI_DOMAIN_TAI, CLOCK_TAI},
};
enum { KERNEL_CLOCK_COUNT = sizeof kernel_clocks / sizeof kernel_clocks[0] };

struct sample {
    uint64_t ticks; /* the middle of the bracket */
    int64_t ns;
    uint64_t bracket_ticks;
};

struct line {
    struct sample samples[SAMPLE_MAX];
    uint32_t count;
    uint32_t next;
    struct numi_clock_fit fit;
};

struct numi_clock {
    struct line lines[KERNEL_CLOCK_COUNT];
};

static int kernel_index(uint32_t domain) {
    for (int index = 0; index < KERNEL_CLOCK_COUNT; index++)
        if (kernel_clocks[index].domain == domain)
            return index;
    return -1;
}

static int64_t read_kernel(int index) {
    struct timespec time;
    if (clock_gettime(kernel_clocks[index].id, &time) != 0)
        return -1;
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int numi_clock_kernel_ns(uint32_t domain, int64_t *ns) {
    int index = kernel_index(domain);
    if (index < 0)
        return numi_error_set(NUMI_ERR_ARGUMENT, "clock domain %s: the kernel keeps none such",
                              numi_domain_name(domain));
    *ns = read_kernel(index);
    return *ns < 0 ? numi_error_set_errno(errno, "reading clock %s", numi_domain_name(domain))
                   : NUMI_OK;
}

static struct sample take_sample(int index) {
    struct sample best = {.bracket_ticks = UINT64_MAX};
    for (int try = 0; try < BRACKET_TRIES; try++) {
        uint64_t before = numi_ticks_fenced();
        int64_t ns = read_kernel(index);
        uint64_t after = numi_ticks_fenced();
        if (after - before < best.bracket_ticks)
            best = (struct sample){before + (after - before) / 2, ns, after - before};
    }
    return best;
}

/* Half the bracket of a sample in ns, by the slope at hand, rounded up. */
static double half_bracket_ns(const struct sample *sample, double slope) {
    return (double)sample->bracket_ticks * slope / 2 + 1;
}

/* Least squares over the samples, centred on the last one so that doubles keep every nanosecond. */
static double regress(const struct line *line, const struct sample *origin, double *intercept) {
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
    for (uint32_t i = 0; i < line->count; i++) {
        mean_x += (double)(int64_t)(line->samples[i].ticks - origin->ticks);
        mean_y += (double)(line->samples[i].ns - origin->ns);
    }
    mean_x /= line->count;
    mean_y /= line->count;
    for (uint32_t i = 0; i < line->count; i++) {
        double x = (double)(int64_t)(line->samples[i].ticks - origin->ticks) - mean_x;
        xx += x * x;
        xy += x * ((double)(line->samples[i].ns - origin->ns) - mean_y);
    }
    double slope = xy / xx;
    *intercept = mean_y - slope * mean_x;
    return slope;
}

/* The widest a sample lies from the line, its own uncertainty included; and the width of the whole
 * window. */
static void bound_fit(struct line *line, const struct sample *origin, double slope,
                      double intercept) {
    double widest = 0;
    uint64_t oldest = origin->ticks;
    for (uint32_t i = 0; i < line->count; i++) {
        const struct sample *sample = &line->samples[i];
        double x = (double)(int64_t)(sample->ticks - origin->ticks);
        double off = fabs((double)(sample->ns - origin->ns) - (slope * x + intercept));
        widest = fmax(widest, off + half_bracket_ns(sample, slope));
        if (sample->ticks < oldest)
            oldest = sample->ticks;
    }
    double span_ns = (double)(origin->ticks - oldest) * slope;
    line->fit.error_ns = (uint32_t)fmin(widest + 1, 4e9);
    line->fit.wander_ppb = (uint32_t)fmin(2 * widest / span_ns * 1e9 + 1, 4e9);
}

static void fit_line(struct line *line, const struct sample *origin) {
    double intercept;
    double slope = regress(line, origin, &intercept);
    line->fit.base_ticks = origin->ticks;
    line->fit.base_ns = origin->ns + (int64_t)llround(intercept);
    line->fit.scale = (uint64_t)llround(ldexp(slope, SCALE_BITS));
    line->fit.last_ticks = origin->ticks;
    line->fit.sample_count = line->count;
    line->fit.bracket_ns = (uint32_t)fmin((double)origin->bracket_ticks * slope, 4e9);
    bound_fit(line, origin, slope, intercept);
}

/* A clock that was set: the old samples say nothing about it any more. */
static bool has_stepped(const struct line *line, const struct sample *sample) {
    if (line->fit.sample_count < 2)
        return false;
    double elapsed =
        (double)numi_clock_fit_span_ns(&line->fit, sample->ticks - line->fit.last_ticks);
    double allowed = fmax(STEP_LEAST_NS, 8 * (line->fit.error_ns + elapsed * 0.001));
    return fabs((double)(sample->ns - numi_clock_fit_ns(&line->fit, sample->ticks))) > allowed;
}

static void add_sample(struct line *line, const struct sample *sample) {
    if (has_stepped(line, sample)) {
        uint64_t scale = line->fit.scale;
        line->count = line->next = 0;
        line->fit.step_count++;
        /* One sample gives no slope: keep the old one until the second comes. */
        line->fit = (struct numi_clock_fit){.base_ticks = sample->ticks,
                                            .base_ns = sample->ns,
                                            .scale = scale,
                                            .last_ticks = sample->ticks,
                                            .error_ns = STEP_LEAST_NS,
                                            .wander_ppb = 1000000,
                                            .sample_count = 1,
                                            .step_count = line->fit.step_count};
    }
    line->samples[line->next] = *sample;
    line->next = (line->next + 1) % SAMPLE_MAX;
    if (line->count < SAMPLE_MAX)
        line->count++;
    if (line->count >= 2)
        fit_line(line, sample);
}

int numi_clock_sample(struct numi_clock *clock) {
    for (int index = 0; index < KERNEL_CLOCK_COUNT; index++) {
        struct sample sample = take_sample(index);
        add_sample(&clock->lines[index], &sample);
        double raw = (double)clock->lines[0].fit.scale;
        double own = (double)clock->lines[index].fit.scale;
        clock->lines[index].fit.drift_ppb = raw > 0 ? (int32_t)((own / raw - 1) * 1e9) : 0;
    }
    return KERNEL_CLOCK_COUNT;
}

int numi_clock_open(struct numi_clock **out, uint64_t spend_ns) {
    enum { SPEND_DEFAULT = 20000000 };
    if (spend_ns > 10000000000u)
        return numi_error_set(NUMI_ERR_ARGUMENT, "clock calibration of %llu ns: allowed 0 to 10 s",
                              (unsigned long long)spend_ns);
    if (spend_ns == 0)
        spend_ns = SPEND_DEFAULT;
    struct numi_clock *clock = calloc(1, sizeof *clock);
    if (clock == NULL)
        return numi_error_set(NUMI_ERR_NO_MEMORY, "clock: %zu bytes", sizeof *clock);
    uint64_t wait_ns = spend_ns / OPEN_SAMPLES;
    struct timespec wait = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
    for (int i = 0; i < OPEN_SAMPLES; i++) {
        numi_clock_sample(clock);
        nanosleep(&wait, NULL);
    }
    *out = clock;
    return NUMI_OK;
}

void numi_clock_close(struct numi_clock *clock) {
    free(clock);
}

const struct numi_clock_fit *numi_clock_fit_of(const struct numi_clock *clock, uint32_t domain) {
    int index = kernel_index(domain);
    return index < 0 ? NULL : &clock->lines[index].fit;
}

int numi_clock_invariant(void) {
#if defined(__x86_64__)
    const unsigned power_leaf = 0x80000007, invariant_bit = 1 << 8;
    unsigned a, b, c, d;
    return __get_cpuid(power_leaf, &a, &b, &c, &d) && (d & invariant_bit);
#else
    return 1; /* the generic timer of aarch64 is so by definition */
#endif
}

uint64_t numi_clock_ticks(void) {
    return numi_ticks();
}

int64_t numi_clock_now(const struct numi_clock *clock, uint32_t domain) {
    const struct numi_clock_fit *fit = numi_clock_fit_of(clock, domain);
    return fit == NULL ? -1 : numi_clock_fit_ns(fit, numi_ticks());
}

/* The bound of `fit` at `ticks`: it grows on both sides of the samples. */
static uint32_t fit_error_ns(const struct numi_clock_fit *fit, uint64_t ticks) {
    int64_t away = (int64_t)(ticks - fit->last_ticks);
    double away_ns = fabs((double)away) * ldexp((double)fit->scale, -SCALE_BITS);
    double error_ns = fit->error_ns + floor(away_ns * fit->wander_ppb * 1e-9);
    return error_ns < UINT32_MAX ? (uint32_t)error_ns : UINT32_MAX;
}

static uint64_t ticks_of_ns(const struct numi_clock_fit *fit, int64_t ns) {
    /* Multiplied, not shifted: a time before the base is negative. */
    numi_i128 distance = ((numi_i128)ns - fit->base_ns) * ((numi_i128)1 << SCALE_BITS);
    return fit->base_ticks + (uint64_t)(int64_t)(distance / (numi_i128)fit->scale);
}

static uint32_t add_errors(uint64_t a, uint64_t b) {
    return a + b > UINT32_MAX ? UINT32_MAX : (uint32_t)(a + b);
}

int numi_clock_fit_convert(const struct numi_clock_fit *source, const struct numi_clock_fit *target,
                           const struct numi_stamp *from, uint32_t domain, struct numi_stamp *to) {
    uint64_t ticks = source == NULL ? (uint64_t)from->ns : ticks_of_ns(source, from->ns);
    uint32_t error = from->error_ns;
    numi_i128 ns = (int64_t)ticks;
    if (source != NULL)
        error = add_errors(error, fit_error_ns(source, ticks));
    if (target != NULL) {
        int64_t distance = (int64_t)(ticks - target->base_ticks);
        ns = target->base_ns + (((numi_i128)distance * (numi_i128)target->scale) >> SCALE_BITS);
        error = add_errors(error, fit_error_ns(target, ticks));
    }
    if (ns < INT64_MIN || ns > INT64_MAX)
        return numi_error_set(NUMI_ERR_ARGUMENT, "%lld ns of %s: %s has 64 bits for it",
                              (long long)from->ns, numi_domain_name(from->domain),
                              numi_domain_name(domain));
    *to = (struct numi_stamp){
        .ns = (int64_t)ns,
        .error_ns = error,
        .source = from->source,
        .domain = (uint8_t)domain,
    };
    return NUMI_OK;
}

int numi_clock_convert(const struct numi_clock *clock, const struct numi_stamp *from,
                       uint32_t domain, struct numi_stamp *to) {
    if (from->domain == domain && domain != NUMI_DOMAIN_NONE) {
        *to = *from;
        return NUMI_OK;
    }
    const struct numi_clock_fit *source = numi_clock_fit_of(clock, from->domain);
    const struct numi_clock_fit *target = numi_clock_fit_of(clock, domain);
    bool from_ticks = from->domain == NUMI_DOMAIN_TSC, to_ticks = domain == NUMI_DOMAIN_TSC;
    if ((source == NULL && !from_ticks) || (target == NULL && !to_ticks))
        return numi_error_set(NUMI_ERR_UNCALIBRATED, "no calibration joins %s and %s",
                              numi_domain_name(from->domain), numi_domain_name(domain));
    return numi_clock_fit_convert(source, target, from, domain, to);
}

const char *numi_domain_name(uint32_t domain) {
    static const char *const names[NUMI_DOMAIN_COUNT] = {"none", "utc", "tai", "mono",   "mono_raw",
                                                         "tsc",  "phc", "nic", "virtual"};
    return domain < NUMI_DOMAIN_COUNT ? names[domain] : "unknown";
}

const char *numi_stamp_source_name(uint32_t source) {
    static const char *const names[NUMI_STAMP_SOURCE_COUNT] = {"none", "tsc_at_poll", "software",
                                                               "bpf",  "hw_sys",      "hw_raw"};
    return source < NUMI_STAMP_SOURCE_COUNT ? names[source] : "unknown";
}
