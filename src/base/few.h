/* base/few.h: a map for whoever has one object or none, nearly always.
 *
 *     nothing                NULL
 *     one object             its address
 *     more                   the address of a struct map, plus one
 *
 * Eight bytes, and no block of its own until there are two objects.  For what there is a million
 * of; else base/map.h.  Objects carry their own key, and lie at even addresses.  One thread. */
#pragma once

#include "base/bytes.h"

struct few {
    void *root;
};

struct few_kind { /* the same for every call on one of them */
    struct bytes (*key_of)(const void *object);
    uint64_t seed;
};

/* All zero is an empty one.  fini does not free the objects. */
void few_fini(struct few *f);

size_t few_count(const struct few *f);
void *few_find(const struct few *f, const struct few_kind *kind, struct bytes key); /* NULL: none */

/* Adds an object whose key is not there (asserted).  0, or -ENOMEM and nothing changed. */
int few_add(struct few *f, const struct few_kind *kind, void *object);

/* Removes this very object (asserted to be there). */
void few_remove(struct few *f, const void *object);

/* Walks all objects in no particular order: start with *cursor = 0; NULL at the end.
 * None may come or go meanwhile. */
void *few_next(const struct few *f, size_t *cursor);
