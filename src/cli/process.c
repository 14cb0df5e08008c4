/* cli/process.c: see process.h. */
#include "cli/process.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000 };

int process_usable_cpus(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? count : 1;
}

void process_block_signals(sigset_t *signals)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a known signal: cannot fail */
    sigemptyset(signals);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, SIGUSR1);
    sigaddset(signals, SIGUSR2);
    sigaddset(signals, SIGRTMIN);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

void process_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* else it stays what it is */
    }
}

/* A pipe that is ready takes PIPE_BUF bytes without waiting. */
bool process_print(struct bytes text)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
    while (text.size > 0) {
        if (poll(&out, 1, PATIENCE_MS) != 1 || (out.revents & POLLOUT) == 0)
            return false;
        size_t size = text.size < PIPE_BUF ? text.size : PIPE_BUF;
        ssize_t written = write(STDOUT_FILENO, text.data, size);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        text = bytes_after(text, written > 0 ? (size_t)written : 0);
    }
    return true;
}

int process_daemonise(void)
{
    return daemon(1, 0); /* keeps the folder: relative paths in the configuration stay right */
}

int process_write_pid(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    int written = dprintf(fd, "%ld", (long)getpid());
    return close(fd) == 0 && written > 0 ? 0 : -1;
}

/* ------------------------------------------------------------------------------- privileges --- */

static const struct passwd *default_user(void)
{
    static const char *const names[] = { "chappe", "mosquitto", "nobody" };
    const struct passwd *user = NULL;
    for (size_t i = 0; user == NULL && i < sizeof names / sizeof names[0]; i++)
        user = getpwnam(names[i]);
    return user;
}

/* A number from the environment; 0: none. */
static unsigned long id_from(const char *name)
{
    const char *text = getenv(name);
    return text == NULL ? 0 : strtoul(text, NULL, 10);
}

static int become(uid_t uid, gid_t gid, const char *name, struct log *log)
{
    int groups = name == NULL ? setgroups(0, NULL) : initgroups(name, gid);
    if (groups != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) {
        log_line(log, LOG_TYPE_ERROR, "Error: Unable to drop privileges to '%s': %s.",
                 name == NULL ? "PUID" : name, strerror(errno));
        return -1;
    }
    if (setuid(0) == 0) {
        log_line(log, LOG_TYPE_ERROR, "Error: Privileges could be regained after dropping them.");
        return -1;
    }
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* an old kernel does without */
    return 0;
}

int process_drop_privileges(const char *user, struct log *log)
{
    unsigned long uid = id_from("PUID"), gid = id_from("PGID");
    const char *snap = getenv("SNAP_NAME");
    if (geteuid() != 0 || (snap != NULL && strcmp(snap, "mosquitto") == 0))
        return 0;
    if (uid != 0 || gid != 0)
        return become((uid_t)(uid != 0 ? uid : gid), (gid_t)(gid != 0 ? gid : uid), NULL, log);
    if (user != NULL && strcmp(user, "root") == 0) {
        log_line(log, LOG_TYPE_WARNING, "Warning: Running as root, because 'user root' says so.");
        return 0;
    }
    const struct passwd *entry = user == NULL ? default_user() : getpwnam(user);
    if (entry == NULL) {
        log_line(log, LOG_TYPE_ERROR,
                 "Error: Unable to drop privileges to '%s' because this user does not exist.",
                 user == NULL ? "nobody" : user);
        return -1;
    }
    return become(entry->pw_uid, entry->pw_gid, entry->pw_name, log);
}
