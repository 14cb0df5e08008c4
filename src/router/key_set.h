/* router/key_set.h: a set of keyed things that readers search while one writer changes it.
 *
 *     nothing                 0
 *     one member              tag | member                  no table at all
 *     two and more            pointer to table | 1          [ slot | slot | ... ]
 *
 * A member is the address of something, with bit 0 clear; bit 1 is the owner's to use.  The set
 * keeps 16 bits of each member's hash beside it, and leaves it to the owner to say which key a
 * member has: it may not be the same thing in all sets.
 *
 * Readers follow the rules of base/grace.h; whoever removes a member retires it.  Writers take
 * turns by the owner's lock. */
#pragma once

#include "base/grace.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct key_set {
    _Atomic uint64_t root;
};

struct key_table {
    struct retired retired;
    uint64_t mask; /* capacity - 1, a power of two */
    uint64_t used; /* slots that are not free; writer */
    uint64_t live; /* members; writer */
    _Atomic uint64_t slots[];
};

/* How a set's owner hashes a member. */
struct key_hash {
    uint64_t (*of)(const struct key_hash *, uintptr_t member);
};

static inline bool key_set_is_empty(const struct key_set *s)
{
    return atomic_load_explicit(&s->root, memory_order_relaxed) == 0;
}

/* ------------------------------------------------------------------------------- searching ---- */

enum { KEY_TAG_SHIFT = 48 };

#define KEY_SLOT_FREE    UINT64_C(0) /* ends a probe */
#define KEY_SLOT_REMOVED UINT64_C(1) /* does not */
#define KEY_ROOT_TABLE   UINT64_C(1)

static inline bool key_slot_is_member(uint64_t slot)
{
    return slot != KEY_SLOT_FREE && slot != KEY_SLOT_REMOVED;
}

static inline uintptr_t key_slot_member(uint64_t slot)
{
    return (uintptr_t)(slot & ((UINT64_C(1) << KEY_TAG_SHIFT) - 1));
}

/* What a set is now: its only member, or the table that it has. */
struct key_view {
    uintptr_t only;                /* 0: empty, or there is a table */
    const struct key_table *table; /* NULL: none */
};

static inline struct key_view key_set_view(const struct key_set *s)
{
    uint64_t root = atomic_load_explicit(&s->root, memory_order_acquire);
    if ((root & KEY_ROOT_TABLE) != 0)
        return (struct key_view){ 0, (const struct key_table *)(uintptr_t)(root ^ KEY_ROOT_TABLE) };
    return (struct key_view){ key_slot_member(root), NULL };
}

static inline void key_table_prefetch(const struct key_table *t, uint64_t hash)
{
    __builtin_prefetch((const void *)&t->slots[hash & t->mask]);
}

/* The members whose tag is the hash's, one after another: start with *cursor = 0; 0 at the end.
 * One of them, if any, has the key; nearly always it is the only one. */
static inline uintptr_t key_table_next(const struct key_table *t, uint64_t hash, uint64_t *cursor)
{
    for (;;) {
        uint64_t i = (hash + (*cursor)++) & t->mask;
        uint64_t slot = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        if (slot == KEY_SLOT_FREE)
            return 0;
        if (slot >> KEY_TAG_SHIFT == hash >> KEY_TAG_SHIFT && slot != KEY_SLOT_REMOVED)
            return key_slot_member(slot);
    }
}

/* The same of a view: its only member may have any tag. */
static inline uintptr_t key_view_next(struct key_view v, uint64_t hash, uint64_t *cursor)
{
    if (v.table != NULL)
        return key_table_next(v.table, hash, cursor);
    return (*cursor)++ == 0 ? v.only : 0;
}

/* -------------------------------------------------------------------------------- changing ---- */

/* The writer's: hash is the member's, and h finds the same one again.  Nobody with its key may be
 * in the set: 0, or -ENOMEM and nothing changed.  Never fails for the first member. */
int key_set_add(struct key_set *s, struct grace *g, const struct key_hash *h, uint64_t hash,
                uintptr_t member);

/* Another one with the same key takes the place of `old`, which must be there (asserted). */
void key_set_replace(struct key_set *s, uint64_t hash, uintptr_t old, uintptr_t member);

/* The member must be in the set (asserted).  Never fails; a smaller table may replace the old one
 * if there is memory for it. */
void key_set_remove(struct key_set *s, struct grace *g, const struct key_hash *h, uint64_t hash,
                    uintptr_t member);

/* Walks the set in no order: start with *cursor = 0; 0 at the end.  The set must not change
 * meanwhile. */
uintptr_t key_set_next(const struct key_set *s, size_t *cursor);

/* Frees the table at once: no reader may be in it.  All zero is an empty set. */
void key_set_fini(struct key_set *s);

void key_set_check(const struct key_set *s, const struct key_hash *h); /* asserts */
