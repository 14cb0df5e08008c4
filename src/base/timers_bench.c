/* base/timers_bench.c: nanoseconds per operation of a wheel full of keep-alive timers. */
#include "base/memory.h"
#include "base/timers.h"

#include <stdio.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int64_t keep_alive(size_t i)
{
    return 2 * SECOND + (int64_t)(i * 2654435761u % 90000) * 1000000;
}

static void bench(size_t count)
{
    struct timer *all = memory_alloc(count * sizeof(*all));
    struct timers *t = timers_create(0);
    assert(all != NULL && t != NULL);
    for (size_t i = 0; i < count; i++)
        timer_init(&all[i], 0);

    double start = now_ns();
    for (size_t i = 0; i < count; i++)
        timers_set(t, &all[i], keep_alive(i));
    double set = now_ns();
    for (size_t i = 0; i < count; i++)
        timers_set(t, &all[i], keep_alive(i + 1));
    double rearmed = now_ns();
    int64_t sum = 0;
    for (size_t i = 0; i < 1000000; i++)
        sum += timers_next_ns(t) + (timers_expire(t, 0) != NULL);
    double idle = now_ns();

    double longest = 0, before = idle;
    size_t expired = 0;
    for (int64_t now = 0; expired < count; now += SECOND) {
        while (timers_expire(t, now) != NULL)
            expired++;
        double after = now_ns();
        longest = after - before > longest ? after - before : longest;
        before = after;
    }
    double n = (double)count;
    printf("%9zu timers   set %5.1f   re-arm %5.1f   idle turn %5.1f   expire %5.1f   ns per op; "
           "longest turn %.2f ms%s\n",
           count, (set - start) / n, (rearmed - set) / n, (idle - rearmed) / 1e6,
           (before - idle) / n, longest / 1e6, sum == 0 ? " (never)" : "");
    timers_destroy(t);
    memory_free(all);
}

int main(void)
{
    bench(1000);
    bench(100000);
    bench(1000000);
    return 0;
}
