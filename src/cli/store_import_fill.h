/* cli/store_import_fill.h: what was taken from a mosquitto.db, as records of a store. */
#pragma once

#include "cli/store_import.h"
#include "store/store.h"

struct store_fill {
    struct store *store; /* an empty one */
    int64_t now_ns;      /* wall time: when Sessions that never expire were left */
    /* How much has been written, now and then; NULL: nobody asks. */
    void (*on_progress)(void *context, uint64_t bytes);
    void *context;
};

/* Writes all of it and commits.  0, or a negative errno; then a part of it may be there. */
int store_import_fill(const struct store_import *s, const struct store_fill *f);
