/* cli/message_format.h: the -F formats of mosquitto_sub: a received message as text. */
#pragma once

#include "base/buffer.h"
#include "chappe/client.h"
#include <time.h>

struct received {
    struct chappe_message message;
    uint16_t packet_id;   /* 0: QoS 0 */
    struct timespec wall; /* when it came */
};

enum format_fault {
    FORMAT_FINE,
    FORMAT_INCOMPLETE,        /* it ends after '%' or '@' */
    FORMAT_BAD_SPECIFIER,     /* *culprit is unknown after '%' */
    FORMAT_INCOMPLETE_ESCAPE, /* it ends after '\' */
    FORMAT_BAD_ESCAPE,        /* *culprit is unknown after '\' */
};

/* Is it a format?  To be asked before message_format is. */
enum format_fault message_format_check(const char *format, char *culprit);

/* Appends the message, in a format that is fine, without an end of line.  pretty: JSON (%j, %J) is
 * laid out for reading.  0; -ENOMEM; -EINVAL: %J, and the payload is not JSON. */
int message_format(struct buffer *out, const char *format, const struct received *r, bool pretty);
