/* cli/store_names.h: whose a queue of the store is: a Client's Session's, or a group's of a Shared
 * Subscription. */
#pragma once

#include "base/buffer.h"
#include "store/store.h"

struct store_name {
    uint64_t number; /* of the Session or the group, and of its queue */
    uint8_t kind;
    size_t offset, size; /* of the name, in `text` */
};

struct store_owner {
    uint8_t kind;      /* KEY_SESSION, KEY_GROUP; 0: nobody */
    struct bytes name; /* Client Identifier; $share/NAME/FILTER */
};

struct store_names { /* all zero: none */
    struct buffer text, list;
    bool no_memory;
};

/* All Sessions and groups of a store.  0 or a negative errno with *fault. */
int store_names_read(struct store_names *n, struct store *s, struct store_fault *fault);
void store_names_fini(struct store_names *n);

/* The name is in n. */
struct store_owner store_names_find(const struct store_names *n, uint64_t number);
bool store_names_has_client(const struct store_names *n, struct bytes client_id);

/* Sessions that stand there though a later one has the same Client: the broker makes no such thing,
 * and does not start on it.  May reorder n, so that find does not work any more. */
void store_names_twice(struct store_names *n,
                       void (*on_twice)(void *context, struct bytes client_id, uint64_t older,
                                        uint64_t newer),
                       void *context);
