/* sim/dice.h: the only source of chance in the make-believe world.
 *
 * SplitMix64: small, quick, and the same everywhere.  One seed gives one story. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline uint64_t dice_next(struct dice *d)
{
    uint64_t x = d->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* 0 to count - 1. */
static inline uint32_t dice_below(struct dice *d, uint32_t count)
{
    assert(count > 0);
    return (uint32_t)((dice_next(d) >> 32) * count >> 32);
}

static inline int64_t dice_between(struct dice *d, int64_t least, int64_t most)
{
    assert(least <= most && most - least < UINT32_MAX);
    return least + dice_below(d, (uint32_t)(most - least + 1));
}

/* True so many times out of a thousand. */
static inline bool dice_permille(struct dice *d, uint32_t chance)
{
    return chance > 0 && dice_below(d, 1000) < chance;
}

/* A length of time up to `most`, short ones far more often than long ones. */
static inline int64_t dice_time_ns(struct dice *d, int64_t most)
{
    int64_t most_here = most >> dice_below(d, 14);
    return most_here <= 1 ? 1 : 1 + (int64_t)(dice_next(d) % (uint64_t)most_here);
}
