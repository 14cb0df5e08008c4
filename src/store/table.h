/* store/table.h: a hash table from 128 bits to 64, in 24 bytes a slot.
 *
 * The key is its own hash: `low` must be as good as random.  Values are not zero.  Private to
 * src/store.  One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_key {
    uint64_t low, high;
};

struct table_slot {
    struct table_key key;
    uint64_t value; /* 0: the slot is free */
};

/* All zero is an empty one. */
struct table {
    struct table_slot *slots;
    size_t capacity, count;
};

void table_fini(struct table *t);

int table_reserve(struct table *t, size_t adds); /* so many adds have room.  0 or -ENOMEM */

/* NULL: none.  The value may be changed; the slot is good until the next add or remove. */
struct table_slot *table_find(const struct table *t, struct table_key key);
/* The key must not be in it, and there must be room (asserted). */
struct table_slot *table_add(struct table *t, struct table_key key, uint64_t value);
void table_remove(struct table *t, struct table_slot *slot);

/* All, in no particular order: start with *cursor 0; NULL at the end. */
const struct table_slot *table_next(const struct table *t, uint64_t *cursor);

void table_check(const struct table *t); /* invariants; asserts */
