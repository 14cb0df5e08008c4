/* io/env_real.c: clock, random and files.  (The network has a file of its own.) */
#include "io/env_real.h"
#include "io/network.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

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

static int read_all(int fd, struct buffer *out)
{
    enum { STEP = 16 * 1024 };
    for (;;) {
        uint8_t *room = buffer_reserve(out, STEP);
        if (room == NULL)
            return -ENOMEM;
        ssize_t got = read(fd, room, STEP);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return 0;
        buffer_commit(out, got > 0 ? (size_t)got : 0);
    }
}

static int files_read(const struct files *files, const char *path, struct buffer *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = read_all(fd, out);
    (void)close(fd); /* opened for reading: nothing can be lost */
    return result;
}

static int files_list(const struct files *files, const char *path, struct buffer *out)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return -errno;
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(folder)) != NULL;)
        result = buffer_append(out, bytes_of(entry->d_name, strlen(entry->d_name) + 1));
    (void)closedir(folder); /* as above */
    return result;
}

static const struct clock real_clock = { monotonic_ns, wall_ns };
static const struct random real_random = { random_fill };
static const struct files real_files = { files_read, files_list };

const struct env env_real = { &real_clock, &real_random, &real_files, &network_real };
