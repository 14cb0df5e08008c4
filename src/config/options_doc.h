/* config/options_doc.h: the option table as documentation.  Pure; any thread. */
#pragma once

#include "base/buffer.h"

enum options_doc_format {
    OPTIONS_DOC_MARKDOWN,
    OPTIONS_DOC_MAN,     /* troff with the man macros */
    OPTIONS_DOC_EXAMPLE, /* a configuration file with every option commented out */
};

/* All options, appended to *out.  0 or -ENOMEM. */
int options_doc_print(enum options_doc_format format, struct buffer *out);

/* A hand-written text, appended to *out, with what options_doc_print says between the line that
 * contains "options-doc: begin" and the one that contains "options-doc: end".
 * 0, -ENOMEM, or -EINVAL: the text has no such lines. */
int options_doc_splice(enum options_doc_format format, struct bytes text, struct buffer *out);
