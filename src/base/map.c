/* base/map.c: open addressing, linear probing, backward-shift deletion.
 *
 *     slots   . A B C . . D .        home(A) = home(B) = 1, home(C) = 2
 *     remove A:
 *             . B C . . . D .        the run closes up; no tombstones, look-ups never slow down
 *
 * Invariant: between an object's home slot and the slot it is in, no slot is empty.  The whole
 * hash is kept beside the pointer (16 bytes a slot), so that a probe touches an object only when
 * it is almost surely the right one.  The table doubles at three quarters full and never shrinks:
 * a broker that once had a million sessions will have them again after the next power cut. */
#include "base/map.h"
#include "base/hash.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>

enum { CAPACITY_MIN = 2 }; /* most sessions have one subscription */

struct map_slot {
    uint64_t hash;
    void *object; /* NULL: empty */
};

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
    for (size_t i = hash & mask; m->slots[i].object != NULL; i = (i + 1) & mask) {
        if (m->slots[i].hash == hash && bytes_equal(m->key_of(m->slots[i].object), key))
            return m->slots[i].object;
    }
    return NULL;
}

void *map_find(const struct map *m, struct bytes key)
{
    return find_hashed(m, hash_bytes(m->seed, key), key);
}

static void slots_put(struct map_slot *slots, size_t mask, struct map_slot put)
{
    size_t i = put.hash & mask;
    while (slots[i].object != NULL)
        i = (i + 1) & mask;
    slots[i] = put;
}

static int grow(struct map *m)
{
    if (m->capacity > SIZE_MAX / sizeof(struct map_slot) / 2)
        return -ENOMEM;
    size_t capacity = m->capacity == 0 ? CAPACITY_MIN : m->capacity * 2;
    struct map_slot *slots = memory_alloc_zero(capacity * sizeof(struct map_slot));
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < m->capacity; i++) {
        if (m->slots[i].object != NULL)
            slots_put(slots, capacity - 1, m->slots[i]);
    }
    memory_free(m->slots);
    m->slots = slots;
    m->capacity = capacity;
    return 0;
}

int map_add(struct map *m, void *object)
{
    assert(object != NULL);
    struct bytes key = m->key_of(object);
    struct map_slot put = { hash_bytes(m->seed, key), object };
    assert(find_hashed(m, put.hash, key) == NULL);
    if ((m->count + 1) * 4 > m->capacity * 3 && grow(m) != 0)
        return -ENOMEM;
    slots_put(m->slots, m->capacity - 1, put);
    m->count++;
    return 0;
}

/* Moves back whatever the hole would cut off from its home slot, then the hole that left. */
static void close_hole(struct map *m, size_t hole)
{
    size_t mask = m->capacity - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].object != NULL; i = (i + 1) & mask) {
        size_t from_home = (i - m->slots[i].hash) & mask;
        size_t from_hole = (i - hole) & mask;
        if (from_home < from_hole)
            continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole].object = NULL;
}

void map_remove(struct map *m, const void *object)
{
    assert(m->count > 0);
    size_t mask = m->capacity - 1;
    size_t i = hash_bytes(m->seed, m->key_of(object)) & mask;
    while (m->slots[i].object != object) {
        assert(m->slots[i].object != NULL); /* the object is in the map */
        i = (i + 1) & mask;
    }
    close_hole(m, i);
    m->count--;
}

void *map_next(const struct map *m, size_t *cursor)
{
    while (*cursor < m->capacity) {
        void *object = m->slots[(*cursor)++].object;
        if (object != NULL)
            return object;
    }
    return NULL;
}
