/* cli/json_text.h: JSON as text: quoting it, checking it, laying it out.  Any thread. */
#pragma once

#include "base/buffer.h"

/* Appends text as a JSON string, quotes included.  What is not UTF-8 becomes U+FFFD.
 * 0 or -ENOMEM. */
int json_append_string(struct buffer *out, struct bytes text);

enum json_layout {
    JSON_COMPACT, /* no blanks at all */
    JSON_PRETTY,  /* a member per line, indented with tabs, as cJSON prints it */
};

/* Appends one JSON value, laid out anew; numbers and strings stay as they are written.  0, -ENOMEM,
 * or -EINVAL: not JSON (RFC 8259), or nested deeper than 1000.  After a failure out holds a part.
 */
int json_rewrite(struct buffer *out, struct bytes text, enum json_layout layout);
