/* bench/histogram.h: how often a value occurred, to within 1.6 %, in a few KiB.
 *
 * Each power of two is cut into 64 equal buckets, as in HdrHistogram. */
#pragma once

#include <stdint.h>

enum { HISTOGRAM_STEPS = 64, HISTOGRAM_BUCKETS = (64 - 6 + 1) * HISTOGRAM_STEPS };

struct histogram {
    uint64_t count, max, sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 6;
    return (shift + 1) * HISTOGRAM_STEPS + (unsigned)((value >> shift) - HISTOGRAM_STEPS);
}

static inline void histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
    h->count += times;
    h->sum += value * times;
    h->max = value > h->max ? value : h->max;
    h->buckets[histogram_bucket(value)] += times;
}

/* Values that come many times in a row, as what one read brings does, go in at one stroke. */
struct histogram_streak {
    struct histogram *histogram;
    uint64_t value, times;
};

static inline void histogram_streak_end(struct histogram_streak *streak)
{
    if (streak->times > 0)
        histogram_add(streak->histogram, streak->value, streak->times);
    streak->times = 0;
}

static inline void histogram_streak_add(struct histogram_streak *streak, uint64_t value)
{
    if (value != streak->value)
        histogram_streak_end(streak);
    streak->value = value;
    streak->times++;
}

/* The least value that `fraction` (0 to 1) of all do not exceed, rounded up to its bucket's end,
 * but never above the maximum; 0 if there are none. */
uint64_t histogram_quantile(const struct histogram *h, double fraction);
