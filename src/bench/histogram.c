/* bench/histogram.c: see histogram.h. */
#include "bench/histogram.h"

/* The largest value that falls into it. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t step = bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS;
    return ((step + 1) << shift) - 1; /* the last one: all ones, by overflow */
}

/* How many of all the fraction is, rounded up; a product that misses a whole number by a hair only
 * is that number. */
static uint64_t rank_of(uint64_t count, double fraction)
{
    double exact = fraction * (double)count;
    uint64_t whole = (uint64_t)exact;
    uint64_t rank = exact - (double)whole > 1e-9 * exact ? whole + 1 : whole;
    return rank == 0 ? 1 : rank > count ? count : rank;
}

uint64_t histogram_quantile(const struct histogram *h, double fraction)
{
    if (h->count == 0)
        return 0;
    uint64_t rank = rank_of(h->count, fraction), seen = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += h->buckets[bucket];
        if (seen >= rank) {
            uint64_t end = bucket_end(bucket);
            return end < h->max ? end : h->max;
        }
    }
    return h->max;
}
