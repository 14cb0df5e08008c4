/* router/key_set.h: a set of named things that readers search while one writer changes it.
 *
 *     nothing                 0
 *     one key                 tag | pointer                   no table at all
 *     two and more            pointer to table | 1            [ slot | slot | ... ]
 *
 * The object carries its own name: embed struct key as the last member.  Readers follow the rules
 * of base/grace.h; whoever removes a key retires the object it is in.  Writers take turns by the
 * owner's lock. */
#pragma once

#include "base/bytes.h"
#include "base/grace.h"

#include <stdatomic.h>

struct key {
    uint16_t size;
    uint8_t text[];
};

struct key_set {
    _Atomic uint64_t root;
};

static inline struct bytes key_bytes(const struct key *k)
{
    return (struct bytes){ k->text, k->size };
}

/* All zero is an empty set.  fini frees the table at once: no reader may be in it. */
void key_set_fini(struct key_set *s);

static inline bool key_set_is_empty(const struct key_set *s)
{
    return atomic_load_explicit(&s->root, memory_order_relaxed) == 0;
}

/* Readers and the writer.  hash is hash_bytes(seed, text), with the same seed everywhere. */
struct key *key_set_find(const struct key_set *s, uint64_t hash, struct bytes text);

/* Writer.  The key must not be in the set: 0, or -ENOMEM and nothing changed. */
int key_set_add(struct key_set *s, struct grace *g, uint64_t seed, struct key *k);

/* Writer.  The key must be in the set (asserted).  Never fails; a smaller table may replace the
 * old one if there is memory for it. */
void key_set_remove(struct key_set *s, struct grace *g, uint64_t seed, const struct key *k);

/* Writer.  Walks the set in no order: start with *cursor = 0; NULL at the end.  The set must not
 * change meanwhile. */
struct key *key_set_next(const struct key_set *s, size_t *cursor);

void key_set_check(const struct key_set *s, uint64_t seed); /* asserts */
