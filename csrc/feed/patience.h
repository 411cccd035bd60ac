/* Waiting: times that do not wrap, back-offs that double, chance that follows from a seed; and the
 * bounds that options are held to. */
#ifndef NUMI_FEED_PATIENCE_H
#define NUMI_FEED_PATIENCE_H

#include "base/error.h"
#include "base/types.h"

/* Two hours would be a mistake: no option waits longer than one. */
#define NUMI_PATIENCE_MAX (INT64_C(3600) * 1000000000)

struct numi_bound {
    const char *name;
    int64_t value, least, most;
};

/* NUMI_ERR_ARGUMENT names the first one that is out of its bounds. */
static inline int numi_bounds_check(const struct numi_bound *bounds, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bounds[i].value < bounds[i].least || bounds[i].value > bounds[i].most)
            return numi_error_set(NUMI_ERR_ARGUMENT, "%s=%lld: allowed %lld to %lld",
                                  bounds[i].name, (long long)bounds[i].value,
                                  (long long)bounds[i].least, (long long)bounds[i].most);
    return NUMI_OK;
}

/* The caller's clock may be anywhere. */
static inline int64_t numi_later(int64_t now_ns, int64_t by_ns) {
    int64_t sum;
    return __builtin_add_overflow(now_ns, by_ns, &sum) ? INT64_MAX : sum;
}

/* The wait after the first failure, doubled `times`, at most `longest_ns`. */
static inline int64_t numi_backoff(int64_t wait_ns, int64_t longest_ns, uint64_t times) {
    for (; times > 0 && wait_ns > 0 && wait_ns < longest_ns; times--)
        wait_ns *= 2;
    return wait_ns < longest_ns ? wait_ns : longest_ns;
}

/* 0 to `most_ns`, always the same for the same seed, subject and attempt. */
static inline int64_t numi_jitter(uint64_t seed, uint64_t subject, uint64_t attempt,
                                  int64_t most_ns) {
    uint64_t z = seed + subject * 0x9E3779B97F4A7C15u + attempt;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (int64_t)(z % ((uint64_t)most_ns + 1));
}

#endif
