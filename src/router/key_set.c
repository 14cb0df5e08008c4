/* router/key_set.c: open addressing over 8-byte slots.
 *
 *     63    48 47                     0
 *     [ tag   | member                ]     0: free, ends a probe     1: removed, does not
 *
 * User space has 47 bits of address, so 16 bits of the hash ride along and nearly every wrong slot
 * is passed without touching its member.  A slot changes by one release store: a reader finds the
 * old or the new tenant, and both can be looked at until its next quiescent state.  A removed slot
 * may be used again at once: probes for other keys pass it either way.
 *
 * At most three quarters of a table are in use, removed slots included, so that probes end.  A full
 * table is replaced, never grown in place.  Members are hashed again then: storing the hash would
 * cost every one 8 bytes to save a few nanoseconds of an access that misses the cache anyway. */
#include "router/key_set.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>

enum { TABLE_CAPACITY_MIN = 4, PREFETCH_AHEAD = 8 };

static uint64_t slot_make(uint64_t hash, uintptr_t member)
{
    assert(member >> KEY_TAG_SHIFT == 0 && (member & 1) == 0 && member != 0);
    return (hash >> KEY_TAG_SHIFT) << KEY_TAG_SHIFT | member;
}

static uint64_t slot_at(const struct key_table *t, uint64_t i) /* writer */
{
    return atomic_load_explicit(&t->slots[i & t->mask], memory_order_relaxed);
}

static void set_slot(struct key_table *t, uint64_t i, uint64_t slot)
{
    atomic_store_explicit(&t->slots[i & t->mask], slot, memory_order_release);
}

static uint64_t root_of(const struct key_set *s) /* writer */
{
    return atomic_load_explicit(&s->root, memory_order_relaxed);
}

static struct key_table *root_table(uint64_t root)
{
    bool is_table = (root & KEY_ROOT_TABLE) != 0;
    return is_table ? (struct key_table *)(uintptr_t)(root ^ KEY_ROOT_TABLE) : NULL;
}

static void set_root(struct key_set *s, uint64_t root)
{
    atomic_store_explicit(&s->root, root, memory_order_release);
}

static void set_table(struct key_set *s, const struct key_table *t)
{
    set_root(s, (uintptr_t)t | KEY_ROOT_TABLE);
}

/* ---------------------------------------------------------------------------------- tables ---- */

static struct key_table *table_create(uint64_t capacity)
{
    assert((capacity & (capacity - 1)) == 0);
    size_t bytes;
    if (__builtin_mul_overflow(capacity, sizeof(uint64_t), &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct key_table), &bytes))
        return NULL;
    struct key_table *t = memory_alloc_zero(bytes);
    if (t != NULL)
        t->mask = capacity - 1;
    return t;
}

static bool table_has_room(const struct key_table *t)
{
    return (t->used + 1) * 4 <= (t->mask + 1) * 3;
}

static void table_put(struct key_table *t, uint64_t hash, uint64_t new_slot)
{
    uint64_t i = hash;
    while (key_slot_is_member(slot_at(t, i)))
        i++;
    if (slot_at(t, i) == KEY_SLOT_FREE)
        t->used++;
    t->live++;
    assert(t->used <= t->mask);
    set_slot(t, i, new_slot);
}

/* Where this slot is: it must be there. */
static uint64_t table_place(const struct key_table *t, uint64_t hash, uint64_t wanted)
{
    uint64_t i = hash;
    for (uint64_t slot; (slot = slot_at(t, i)) != wanted; i++)
        assert(slot != KEY_SLOT_FREE);
    return i;
}

static void table_take(struct key_table *t, uint64_t hash, uint64_t wanted)
{
    uint64_t i = table_place(t, hash, wanted);
    t->live--;
    if (slot_at(t, i + 1) == KEY_SLOT_FREE) { /* no probe goes on beyond: it may end here */
        t->used--;
        set_slot(t, i, KEY_SLOT_FREE);
    } else {
        set_slot(t, i, KEY_SLOT_REMOVED);
    }
}

/* A copy with room for one more member, at most half full.  NULL: no memory. */
static struct key_table *table_copy(const struct key_table *old, const struct key_hash *h)
{
    uint64_t capacity = TABLE_CAPACITY_MIN;
    while (capacity < (old->live + 1) * 2)
        capacity *= 2;
    struct key_table *t = table_create(capacity);
    if (t == NULL)
        return NULL;
    for (uint64_t i = 0; i <= old->mask; i++) {
        uint64_t slot = slot_at(old, i), ahead = slot_at(old, i + PREFETCH_AHEAD);
        if (key_slot_is_member(ahead))
            __builtin_prefetch((const void *)key_slot_member(ahead));
        if (key_slot_is_member(slot))
            table_put(t, h->of(h, key_slot_member(slot)), slot);
    }
    return t;
}

/* ------------------------------------------------------------------------------------- set ---- */

void key_set_fini(struct key_set *s)
{
    memory_free(root_table(root_of(s)));
    set_root(s, KEY_SLOT_FREE);
}

/* The second member: a table comes to be. */
static int add_second(struct key_set *s, const struct key_hash *h, uint64_t hash, uint64_t second)
{
    struct key_table *t = table_create(TABLE_CAPACITY_MIN);
    if (t == NULL)
        return -ENOMEM;
    uint64_t first = root_of(s);
    table_put(t, h->of(h, key_slot_member(first)), first);
    table_put(t, hash, second);
    set_table(s, t);
    return 0;
}

int key_set_add(struct key_set *s, struct grace *g, const struct key_hash *h, uint64_t hash,
                uintptr_t member)
{
    uint64_t slot = slot_make(hash, member), root = root_of(s);
    struct key_table *old = root_table(root);

    if (root == KEY_SLOT_FREE) {
        set_root(s, slot);
        return 0;
    }
    if (old == NULL)
        return add_second(s, h, hash, slot);
    if (table_has_room(old)) {
        table_put(old, hash, slot);
        return 0;
    }
    struct key_table *t = table_copy(old, h);
    if (t == NULL)
        return -ENOMEM;
    table_put(t, hash, slot);
    set_table(s, t);
    grace_retire(g, &old->retired);
    return 0;
}

void key_set_replace(struct key_set *s, uint64_t hash, uintptr_t old, uintptr_t member)
{
    uint64_t wanted = slot_make(hash, old), root = root_of(s);
    struct key_table *t = root_table(root);
    if (t != NULL) {
        set_slot(t, table_place(t, hash, wanted), slot_make(hash, member));
        return;
    }
    assert(root == wanted);
    set_root(s, slot_make(hash, member));
}

static uint64_t only_slot(const struct key_table *t)
{
    uint64_t i = 0;
    while (!key_slot_is_member(slot_at(t, i))) {
        assert(i < t->mask);
        i++;
    }
    return slot_at(t, i);
}

void key_set_remove(struct key_set *s, struct grace *g, const struct key_hash *h, uint64_t hash,
                    uintptr_t member)
{
    uint64_t wanted = slot_make(hash, member), root = root_of(s);
    struct key_table *old = root_table(root);
    if (old == NULL) {
        assert(root == wanted);
        set_root(s, KEY_SLOT_FREE);
        return;
    }

    table_take(old, hash, wanted);
    if (old->live == 1) {
        set_root(s, only_slot(old));
        grace_retire(g, &old->retired);
    } else if (old->mask + 1 > TABLE_CAPACITY_MIN && old->live * 8 <= old->mask + 1) {
        struct key_table *t = table_copy(old, h);
        if (t == NULL)
            return; /* too large is no harm; the next removal tries again */
        set_table(s, t);
        grace_retire(g, &old->retired);
    }
}

uintptr_t key_set_next(const struct key_set *s, size_t *cursor)
{
    uint64_t root = root_of(s);
    const struct key_table *t = root_table(root);
    if (t == NULL)
        return root != KEY_SLOT_FREE && (*cursor)++ == 0 ? key_slot_member(root) : 0;
    while (*cursor <= t->mask) {
        uint64_t slot = slot_at(t, (*cursor)++);
        if (key_slot_is_member(slot))
            return key_slot_member(slot);
    }
    return 0;
}

/* Does a probe for its key come by this member? */
static bool is_found(const struct key_table *t, uint64_t hash, uintptr_t member)
{
    uint64_t cursor = 0;
    for (uintptr_t m; (m = key_table_next(t, hash, &cursor)) != 0;)
        if (m == member)
            return true;
    return false;
}

void key_set_check(const struct key_set *s, const struct key_hash *h)
{
    const struct key_table *t = root_table(root_of(s));
    uint64_t count = 0;
    size_t cursor = 0;
    if (t == NULL)
        return;
    for (uintptr_t m; (m = key_set_next(s, &cursor)) != 0; count++)
        assert(is_found(t, h->of(h, m), m));
    assert(count == t->live && t->live >= 2);
    assert(t->used >= t->live && t->used * 4 <= (t->mask + 1) * 3);
}
