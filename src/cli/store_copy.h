/* cli/store_copy.h: a store as it is at one moment, copied while somebody writes to it. */
#pragma once

#include "store/store.h"

struct store_copied {
    uint64_t segments, batches, records;
    uint64_t bytes;    /* of the files */
    uint64_t sequence; /* of the last batch */
};

struct store_copy {
    const struct files *files;
    const char *from; /* its `keep` is locked, so that its segments stay */
    const char *to;   /* an empty folder */
    /* NULL: nobody asks. */
    void (*on_progress)(void *context, const char *what, uint64_t bytes, uint64_t bytes_in_all);
    void *context;
};

/* Copies, syncs and reads the copy back.  0, or a negative errno with *fault: -EBADMSG: what is
 * there is damaged, or the copy is not the same. */
int store_copy(const struct store_copy *c, struct store_copied *out, struct store_fault *fault);
