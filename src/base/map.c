/* base/map.c: open addressing, linear probing, backward-shift deletion.
 *
 *     slots   . A B C . . D .        home(A) = home(B) = 1, home(C) = 2
 *     remove A:
 *             . B C . . . D .        the run closes up; no tombstones, look-ups never slow down
 *
 * Invariant: between an object's home slot and the slot it is in, no slot is empty.
 *
 *     63    48 47                     0
 *     [ tag   | address of the object ]        0: empty
 *
 * User space has 47 bits of address, so the low 16 bits of the hash ride along: a probe touches an
 * object only when it is probably the right one, and up to 65536 slots the tag tells the home, too.
 * Beyond that the keys are hashed again when the table grows or a hole is closed.  The table
 * doubles at three quarters full and never shrinks: a broker that once had a million sessions will
 * have them again after the next power cut. */
#include "base/map.h"
#include "base/hash.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>

enum { CAPACITY_MIN = 2, TAG_BITS = 16, TAG_SHIFT = 48 };

static uint64_t slot_make(uint64_t hash, const void *object)
{
    uintptr_t address = (uintptr_t)object;
    assert(address != 0 && address >> TAG_SHIFT == 0);
    return hash << TAG_SHIFT | address;
}

static void *slot_object(uint64_t slot) /* NULL: empty */
{
    return (void *)(uintptr_t)(slot & ((UINT64_C(1) << TAG_SHIFT) - 1));
}

/* The hash, or as much of it as finds the home among so many slots. */
static uint64_t slot_hash(const struct map *m, uint64_t slot, size_t capacity)
{
    if (capacity <= (size_t)1 << TAG_BITS)
        return slot >> TAG_SHIFT;
    return hash_bytes(m->seed, m->key_of(slot_object(slot)));
}

void map_init(struct map *m, uint64_t seed, struct bytes (*key_of)(const void *object))
{
    *m = (struct map){ .seed = seed, .key_of = key_of };
}

void map_fini(struct map *m)
{
    if (m == NULL)
        return;
    memory_free(m->slots);
    m->slots = NULL;
    m->capacity = m->count = 0;
}

static void *find_hashed(const struct map *m, uint64_t hash, struct bytes key)
{
    if (m->count == 0)
        return NULL;
    size_t mask = m->capacity - 1;
    for (size_t i = hash & mask; m->slots[i] != 0; i = (i + 1) & mask) {
        void *object = slot_object(m->slots[i]);
        if (m->slots[i] == slot_make(hash, object) && bytes_equal(m->key_of(object), key))
            return object;
    }
    return NULL;
}

void *map_find(const struct map *m, struct bytes key)
{
    return find_hashed(m, hash_bytes(m->seed, key), key);
}

static void slots_put(uint64_t *slots, size_t mask, uint64_t hash, uint64_t slot)
{
    size_t i = hash & mask;
    while (slots[i] != 0)
        i = (i + 1) & mask;
    slots[i] = slot;
}

static int grow(struct map *m)
{
    if (m->capacity > SIZE_MAX / sizeof *m->slots / 2)
        return -ENOMEM;
    size_t capacity = m->capacity == 0 ? CAPACITY_MIN : m->capacity * 2;
    uint64_t *slots = memory_alloc_zero(capacity * sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i] != 0)
            slots_put(slots, capacity - 1, slot_hash(m, m->slots[i], capacity), m->slots[i]);
    memory_free(m->slots);
    m->slots = slots;
    m->capacity = capacity;
    return 0;
}

int map_add(struct map *m, void *object)
{
    struct bytes key = m->key_of(object);
    uint64_t hash = hash_bytes(m->seed, key);
    assert(find_hashed(m, hash, key) == NULL);
    if ((m->count + 1) * 4 > m->capacity * 3 && grow(m) != 0)
        return -ENOMEM;
    slots_put(m->slots, m->capacity - 1, hash, slot_make(hash, object));
    m->count++;
    return 0;
}

/* Moves back whatever the hole would cut off from its home slot, then the hole that left. */
static void close_hole(struct map *m, size_t hole)
{
    size_t mask = m->capacity - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i] != 0; i = (i + 1) & mask) {
        size_t from_home = (i - slot_hash(m, m->slots[i], m->capacity)) & mask;
        size_t from_hole = (i - hole) & mask;
        if (from_home < from_hole)
            continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = 0;
}

void map_remove(struct map *m, const void *object)
{
    assert(m->count > 0);
    size_t mask = m->capacity - 1;
    size_t i = hash_bytes(m->seed, m->key_of(object)) & mask;
    while (slot_object(m->slots[i]) != object) {
        assert(m->slots[i] != 0); /* the object is in the map */
        i = (i + 1) & mask;
    }
    close_hole(m, i);
    m->count--;
}

void *map_next(const struct map *m, size_t *cursor)
{
    while (*cursor < m->capacity) {
        uint64_t slot = m->slots[(*cursor)++];
        if (slot != 0)
            return slot_object(slot);
    }
    return NULL;
}
