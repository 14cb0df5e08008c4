/* router/key_set.c: open addressing over 8-byte slots.
 *
 *     63    48 47                     0
 *     [ tag   | address of a struct key ]     0: free, ends a probe     1: removed, does not
 *
 * User space has 47 bits of address, so 16 bits of the hash ride along and nearly every wrong slot
 * is passed without touching its key.  A slot changes by one release store: a reader finds the old
 * or the new tenant, and both can be looked at until its next quiescent state.  A removed slot may
 * be used again at once: probes for other keys pass it either way.
 *
 * At most three quarters of a table are in use, removed slots included, so that probes end.  A full
 * table is replaced, never grown in place.  Keys are hashed again then: storing the hash would cost
 * every key 8 bytes to save a few nanoseconds of an access that misses the cache anyway. */
#include "router/key_set.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>

enum { TABLE_CAPACITY_MIN = 4, TAG_SHIFT = 48, PREFETCH_AHEAD = 8 };

#define SLOT_FREE    UINT64_C(0)
#define SLOT_REMOVED UINT64_C(1) /* no key is at an odd address */
#define ROOT_TABLE   UINT64_C(1)

struct key_table {
    struct retired retired;
    uint64_t mask; /* capacity - 1, a power of two */
    uint64_t used; /* slots that are not free; writer */
    uint64_t live; /* keys; writer */
    _Atomic uint64_t slots[];
};

static uint64_t slot_make(uint64_t hash, const struct key *k)
{
    uintptr_t address = (uintptr_t)k;
    assert(address >> TAG_SHIFT == 0 && (address & 1) == 0);
    return (hash >> TAG_SHIFT) << TAG_SHIFT | address;
}

static struct key *slot_key(uint64_t slot)
{
    return (struct key *)(uintptr_t)(slot & ((UINT64_C(1) << TAG_SHIFT) - 1));
}

static bool slot_is_key(uint64_t slot)
{
    return slot != SLOT_FREE && slot != SLOT_REMOVED;
}

static bool slot_holds(uint64_t slot, uint64_t hash, struct bytes text)
{
    return slot_is_key(slot) && slot >> TAG_SHIFT == hash >> TAG_SHIFT &&
           bytes_equal(key_bytes(slot_key(slot)), text);
}

static struct key_table *root_table(uint64_t root)
{
    return (root & ROOT_TABLE) != 0 ? (struct key_table *)(uintptr_t)(root & ~ROOT_TABLE) : NULL;
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

static void table_destroy(struct retired *r)
{
    memory_free(container_of(r, struct key_table, retired));
}

static struct key *table_find(const struct key_table *t, uint64_t hash, struct bytes text)
{
    for (uint64_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        uint64_t slot = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        if (slot == SLOT_FREE)
            return NULL;
        if (slot_holds(slot, hash, text))
            return slot_key(slot);
    }
}

static bool table_has_room(const struct key_table *t)
{
    return (t->used + 1) * 4 <= (t->mask + 1) * 3;
}

static void table_put(struct key_table *t, uint64_t hash, uint64_t new_slot)
{
    for (uint64_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        uint64_t slot = atomic_load_explicit(&t->slots[i], memory_order_relaxed);
        if (slot_is_key(slot))
            continue;
        if (slot == SLOT_FREE)
            t->used++;
        t->live++;
        assert(t->used <= t->mask);
        atomic_store_explicit(&t->slots[i], new_slot, memory_order_release);
        return;
    }
}

static void table_take(struct key_table *t, uint64_t hash, const struct key *k)
{
    uint64_t wanted = slot_make(hash, k);
    uint64_t i = hash & t->mask;
    for (;; i = (i + 1) & t->mask) {
        uint64_t slot = atomic_load_explicit(&t->slots[i], memory_order_relaxed);
        assert(slot != SLOT_FREE); /* it must be here */
        if (slot == wanted)
            break;
    }
    uint64_t after = atomic_load_explicit(&t->slots[(i + 1) & t->mask], memory_order_relaxed);
    if (after == SLOT_FREE) { /* no probe goes on beyond: it may end here */
        t->used--;
        atomic_store_explicit(&t->slots[i], SLOT_FREE, memory_order_release);
    } else {
        atomic_store_explicit(&t->slots[i], SLOT_REMOVED, memory_order_release);
    }
    t->live--;
}

/* A copy with room for one more key, at most half full.  NULL: no memory. */
static struct key_table *table_copy(const struct key_table *old, uint64_t seed)
{
    uint64_t capacity = TABLE_CAPACITY_MIN;
    while (capacity < (old->live + 1) * 2)
        capacity *= 2;
    struct key_table *t = table_create(capacity);
    if (t == NULL)
        return NULL;
    for (uint64_t i = 0; i <= old->mask; i++) {
        uint64_t ahead = atomic_load_explicit(&old->slots[(i + PREFETCH_AHEAD) & old->mask],
                                              memory_order_relaxed);
        if (slot_is_key(ahead))
            __builtin_prefetch(slot_key(ahead));
        uint64_t slot = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (slot_is_key(slot))
            table_put(t, hash_bytes(seed, key_bytes(slot_key(slot))), slot);
    }
    return t;
}

/* ------------------------------------------------------------------------------------ sets ---- */

static void set_root(struct key_set *s, uint64_t root)
{
    atomic_store_explicit(&s->root, root, memory_order_release);
}

static void set_table(struct key_set *s, struct key_table *t)
{
    set_root(s, (uint64_t)(uintptr_t)t | ROOT_TABLE);
}

static uint64_t root_of(const struct key_set *s)
{
    return atomic_load_explicit(&s->root, memory_order_relaxed);
}

void key_set_fini(struct key_set *s)
{
    memory_free(root_table(root_of(s)));
    set_root(s, SLOT_FREE);
}

struct key *key_set_find(const struct key_set *s, uint64_t hash, struct bytes text)
{
    uint64_t root = atomic_load_explicit(&s->root, memory_order_acquire);
    const struct key_table *t = root_table(root);
    if (t != NULL)
        return table_find(t, hash, text);
    return slot_holds(root, hash, text) ? slot_key(root) : NULL;
}

/* The second key: a table comes to be. */
static int add_second(struct key_set *s, uint64_t seed, uint64_t first, uint64_t hash,
                      uint64_t second)
{
    struct key_table *t = table_create(TABLE_CAPACITY_MIN);
    if (t == NULL)
        return -ENOMEM;
    table_put(t, hash_bytes(seed, key_bytes(slot_key(first))), first);
    table_put(t, hash, second);
    set_table(s, t);
    return 0;
}

int key_set_add(struct key_set *s, struct grace *g, uint64_t seed, struct key *k)
{
    uint64_t hash = hash_bytes(seed, key_bytes(k));
    uint64_t slot = slot_make(hash, k), root = root_of(s);
    struct key_table *old = root_table(root);

    if (root == SLOT_FREE) {
        set_root(s, slot);
        return 0;
    }
    if (old == NULL)
        return add_second(s, seed, root, hash, slot);
    if (table_has_room(old)) {
        table_put(old, hash, slot);
        return 0;
    }
    struct key_table *t = table_copy(old, seed);
    if (t == NULL)
        return -ENOMEM;
    table_put(t, hash, slot);
    set_table(s, t);
    grace_retire(g, &old->retired, table_destroy);
    return 0;
}

static uint64_t only_slot(const struct key_table *t)
{
    uint64_t slot = SLOT_FREE;
    for (uint64_t i = 0; !slot_is_key(slot); i++) {
        assert(i <= t->mask);
        slot = atomic_load_explicit(&t->slots[i], memory_order_relaxed);
    }
    return slot;
}

void key_set_remove(struct key_set *s, struct grace *g, uint64_t seed, const struct key *k)
{
    uint64_t hash = hash_bytes(seed, key_bytes(k)), root = root_of(s);
    struct key_table *old = root_table(root);
    if (old == NULL) {
        assert(root == slot_make(hash, k));
        set_root(s, SLOT_FREE);
        return;
    }

    table_take(old, hash, k);
    if (old->live == 1) {
        set_root(s, only_slot(old));
        grace_retire(g, &old->retired, table_destroy);
    } else if (old->mask + 1 > TABLE_CAPACITY_MIN && old->live * 8 <= old->mask + 1) {
        struct key_table *t = table_copy(old, seed);
        if (t == NULL)
            return; /* too large is no harm; the next removal tries again */
        set_table(s, t);
        grace_retire(g, &old->retired, table_destroy);
    }
}

struct key *key_set_next(const struct key_set *s, size_t *cursor)
{
    uint64_t root = root_of(s);
    const struct key_table *t = root_table(root);
    if (t == NULL)
        return root != SLOT_FREE && (*cursor)++ == 0 ? slot_key(root) : NULL;
    while (*cursor <= t->mask) {
        uint64_t slot = atomic_load_explicit(&t->slots[(*cursor)++], memory_order_relaxed);
        if (slot_is_key(slot))
            return slot_key(slot);
    }
    return NULL;
}

void key_set_check(const struct key_set *s, uint64_t seed)
{
    const struct key_table *t = root_table(root_of(s));
    uint64_t count = 0;
    size_t cursor = 0;
    for (struct key *k; (k = key_set_next(s, &cursor)) != NULL; count++)
        assert(key_set_find(s, hash_bytes(seed, key_bytes(k)), key_bytes(k)) == k);
    if (t == NULL)
        return;
    assert(count == t->live && t->live >= 2);
    assert(t->used >= t->live && t->used * 4 <= (t->mask + 1) * 3);
}
