/* io/env_real.c: clock and random.  (Files and the network have files of their own.) */
#include "io/env_real.h"
#include "io/files.h"
#include "io/network.h"
#include <assert.h>
#include <errno.h>
#include <sys/random.h>
#include <time.h>

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    int failed = clock_gettime(id, &t);
    assert(failed == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* BOOTTIME goes on while the machine is suspended: expiry intervals are about the world's time. */
static int64_t monotonic_ns(const struct clock *clock)
{
    return clock_ns(CLOCK_BOOTTIME);
}

static int64_t wall_ns(const struct clock *clock)
{
    return clock_ns(CLOCK_REALTIME);
}

static void random_fill(const struct random *random, void *out, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = getrandom((char *)out + done, size - done, 0);
        assert(got > 0 || errno == EINTR);
        done += got > 0 ? (size_t)got : 0;
    }
}

static const struct clock real_clock = { monotonic_ns, wall_ns };
static const struct random real_random = { random_fill };

const struct env env_real = { &real_clock, &real_random, &files_real, &network_real };
