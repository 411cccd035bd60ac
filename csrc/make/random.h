/* Chance that is the same on every machine: xoshiro256** streams with names, and the shapes drawn
 * from them, in integers only.
 *
 * Fractions are Q16: 65536 is one. Logarithm and power are right to 1%, which is all that a
 * distribution needs, and they are right by the same bits everywhere, which libm's are not. */
#ifndef NUMI_MAKE_RANDOM_H
#define NUMI_MAKE_RANDOM_H

#include "base/types.h"

#ifndef NUMI_CDEF

struct numi_random {
    uint64_t s[4];
};

static inline uint64_t numi_random_split(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* A stream of its own for each name: drawing more from one moves no other. */
static inline void numi_random_open(struct numi_random *random, uint64_t seed, const char *name) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name != 0; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001B3u;
    uint64_t state = numi_random_split(&seed) ^ hash;
    for (int i = 0; i < 4; i++)
        random->s[i] = numi_random_split(&state);
}

static inline uint64_t numi_random_next(struct numi_random *random) {
    uint64_t *s = random->s, five = s[1] * 5, result = (five << 7 | five >> 57) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

/* 0 to limit - 1. */
static inline uint32_t numi_random_below(struct numi_random *random, uint32_t limit) {
    return (uint32_t)((numi_random_next(random) >> 32) * limit >> 32);
}

/* The same for limits of 64 bits. */
static inline uint64_t numi_random_below64(struct numi_random *random, uint64_t limit) {
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)numi_random_next(random) * limit >> 64);
}

/* True `share` times out of `whole`. */
static inline bool numi_random_chance(struct numi_random *random, uint32_t share, uint32_t whole) {
    return numi_random_below(random, whole) < share;
}

/* log2 of a number above 0, Q16. */
static inline int64_t numi_log2_q16(uint64_t value) {
    int whole = 63 - __builtin_clzll(value);
    uint64_t fraction = (whole >= 16 ? value >> (whole - 16) : value << (16 - whole)) & 0xFFFF;
    uint64_t curve = 88244 - (22708 * fraction >> 16);
    return (int64_t)whole * 65536 + (int64_t)(fraction * curve >> 16);
}

/* 2 to the power of `exponent` (Q16), rounded down; 0 below 0, at most about 2^46. */
static inline uint64_t numi_exp2_q16(int64_t exponent) {
    if (exponent < 0)
        return 0;
    uint64_t whole = (uint64_t)exponent >> 16, fraction = (uint64_t)exponent & 0xFFFF;
    uint64_t mantissa = 65536 + (fraction * (43024 + (22512 * fraction >> 16)) >> 16);
    if (whole > 46)
        whole = 46;
    return whole >= 16 ? mantissa << (whole - 16) : mantissa >> (16 - whole);
}

/* The normal distribution, Q16: mean 0, deviation 1, nothing beyond 3.46. */
static inline int64_t numi_random_normal(struct numi_random *random) {
    uint64_t bits = numi_random_next(random);
    int64_t sum =
        (int64_t)((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48));
    return (sum - 131070) * 113512 / 65536;
}

/* -log2 of a number drawn evenly from 0 to 1, Q16: an exponential of mean 1.44. */
static inline uint64_t numi_random_halvings(struct numi_random *random) {
    return (uint64_t)((32 << 16) - numi_log2_q16((numi_random_next(random) >> 32) + 1));
}

/* The exponential distribution, rounded down. `mean` is ln 2 times the mean, Q16. */
static inline uint64_t numi_random_exponential(struct numi_random *random, uint32_t mean) {
    return numi_random_halvings(random) * mean >> 32;
}

#endif
#endif
