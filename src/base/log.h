/* base/log.h: one line of text to whoever listens.
 *
 * A log formats and filters by type; where lines go is the sink's affair (stderr, a file, syslog, a
 * topic, a test).  Text that came from outside is written with log_escape.  Any thread; the sink
 * must not block. */
#pragma once

#include "base/bytes.h"
#include <stdatomic.h>

/* Mosquitto's log types, as a bit set. */
enum log_type {
    LOG_TYPE_INFORMATION = 1 << 0,
    LOG_TYPE_NOTICE = 1 << 1,
    LOG_TYPE_WARNING = 1 << 2,
    LOG_TYPE_ERROR = 1 << 3,
    LOG_TYPE_DEBUG = 1 << 4,
    LOG_TYPE_SUBSCRIBE = 1 << 5,
    LOG_TYPE_UNSUBSCRIBE = 1 << 6,
    LOG_TYPE_WEBSOCKETS = 1 << 7,
    LOG_TYPE_INTERNAL = 1 << 8,
    LOG_TYPE_DEFAULT = LOG_TYPE_ERROR | LOG_TYPE_WARNING | LOG_TYPE_NOTICE | LOG_TYPE_INFORMATION,
    LOG_TYPE_ALL = (1 << 9) - 1,
};

struct log {
    _Atomic unsigned types; /* the set of enum log_type that is written; may change at any time */
    void (*write)(struct log *, enum log_type type, const char *line); /* without newline */
};

/* Is anybody interested?  Ask before preparing what takes long. */
static inline bool log_wants(const struct log *l, enum log_type type)
{
    return l != NULL && (atomic_load_explicit(&l->types, memory_order_relaxed) & type) != 0;
}

/* log_line(l, type, format, ...), as printf.  l may be NULL: nobody listens.  Lines are cut at 1023
 * bytes.  A macro, so that what is written to nobody is not made fit for it either: LOG_TEXT takes
 * longer than most of what it tells about. */
#define log_line(l, type, ...)                                                                     \
    (log_wants((l), (type)) ? log_print((l), (type), __VA_ARGS__) : (void)0)
void log_print(struct log *l, enum log_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Text from outside, made fit for a line: control characters and bytes that are not UTF-8 become
 * \xNN, and at most 256 bytes are taken.  For printf's %s, valid until the end of the expression's
 * block: LOG_TEXT(bytes). */
struct log_text {
    char text[260 * 4 + 1];
};
struct log_text log_escape(struct bytes text);
#define LOG_TEXT(bytes) (log_escape(bytes).text)
