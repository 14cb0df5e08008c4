/* cli/store_names.h: which Client a Session of the store belongs to. */
#pragma once

#include "base/buffer.h"
#include "store/store.h"

struct store_name {
    uint64_t session;
    size_t offset, size; /* of the Client Identifier, in `text` */
};

struct store_names { /* all zero: none */
    struct buffer text, list;
    bool no_memory;
};

/* All Sessions of a store.  0 or a negative errno with *fault. */
int store_names_read(struct store_names *n, struct store *s, struct store_fault *fault);
void store_names_fini(struct store_names *n);

size_t store_names_count(const struct store_names *n);
/* data NULL: there is no such Session. */
struct bytes store_names_find(const struct store_names *n, uint64_t session);

/* Sessions that stand there though a later one has the same Client: the broker makes no such thing,
 * and does not start on it.  May reorder n, so that find does not work any more. */
void store_names_twice(struct store_names *n,
                       void (*on_twice)(void *context, struct bytes client_id, uint64_t older,
                                        uint64_t newer),
                       void *context);
