/* bench/process.c: two files of /proc and a clock.
 *
 *     CPU clock of the process    all threads that ever were, to the nanosecond      the total
 *     /proc/PID/stat              utime and stime, in ticks of 10 ms                 the split
 *     /proc/PID/smaps_rollup      Private_Clean + Private_Dirty                      the memory */
#include "bench/process.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_SIZE = 4096 };

/* All of a small file, ended by '\0'.  0 or a negative errno. */
static int read_proc(int pid, const char *file, char *text)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    size_t size = 0;
    ssize_t got = 0;
    while (size < TEXT_SIZE - 1 && (got = read(fd, text + size, TEXT_SIZE - 1 - size)) > 0)
        size += (size_t)got;
    int failure = got < 0 ? -errno : 0;
    (void)close(fd); /* it was only read */
    text[size] = '\0';
    return failure;
}

static int read_clock(int pid, int64_t *ns)
{
    clockid_t clock;
    struct timespec t;
    int failure = clock_getcpuclockid(pid, &clock);
    if (failure != 0)
        return -failure;
    if (clock_gettime(clock, &t) != 0)
        return -errno;
    *ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    return 0;
}

int process_cpu_read(int pid, struct process_cpu *out)
{
    char text[TEXT_SIZE];
    unsigned long long user, system;
    int64_t total_ns = 0;
    int failure = read_clock(pid, &total_ns);
    if (failure == 0)
        failure = read_proc(pid, "stat", text);
    if (failure != 0)
        return failure;
    /* PID (NAME) STATE and ten more, then utime and stime; a name may hold anything, ')' too. */
    const char *end = strrchr(text, ')');
    if (end == NULL || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                              &user, &system) != 2)
        return -EPROTO;
    *out = (struct process_cpu){ total_ns, user, system };
    return 0;
}

void process_cpu_between(const struct process_cpu *before, const struct process_cpu *after,
                         double *user_s, double *system_s)
{
    double user = (double)(after->user_ticks - before->user_ticks);
    double system = (double)(after->system_ticks - before->system_ticks);
    double total_s = (double)(after->total_ns - before->total_ns) / 1e9;
    double share = user + system > 0 ? user / (user + system) : 0.5; /* too little to tell */
    *user_s = total_s * share;
    *system_s = total_s - *user_s;
}

/* The number of kB behind a name at the start of a line. */
static int64_t kib_of(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line == NULL ? 0 : strtoll(line + strlen(name), NULL, 10);
}

int process_private_memory(int pid, int64_t *bytes)
{
    char text[TEXT_SIZE];
    int failure = read_proc(pid, "smaps_rollup", text);
    if (failure != 0)
        return failure;
    *bytes = (kib_of(text, "\nPrivate_Clean:") + kib_of(text, "\nPrivate_Dirty:")) * 1024;
    return 0;
}
