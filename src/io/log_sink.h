/* io/log_sink.h: where log lines go: stderr, stdout, syslog, a file, or a topic.
 *
 * Lines are put into a bounded queue and written by a thread of its own, so that a slow terminal, a
 * full pipe or a stuck disk never holds up a worker; what does not fit is dropped and counted, and
 * the count is written when there is room again.  Before the thread is started (and after it has
 * ended) lines are written at once. */
#pragma once

#include "base/env.h"
#include "base/log.h"
#include <stdbool.h>
#include <stddef.h>

enum {
    LOG_SINK_STDERR = 1,
    LOG_SINK_STDOUT = 2,
    LOG_SINK_SYSLOG = 4,
    LOG_SINK_FILE = 8,
    LOG_SINK_TOPIC = 16
};

struct log_sink_options {
    unsigned types;        /* enum log_type */
    unsigned destinations; /* LOG_SINK_* */
    const char *file;      /* for LOG_SINK_FILE */
    int facility;          /* syslog's */
    bool timestamp;
    const char *timestamp_format; /* strftime; NULL: seconds since 1970 */
    bool json;                    /* one JSON object a line instead of Mosquitto's form */
    /* For LOG_SINK_TOPIC: called for each line, on the thread that writes the log; NULL: nobody. */
    void (*publish)(void *context, enum log_type type, const char *line);
    void *context;
};

struct log_sink;

/* A sink that writes to stderr, until it is configured.  NULL: no memory. */
struct log_sink *log_sink_create(const struct clock *clock);
void log_sink_destroy(struct log_sink *s); /* writes what waits; NULL is fine */

struct log *log_sink_log(struct log_sink *s);

/* Sets where lines go; strings must live as long as the sink or until the next call.  0, or the
 * negative errno of opening the file; then nothing changes. */
int log_sink_configure(struct log_sink *s, const struct log_sink_options *o);
int log_sink_reopen(struct log_sink *s); /* closes and opens the file, after a rotation */

int log_sink_start(struct log_sink *s); /* the thread; 0 or a negative errno */
void log_sink_stop(struct log_sink *s); /* writes what waits and ends it */
