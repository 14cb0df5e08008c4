/* router/subscriber_list.h: the subscribers of one filter.
 *
 * Readers report the list while one writer changes it; a subscriber that is there all the time is
 * reported exactly once, and options and id always belong together.  Readers follow the rules of
 * base/grace.h; writers take turns by the owner's lock.
 *
 * A writer names a subscriber by its index.  Indices change when the list is packed, so whoever
 * adds a subscriber lends the list a place to keep the index up to date in. */
#pragma once

#include "base/grace.h"
#include "router/router.h"

#include <stdatomic.h>

struct subscriber_entry {     /* 16 bytes */
    _Atomic uint64_t handle;  /* 0: nobody, or nobody any more */
    _Atomic uint64_t granted; /* options, and the id in the upper half */
};

struct subscriber_list { /* what readers need is at the end, near what they read next */
    union {
        struct { /* writer */
            uint32_t count;
            bool first_taken; /* some time: an entry is never used twice */
        };
        struct retired retired; /* when the owner retires the object this list is part of */
    };
    struct subscriber_entry first;           /* most filters have one subscriber only */
    _Atomic(struct subscriber_array *) more; /* the others */
};

/* All zero is an empty list.  fini retires what hangs on it; g NULL: frees at once. */
void subscriber_list_fini(struct subscriber_list *l, struct grace *g);

/* Adds at the end; *index is kept up to date from now on.  0, or -ENOMEM and nothing changed.
 * Never fails for the first subscriber of a new list. */
int subscriber_list_add(struct subscriber_list *l, struct grace *g, struct subscriber who,
                        uint32_t *index);
void subscriber_list_remove(struct subscriber_list *l, struct grace *g, uint32_t index);
void subscriber_list_update(struct subscriber_list *l, uint32_t index, uint32_t options,
                            uint32_t id);
struct subscriber subscriber_list_at(const struct subscriber_list *l, uint32_t index); /* writer */

static inline bool subscriber_list_is_empty(const struct subscriber_list *l) /* writer */
{
    return l->count == 0;
}

/* Reader: calls the sink once for each, in the order of adding. */
void subscriber_list_report(const struct subscriber_list *l, struct match_sink *sink);

void subscriber_list_check(const struct subscriber_list *l); /* writer; asserts */
