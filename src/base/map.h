/* base/map.h: a hash map from byte strings to objects that carry their own key.
 *
 * Open addressing with linear probing and backward-shift deletion.  The map stores pointers, eight
 * bytes each; the key is read from the object through `key_of`.  One thread, or under the caller's
 * lock. */
#pragma once

#include "base/bytes.h"

struct map {
    uint64_t *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
    uint64_t seed;
    struct bytes (*key_of)(const void *object);
};

void map_init(struct map *m, uint64_t seed, struct bytes (*key_of)(const void *object));
void map_fini(struct map *m); /* frees the table, not the objects */

void *map_find(const struct map *m, struct bytes key); /* NULL: none */

/* Adds an object whose key is not in the map (asserted).  0, or -ENOMEM and nothing changed. */
int map_add(struct map *m, void *object);

/* Removes this very object (asserted to be there). */
void map_remove(struct map *m, const void *object);

/* Walks all objects in no particular order: start with *cursor = 0; NULL at the end.
 * The map must not change meanwhile. */
void *map_next(const struct map *m, size_t *cursor);
