/* cli/store_salvage.h: what is readable of a damaged store, in a new one. */
#pragma once

#include "store/store.h"

/* Something that is not in the new store.  Strings are good until the callback returns. */
struct salvage_loss {
    const char *path;      /* where it was */
    uint64_t offset, size; /* size 0: there are no bytes */
    const char *what;
    const char *saved_as; /* where these bytes are now; NULL: there are none */
};

struct salvage_report {
    uint64_t batches, records; /* that are in the new store */
    uint64_t losses, lost_bytes;
    uint64_t sessions; /* left out, because their Client has a later one */
};

struct salvage {
    const struct files *files;
    const char *from;
    const char *to; /* an empty folder */
    uint64_t id;    /* of the new store: random */
    void (*on_loss)(void *context, const struct salvage_loss *loss);
    void (*on_progress)(void *context, uint64_t bytes); /* NULL: nobody asks */
    void *context;
};

/* Reads all valid batches in their order, and writes them.  What is between them goes to TO/lost, a
 * file for each gap.  0, or a negative errno with *fault. */
int store_salvage(const struct salvage *s, struct salvage_report *out, struct store_fault *fault);
