/* io/log_sink.c: a ring of lines between everybody who logs and one thread that writes.
 *
 *     workers --push--> [ line | line | ... ] --pop--> writer --> stderr, file, syslog, topic
 *
 * The lock is held for a memcpy of one line, never while something is written. */
#include "io/log_sink.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 1024, RING_LINES = 1024, OUT_SIZE = 8 * 1024 };
enum { PATIENCE_MS = 1000, PATIENCE_AT_END_MS = 200 }; /* with somebody who does not read the log */

struct line {
    int64_t wall_ns;
    enum log_type type;
    char text[LINE_SIZE];
};

struct log_sink {
    struct log log;
    const struct clock *clock;

    pthread_mutex_t lock; /* guards the ring and the flags below */
    pthread_cond_t filled;
    struct line *ring;
    size_t head, count;
    uint64_t dropped;
    bool is_running;
    atomic_bool must_end;
    pthread_t thread;

    pthread_mutex_t writing; /* guards options and fd: held while a line is written */
    struct log_sink_options options;
    int fd;       /* the file, or -1 */
    bool gave_up; /* at the end: somebody does not read, and is not waited for again */
};

/* ------------------------------------------------------------------------------ formatting ---- */

static const char *type_name(enum log_type type)
{
    switch (type) {
    case LOG_TYPE_INFORMATION:
        return "information";
    case LOG_TYPE_NOTICE:
        return "notice";
    case LOG_TYPE_WARNING:
        return "warning";
    case LOG_TYPE_ERROR:
        return "error";
    case LOG_TYPE_DEBUG:
        return "debug";
    case LOG_TYPE_SUBSCRIBE:
        return "subscribe";
    case LOG_TYPE_UNSUBSCRIBE:
        return "unsubscribe";
    case LOG_TYPE_WEBSOCKETS:
        return "websockets";
    default:
        return "internal";
    }
}

static int syslog_priority(enum log_type type)
{
    switch (type) {
    case LOG_TYPE_ERROR:
        return LOG_ERR;
    case LOG_TYPE_WARNING:
        return LOG_WARNING;
    case LOG_TYPE_NOTICE:
        return LOG_NOTICE;
    case LOG_TYPE_DEBUG:
        return LOG_DEBUG;
    default:
        return LOG_INFO;
    }
}

enum { JSON_CHARACTER_MAX = 6 }; /* bytes that one of text may become: \u0009 */

/* Puts text into a JSON string.  It is UTF-8 already: foreign text has been through log_escape. */
static void put_json_string(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (; *text != '\0' && used + JSON_CHARACTER_MAX < size; text++) {
        if ((unsigned char)*text < 0x20) {
            used += (size_t)snprintf(out + used, size - used, "\\u%04x", (unsigned)*text);
            continue;
        }
        if (*text == '"' || *text == '\\')
            out[used++] = '\\';
        out[used++] = *text;
    }
    out[used] = '\0';
}

static size_t format_time(const struct log_sink_options *o, int64_t wall_ns, char *out, size_t size)
{
    time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm broken;
    if (o->timestamp_format == NULL)
        return (size_t)snprintf(out, size, "%lld", (long long)seconds);
    localtime_r(&seconds, &broken);
    return strftime(out, size, o->timestamp_format, &broken);
}

static size_t format_json(const struct line *l, char *out, size_t size)
{
    char text[JSON_CHARACTER_MAX * LINE_SIZE], when[64];
    time_t seconds = (time_t)(l->wall_ns / 1000000000);
    struct tm broken;
    gmtime_r(&seconds, &broken);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &broken);
    put_json_string(text, sizeof text, l->text);
    return (size_t)snprintf(out, size,
                            "{\"time\":\"%s.%06lldZ\",\"type\":\"%s\",\"text\":\"%s\"}\n", when,
                            (long long)(l->wall_ns / 1000 % 1000000), type_name(l->type), text);
}

static size_t format_line(const struct log_sink_options *o, const struct line *l, char *out,
                          size_t size)
{
    size_t used = 0;
    if (o->json)
        return format_json(l, out, size);
    if (o->timestamp) {
        used = format_time(o, l->wall_ns, out, 256);
        used += (size_t)snprintf(out + used, size - used, ": ");
    }
    return used + (size_t)snprintf(out + used, size - used, "%s\n", l->text);
}

/* --------------------------------------------------------------------------------- writing ---- */

/* Can it be written to now, or soon?  Whoever reads a pipe or a terminal may have stopped reading;
 * the end must not wait for him. */
static bool is_writable(struct log_sink *s, int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    bool at_end = atomic_load(&s->must_end);
    if (at_end && s->gave_up)
        return false;
    bool writable =
        poll(&p, 1, at_end ? PATIENCE_AT_END_MS : PATIENCE_MS) == 1 && (p.revents & POLLOUT) != 0;
    s->gave_up = at_end && !writable;
    return writable;
}

/* A log that cannot be written has nobody to complain to: the line is lost. */
static void write_fd(struct log_sink *s, int fd, const char *text, size_t size)
{
    while (size > 0 && is_writable(s, fd)) {
        /* So much can be written to a pipe that polls writable without blocking. */
        ssize_t written = write(fd, text, size < PIPE_BUF ? size : PIPE_BUF);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        text += written;
        size -= (size_t)written;
    }
}

static void write_line(struct log_sink *s, const struct line *l)
{
    char out[OUT_SIZE];
    pthread_mutex_lock(&s->writing);
    const struct log_sink_options *o = &s->options;
    size_t size = format_line(o, l, out, sizeof out);
    if ((o->destinations & LOG_SINK_STDERR) != 0)
        write_fd(s, STDERR_FILENO, out, size);
    if ((o->destinations & LOG_SINK_STDOUT) != 0)
        write_fd(s, STDOUT_FILENO, out, size);
    if ((o->destinations & LOG_SINK_FILE) != 0 && s->fd >= 0)
        write_fd(s, s->fd, out, size);
    if ((o->destinations & LOG_SINK_SYSLOG) != 0)
        syslog(syslog_priority(l->type), "%s", l->text);
    if ((o->destinations & LOG_SINK_TOPIC) != 0 && o->publish != NULL)
        o->publish(o->context, l->type, l->text);
    pthread_mutex_unlock(&s->writing);
}

/* Under the lock.  False: full. */
static bool push(struct log_sink *s, const struct line *l)
{
    if (s->count == RING_LINES) {
        s->dropped++;
        return false;
    }
    s->ring[(s->head + s->count) % RING_LINES] = *l;
    s->count++;
    return true;
}

static void log_write(struct log *log, enum log_type type, const char *text)
{
    struct log_sink *s = (struct log_sink *)log;
    struct line l = { .wall_ns = s->clock->wall_ns(s->clock), .type = type };
    snprintf(l.text, sizeof l.text, "%s", text);

    pthread_mutex_lock(&s->lock);
    bool queued = s->is_running && (push(s, &l) || true);
    if (queued)
        pthread_cond_signal(&s->filled);
    pthread_mutex_unlock(&s->lock);
    if (!queued)
        write_line(s, &l);
}

/* The next line to write; false: it is time to end. */
static bool pop(struct log_sink *s, struct line *out)
{
    pthread_mutex_lock(&s->lock);
    while (s->count == 0 && s->dropped == 0 && !atomic_load(&s->must_end))
        pthread_cond_wait(&s->filled, &s->lock);
    bool found = s->count > 0 || s->dropped > 0;
    if (s->count > 0) {
        *out = s->ring[s->head];
        s->head = (s->head + 1) % RING_LINES;
        s->count--;
    } else if (s->dropped > 0) {
        *out = (struct line){ .wall_ns = s->clock->wall_ns(s->clock), .type = LOG_TYPE_WARNING };
        snprintf(out->text, sizeof out->text,
                 "Warning: %llu log lines were dropped: they came faster than they were written.",
                 (unsigned long long)s->dropped);
        s->dropped = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void *run(void *argument)
{
    struct log_sink *s = argument;
    struct line l;
    while (pop(s, &l))
        write_line(s, &l);
    return NULL;
}

/* --------------------------------------------------------------------------------- the rest --- */

struct log_sink *log_sink_create(const struct clock *clock)
{
    struct log_sink *s = memory_alloc_zero(sizeof *s);
    if (s == NULL)
        return NULL;
    s->log.types = LOG_TYPE_DEFAULT;
    s->log.write = log_write;
    s->clock = clock;
    s->options = (struct log_sink_options){ .types = LOG_TYPE_DEFAULT,
                                            .destinations = LOG_SINK_STDERR,
                                            .timestamp = true };
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->writing, NULL);
    pthread_cond_init(&s->filled, NULL);
    return s;
}

void log_sink_destroy(struct log_sink *s)
{
    if (s == NULL)
        return;
    log_sink_stop(s);
    if (s->fd >= 0)
        (void)close(s->fd); /* every line is a write of its own: nothing is pending */
    pthread_cond_destroy(&s->filled);
    pthread_mutex_destroy(&s->writing);
    pthread_mutex_destroy(&s->lock);
    memory_free(s->ring);
    memory_free(s);
}

struct log *log_sink_log(struct log_sink *s)
{
    return &s->log;
}

static int open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return fd < 0 ? -errno : fd;
}

/* Under `writing`. */
static int replace_file(struct log_sink *s, const struct log_sink_options *o)
{
    int fd = -1;
    if ((o->destinations & LOG_SINK_FILE) != 0 && (fd = open_file(o->file)) < 0)
        return fd;
    if (s->fd >= 0)
        (void)close(s->fd); /* as above */
    s->fd = fd;
    return 0;
}

int log_sink_configure(struct log_sink *s, const struct log_sink_options *o)
{
    pthread_mutex_lock(&s->writing);
    int result = replace_file(s, o);
    if (result == 0) {
        s->options = *o;
        atomic_store_explicit(&s->log.types, o->types, memory_order_relaxed);
        if ((o->destinations & LOG_SINK_SYSLOG) != 0)
            openlog("mosquitto", LOG_PID | LOG_CONS, o->facility);
    }
    pthread_mutex_unlock(&s->writing);
    return result;
}

int log_sink_reopen(struct log_sink *s)
{
    pthread_mutex_lock(&s->writing);
    int result = replace_file(s, &s->options);
    pthread_mutex_unlock(&s->writing);
    return result;
}

int log_sink_start(struct log_sink *s)
{
    sigset_t all, before;
    if (s->ring == NULL && (s->ring = memory_alloc(RING_LINES * sizeof *s->ring)) == NULL)
        return -ENOMEM;
    atomic_store(&s->must_end, false);
    s->is_running = true;
    sigfillset(&all); /* signals are for the control thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        s->is_running = false;
    return -failed;
}

void log_sink_stop(struct log_sink *s)
{
    pthread_mutex_lock(&s->lock);
    bool was_running = s->is_running;
    atomic_store(&s->must_end, true);
    pthread_cond_signal(&s->filled);
    pthread_mutex_unlock(&s->lock);
    if (!was_running)
        return;
    pthread_join(s->thread, NULL);
    pthread_mutex_lock(&s->lock);
    s->is_running = false;
    struct line l;
    bool rest = s->count > 0;
    pthread_mutex_unlock(&s->lock);
    while (rest && pop(s, &l)) /* lines of the last moment */
        write_line(s, &l);
}
